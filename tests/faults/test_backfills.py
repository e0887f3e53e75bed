"""Requests of a backfill fail: what was not covered is said, and the next one asks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector.errors import StoreError
from detector.model import Gap, Window
from detector.run import backfill
from detector.run.backfill import Manner, Report
from detector.store import connection, gaps, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import TERMS, make_rule, shell_event, stored
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy

pytestmark = pytest.mark.node

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RANGE = Window(NOW - timedelta(minutes=4), NOW)
LATER = NOW + timedelta(hours=1)
EVENTS = 40
PAGE = 5
RULES = [make_rule(rule_id="one"), make_rule(rule_id="two")]

STEPS = {
    "progress": r"POST /detector-state-default/_mget",
    "first page": r"POST /_msearch",
    "point in time": r"POST /.*/_pit",
    "look-up": r"POST /alerts-detector-default[^/]*/_search",
    "write": r"(POST|PUT) /_bulk",
    "refresh": r"POST /alerts-detector-default[^/]*/_refresh",
}


@pytest.fixture
def ready(installed: ElasticStore) -> ElasticStore:
    """Give a store with the templates and ten events a minute."""
    events = [shell_event(NOW - timedelta(seconds=6 * n + 1)) for n in range(EVENTS)]
    scratch.fill(installed, stored(events))
    return installed


def through(between: Proxy, budget: float) -> ElasticStore:
    client = connection.connect(between.url, request_timeout=5)
    return ElasticStore(client, "default", page_size=PAGE, patience=Patience(0.01, 0.1, budget))


def run(store: ElasticStore, workers: int = 1) -> Report:
    manner = Manner(workers=workers)
    return backfill.run(store, RULES, RANGE, TERMS, clock=lambda: LATER, manner=manner)


def of_alerts(store: ElasticStore) -> list[Any]:
    index = "alerts-detector-default"
    store.client.indices.refresh(index=index, ignore_unavailable=True)
    hits = store.client.search(index=index, size=1_000)["hits"]["hits"]
    pairs = [
        (hit["_source"]["kibana.alert.rule.rule_id"], hit["_source"]["event"]["id"]) for hit in hits
    ]
    assert len(pairs) == len(set(pairs))
    return pairs


@pytest.mark.parametrize(
    ("step", "skip", "workers"),
    [
        *((step, 0, 1) for step in ("progress", "write", "refresh")),
        *((step, 3, 2) for step in ("first page", "point in time", "look-up", "write")),
    ],
)
def test_a_request_that_keeps_failing_is_said_and_made_up_for_by_the_next_one(
    ready: ElasticStore, between: Proxy, step: str, skip: int, workers: int
) -> None:
    fault = Fault(STEPS[step], proxy.status(503), times=10_000, skip=skip)
    between.inject(fault)
    store = through(between, budget=0.2)
    try:
        report = run(store, workers)
        said = [warning for record in report.runs for warning in record.warnings]
        assert report.uncovered or said, "a failed run must say so"
    except StoreError:
        assert step == "progress", "which is read once, before anything is asked"
    assert fault.hits > skip, "nothing failed"
    between.heal()
    report = run(store, workers)
    assert report.uncovered == ()
    assert len(of_alerts(ready)) == EVENTS * len(RULES)
    assert ready.backfilled(["one", "two"]) == {}


def test_a_cluster_that_goes_away_ends_it_in_time_and_the_rest_is_said(
    ready: ElasticStore, between: Proxy
) -> None:
    between.inject(Fault(".*", proxy.drop, times=10_000, skip=25))
    report = run(through(between, budget=0.3))
    assert {gap.rule_id for gap in report.uncovered} == {"one", "two"}
    assert all(gap.window.end == NOW for gap in report.uncovered)
    assert all("cannot be reached" in gap.reason for gap in report.uncovered)
    assert len(between.lines) < 60, "it goes on asking"
    kept = ready.backfilled(["one", "two"])["one"].windows
    between.heal()
    report = run(through(between, budget=5))
    assert report.uncovered == ()
    assert report.resumed == sum((w.end - w.start) // timedelta(minutes=1) for w in kept) > 0
    assert len(of_alerts(ready)) == EVENTS * len(RULES)


@pytest.mark.parametrize("next_one", ["repeated", "gaps fill"])
def test_shards_that_cannot_take_the_query_are_uncovered_until_they_can(
    ready: ElasticStore, next_one: str
) -> None:
    odd = "logs-cloud_defend.long-default"
    args = {"properties": {"args": {"type": "long"}}}
    ready.client.indices.create(index=odd, mappings={"properties": {"process": args}})
    event = shell_event(NOW - timedelta(minutes=2)) | {"process": {"args": 7}}
    scratch.fill(ready, [Stored(odd, "odd", event)])
    piece = Window(NOW - timedelta(minutes=2), NOW - timedelta(minutes=1))

    def once_more() -> Report:
        if next_one == "repeated":
            return run(ready)
        return backfill.fill(ready, {rule: [piece] for rule in RULES}, TERMS, clock=lambda: LATER)

    report = run(ready)
    assert report.alerts_created == EVENTS * len(RULES), "the good shards go on"
    for told in (report, once_more()):
        said = [(gap.rule_id, gap.window) for gap in told.uncovered]
        assert said == [("one", piece), ("two", piece)]
        assert all(odd in gap.reason for gap in told.uncovered)
        assert gaps.unfilled(ready) == list(told.uncovered)
    ready.client.indices.delete(index=odd)
    filled = once_more()
    assert (filled.uncovered, filled.alerts_created) == ((), 0)
    assert filled.resumed == (filled.pieces - 1 if next_one == "repeated" else 0)
    assert gaps.unfilled(ready) == []


def test_a_gap_filled_with_warnings_is_filled(ready: ElasticStore) -> None:
    """Two documents that share an identity and differ are said; that leaves nothing uncovered."""
    twin = shell_event(NOW - timedelta(minutes=2), event_id="twin")
    other = twin | {"host": {"name": "elsewhere"}}
    scratch.fill(
        ready,
        [Stored("logs-cloud_defend.twins-default", n, e) for n, e in (("a", twin), ("b", other))],
    )
    (rule, _) = RULES
    report = run(ready)
    (record, _) = report.runs
    assert record.status == "partial failure"
    assert record.warnings
    gap = Gap(rule.rule_id, RANGE, "older than the catch-up limit")
    ready.record_runs([replace(record, uuid="live", kind="live", gaps=(gap,))])
    assert gaps.unfilled(ready) == []
    afterwards = LATER + timedelta(minutes=1)
    ready.record_runs([replace(record, uuid="live", kind="live", gaps=(gap,), started=afterwards)])
    assert gaps.unfilled(ready) == [gap], "recorded after the backfill"
    backfill.fill(ready, {rule: [RANGE]}, TERMS, clock=lambda: afterwards)
    assert gaps.unfilled(ready) == []
