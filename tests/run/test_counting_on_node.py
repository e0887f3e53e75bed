"""Threshold and new terms rules on a real Elasticsearch say what lists in memory say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Alert, Window
from detector.run import backfill
from detector.store import scratch
from detector.store.base import Store
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, install, iso, shell_event
from tests.run.stepwise import at, new_terms_rule, threshold_rule

pytestmark = pytest.mark.node

SLOTS = 5
RULES = [
    replace(threshold_rule(value=6), rule_id="by-user"),
    replace(threshold_rule(value=20, by=()), rule_id="all"),
    replace(
        threshold_rule(value=4, by=("user.name", "host.name"), distinct=[("process.pid", 3)]),
        rule_id="cardinality",
    ),
    replace(
        threshold_rule(value=5, query="any where length(process.name) == 4"), rule_id="residual"
    ),
    replace(threshold_rule(value=3, by=("source.ip",)), rule_id="address"),
    replace(new_terms_rule(history=timedelta(minutes=25)), rule_id="new"),
    replace(
        new_terms_rule(("user.name", "process.pid"), history=timedelta(minutes=25)),
        rule_id="new-two",
        timestamp_override="event.ingested",
    ),
]


def events() -> list[Stored]:
    """An hour of people who come and go, some of whose events name several of them."""
    made = []
    for number in range(180):
        time = NOW + timedelta(minutes=number * 0.25 - 20)
        source: dict[str, Any] = shell_event(time, event_id=f"e{number}")
        person = number % 7 + number // 45
        source["user"] = {"name": [f"u{person}", f"u{number % 3}"]}
        source["host"] = {"name": f"h{number % 2}"}
        source["process"] |= {"pid": number % 11, "name": "bash" if number % 4 else "python"}
        source["source"] = {"ip": f"10.0.0.{number % 23}"}
        if number % 5 == 0:
            del source["event"]["ingested"]
        elif number % 5 == 1:
            source["event"]["ingested"] = iso(time + timedelta(seconds=90))
        made.append(Stored(INDEX, f"d{number:03}", source))
    return made


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[ElasticStore]:
    made = ElasticStore(es, "default", page_size=50)
    install(made)
    scratch.template(made, "events", ["logs-*"])
    scratch.fill(made, events())
    yield made


def run(store: Store, slots: int = SLOTS) -> list[int]:
    """A cycle every five minutes; how many alerts each made."""
    made = []
    for number in range(slots):
        report = at(store, RULES, NOW + timedelta(minutes=5 * number))
        assert not report.failed, report.runs
        made.append(report.alerts_created)
    return made


def told(documents: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What alerts say of their events, by their ids."""
    said = (
        "kibana.alert.threshold_result",
        "kibana.alert.new_terms",
        "detector.span.start",
        "detector.span.end",
        "detector.key",
        "kibana.alert.ancestors",
        "kibana.alert.reason",
    )
    return {one["kibana.alert.uuid"]: {name: one.get(name) for name in said} for one in documents}


def written(es: Elasticsearch) -> list[dict[str, Any]]:
    es.indices.refresh(index="alerts-detector-default")
    hits = es.search(index="alerts-detector-default", size=10_000)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def in_memory(documents: Sequence[Stored]) -> list[Alert]:
    memory = MemoryStore(documents, page_size=50)
    run(memory)
    return list(memory.alerts.values())


def test_both_stores_say_the_same_once(es: Elasticsearch, store: ElasticStore) -> None:
    made = run(store)
    expected = told([alert.document for alert in in_memory(events())])
    assert told(written(es)) == expected
    assert sum(made) == len(expected) > 40
    by_rule = {one["kibana.alert.rule.rule_id"] for one in written(es)}
    assert by_rule == {rule.rule_id for rule in RULES}
    window = Window(NOW - timedelta(minutes=5), NOW + timedelta(minutes=5 * (SLOTS - 1)))
    later = window.end + timedelta(hours=1)
    report = backfill.run(store, RULES, window, TERMS, clock=lambda: later)
    assert not report.failed, report.runs
    assert report.alerts_created == 0, "live runs have said it all"
    assert sum(run(store)) == 0, "nor is anything repeated"


def test_one_run_over_many_slots_sees_what_it_has_just_said(
    es: Elasticsearch, store: ElasticStore
) -> None:
    window = Window(NOW - timedelta(minutes=5), NOW + timedelta(minutes=5 * (SLOTS - 1)))
    report = backfill.run(store, RULES, window, TERMS, clock=lambda: window.end)
    assert not report.failed, report.runs
    assert told(written(es)) == told([alert.document for alert in in_memory(events())])
