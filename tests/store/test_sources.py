"""How fresh and how late the documents of a real node are, and which fields it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Rule
from detector.store import sources
from detector.store.elastic import ElasticStore
from detector.store.sources import View
from tests.builders import NOW, iso, make_rule

pytestmark = pytest.mark.node

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
DATES = {"properties": {"@timestamp": {"type": "date"}, "event.ingested": {"type": "date"}}}
NANOS = {"properties": {"@timestamp": {"type": "date_nanos"}, "event.ingested": {"type": "date"}}}


def put(
    es: Elasticsearch,
    index: str,
    ages: Sequence[tuple[timedelta, timedelta | None]],
    **mappings: Any,
) -> None:
    """Documents by how long before now they happened and were ingested."""
    es.indices.create(index=index, mappings=mappings or DATES)
    operations: list[dict[str, Any]] = []
    for happened, ingested in ages:
        document: dict[str, Any] = {"@timestamp": iso(NOW - happened)}
        if ingested is not None:
            document["event"] = {"ingested": iso(NOW - ingested)}
        operations += [{"index": {"_index": index}}, document]
    if operations:
        es.bulk(operations=operations, refresh=True)


def seen(es: Elasticsearch, *patterns: str, **changes: Any) -> View:
    rule = make_rule(index=patterns, **changes)
    return sources.views(ElasticStore(es, "default"), [rule], NOW)[rule.rule_id]


def test_the_newest_document_of_each_pattern_is_told(es: Elasticsearch) -> None:
    put(es, "logs-a-1", [(2 * HOUR, HOUR), (3 * HOUR, 2 * HOUR)])
    put(es, "logs-b-1", [(5 * HOUR, None)], **NANOS)
    put(es, "logs-c-1", [])
    put(es, "logs-future-1", [(-HOUR, -HOUR), (4 * HOUR, 4 * HOUR)])
    view = seen(es, "logs-a-*", "logs-b-*", "logs-c-*", "logs-none-*", "logs-future-*")
    assert {source.pattern: source.newest for source in view.sources} == {
        "logs-a-*": NOW - HOUR,
        "logs-b-*": NOW - 5 * HOUR,
        "logs-c-*": None,
        "logs-none-*": None,
        "logs-future-*": NOW - 4 * HOUR,
    }
    assert (view.newest, view.ingested) == (NOW - HOUR, NOW - HOUR)
    without = seen(es, "logs-*", "-logs-a-*", "-logs-future-*")
    assert [source.pattern for source in without.sources] == ["logs-*"]
    assert without.newest == NOW - 5 * HOUR


def test_how_late_documents_come_is_measured_by_the_rules_own_time(es: Elasticsearch) -> None:
    ages = [(SECOND * (n + 2), SECOND * n) for n in range(1, 10)] + [(HOUR, SECOND)]
    put(es, "logs-a", ages)
    by_event = seen(es, "logs-a", timestamp_override=None)
    assert by_event.delays == sources.Delays(2 * SECOND, HOUR - SECOND)
    assert by_event.late == HOUR - SECOND
    assert seen(es, "logs-a").late == timedelta(0)
    assert seen(es, "logs-a", timestamp_override="event.created").late == HOUR - SECOND
    strict = seen(es, "logs-a", timestamp_override="event.created", timestamp_fallback=False)
    assert strict.late is None


def test_only_the_newest_are_looked_at(es: Elasticsearch) -> None:
    old = [(40 * HOUR, 3 * HOUR)] * 5
    put(es, "logs-a", old + [(2 * SECOND, SECOND)] * sources.SAMPLE)
    view = seen(es, "logs-a")
    assert view.delays == sources.Delays(SECOND, SECOND)


def test_dates_that_python_does_not_have_are_left_out(es: Elasticsearch) -> None:
    es.indices.create(index="logs-a", mappings=DATES)
    document = {"@timestamp": "-0044-03-15T12:00:00Z", "event": {"ingested": iso(NOW)}}
    es.index(index="logs-a", document=document, refresh=True)
    view = seen(es, "logs-a", timestamp_override=None)
    assert (view.newest, view.delays, view.late) == (NOW, None, None)


def test_a_pattern_that_cannot_be_asked_does_not_hide_the_others(es: Elasticsearch) -> None:
    put(es, "logs-a", [(HOUR, HOUR)])
    put(es, "logs-odd", [(HOUR, HOUR)], properties={"@timestamp": {"type": "keyword"}})
    odd, good = seen(es, "logs-odd", "logs-a").sources
    assert odd.error
    assert good.newest == NOW - HOUR


def needing(rule_id: str, index: str, *names: str) -> Rule:
    required = [{"name": name, "type": "keyword", "ecs": True} for name in names]
    return make_rule(rule_id=rule_id, index=(index,), parameters={"required_fields": required})


def test_required_fields_that_no_index_has_are_named(es: Elasticsearch) -> None:
    put(es, "logs-a", [])
    put(es, "logs-b", [], properties={"process.name": {"type": "keyword"}})
    rules = [
        needing("one", "logs-a", "@timestamp", "process.name", "event.action"),
        needing("two", "logs-*", "process.name"),
        needing("three", "logs-a", "event.ingested"),
        needing("four", "logs-none", "process.name"),
        make_rule(rule_id="five"),
        needing("six", "-logs-a", "process.name"),
        needing("seven", "gone:logs-*", "process.name"),
    ]
    found = sources.missing_fields(ElasticStore(es, "default"), rules)
    assert found == {"one": ("process.name", "event.action")}
