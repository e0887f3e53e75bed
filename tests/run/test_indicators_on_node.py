"""Indicator match and machine learning rules on a real Elasticsearch say what lists say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.language import kuery, tree
from detector.model import Answer, Pair, Question
from detector.rulefile import queries
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, install, iso, make_rule
from tests.run.stepwise import at
from tests.run.test_machine_learning import record
from tests.run.test_threat_match import address, event, indicator, rule

pytestmark = pytest.mark.node

KNOWN, LOGGED = 20_000, 2_000
RULES = [
    replace(rule(which='@timestamp >= "now-30d/d" and threat.indicator.ip: *'), rule_id="fewer"),
    replace(
        rule(which='@timestamp >= "now-30d/d" and threat.indicator.type: domain-name'),
        rule_id="more",
        where=kuery.parse("source.ip: *"),
    ),
    replace(
        rule((Pair("source.ip", "threat.indicator.ip"), Pair("host.name", "host.name"))),
        rule_id="both",
    ),
    replace(
        rule(
            (
                Pair("source.ip", "threat.indicator.ip"),
                Pair("host.name", "host.name", negate=True),
            )
        ),
        rule_id="negated",
    ),
    replace(rule(which="threat.indicator.*: ipv4-addr"), rule_id="residual"),
]


def logged() -> list[Stored]:
    """Every tenth event has an indicator's address."""
    made = []
    for n in range(LOGGED):
        own = address(n * 7) if n % 10 == 0 else f"192.168.{n // 250}.{n % 250}"
        made.append(event(n, [own, "192.168.99.99"], 1 + n / 10))
    return made


def known() -> list[Stored]:
    made = [indicator(n, address(n), days=n % 40) for n in range(KNOWN)]
    for n, one in enumerate(made):
        told: dict[str, Any] = one.source["threat"]["indicator"]
        if n % 50 == 0:
            told["type"] = "domain-name"
        if n % 20 == 0:
            one.source["host"] = {"name": "node-1"}  # type: ignore[index]
        else:
            one.source["host"] = {"name": "other"}  # type: ignore[index]
    return made


class Weighed(ElasticStore):
    """Knows how many bytes the longest list of values had, and how many searches there were."""

    heaviest = 0
    count = 0

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        for one in questions:
            among = getattr(one, "among", None)
            leaves = tree.leaves(among) if among is not None else ()
            values = [v for leaf in leaves if isinstance(leaf, tree.OneOf) for v in leaf.values]
            self.heaviest = max(self.heaviest, len(json.dumps(values)))
            self.count += 1
        return super().search(questions)


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[Weighed]:
    made = Weighed(es, "default")
    install(made)
    scratch.template(made, "events", ["logs-*"])
    yield made


def told(documents: Sequence[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """What each alert tells of indicators, by its id."""
    return {
        one["kibana.alert.uuid"]: sorted(
            (each["matched"]["id"], each["matched"]["field"])
            for each in one.get("threat", {}).get("enrichments", ())
        )
        for one in documents
    }


def written(es: Elasticsearch) -> list[dict[str, Any]]:
    es.indices.refresh(index="alerts-detector-default")
    hits = es.search(index="alerts-detector-default", size=10_000)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def test_both_stores_say_the_same_of_many_indicators(es: Elasticsearch, store: Weighed) -> None:
    documents = [*logged(), *known()]
    scratch.fill(store, documents)
    rules = [replace(one, max_signals=5_000) for one in RULES]
    began = time.monotonic()
    report = at(store, rules, NOW)
    took = time.monotonic() - began
    assert not report.failed, report.runs
    met = documents[:LOGGED:10] + documents[LOGGED::7]  # the others cannot be equal
    memory = MemoryStore(met, page_size=KNOWN)
    at(memory, rules, NOW)
    expected = told([alert.document for alert in memory.alerts.values()])
    assert told(written(es)) == expected
    made = {run.rule_id: run.alerts_created for run in report.runs}
    assert all(made.values()), made
    assert made["fewer"] > made["both"]
    assert at(store, rules, NOW).alerts_created == 0
    assert took < 60
    assert store.heaviest < 500_000
    assert store.count < 500


def test_records_of_jobs_are_read_where_elasticsearch_keeps_them(
    es: Elasticsearch, store: Weighed
) -> None:
    time_ = {"type": "date"}
    es.indices.create(
        index=".ml-anomalies-shared-000001",
        settings={"hidden": True},
        mappings={"properties": {"timestamp": time_, "job_id": {"type": "keyword"}}},
    )
    scratch.fill(store, [record("a"), record("b", record_score=3), record("c", job_id="rare")])
    where = queries.anomalies(["odd", "gone"], 50)
    odd = replace(
        make_rule(rule_id="odd"),
        type="machine_learning",
        where=where,
        index=(".ml-anomalies-*",),
        timestamp_override="timestamp",
        timestamp_fallback=False,
        lookback=timedelta(minutes=45),
        parameters={**make_rule().parameters, "machine_learning_job_id": ["odd", "gone"]},
    )
    report = at(store, [odd, replace(odd, rule_id="nowhere", index=(".ml-none-*",))], NOW)
    first, nowhere = sorted(report.runs, key=lambda run: run.rule_id, reverse=True)
    assert (first.alerts_created, nowhere.alerts_created) == (1, 0)
    assert first.warnings == (
        "the machine learning job gone has no results: is it installed and running?",
    )
    assert nowhere.warnings == ("no index matches .ml-none-*",)


@pytest.mark.parametrize("which", ["bad.name: *", "*"])
@pytest.mark.parametrize("types", [("text", "keyword"), ("text",)])
def test_indicators_whose_values_an_index_cannot_list_are_read(
    es: Elasticsearch, store: Weighed, types: tuple[str, ...], which: str
) -> None:
    for type_ in types:
        name = {"properties": {"name": {"type": type_}}}
        es.indices.create(index=f"bad-{type_}", mappings={"properties": {"bad": name}})
    bad = Stored("bad-text", "i", {"@timestamp": iso(NOW), "bad": {"name": "ann"}})
    people = [event(n, address(n), user={"name": name}) for n, name in enumerate(("ann", "bob"))]
    scratch.fill(store, [bad, *people])
    compared = rule((Pair("user.name", "bad.name"),), which=which)
    assert compared.indicators is not None
    compared = replace(compared, indicators=replace(compared.indicators, index=("bad-*",)))
    report = at(store, [compared], NOW)
    assert report.alerts_created == 1
    assert (report.runs[0].warnings, report.runs[0].error) == ((), None)
