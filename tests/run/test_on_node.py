"""Cycles and backfills on a real Elasticsearch: whatever is repeated adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Rule, Window
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import gaps, scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import TERMS, install, make_rule, shell_event, stored

pytestmark = pytest.mark.node

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 120


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[ElasticStore]:
    made = ElasticStore(es, "default", page_size=50)
    install(made)
    scratch.template(made, "events", ["logs-*"])
    yield made


def run(store: ElasticStore, *rules: Rule, now: datetime = NOW) -> Report:
    return cycle.run(store, rules or (make_rule(max_signals=1_000),), now, TERMS, clock=lambda: now)


def count(es: Elasticsearch) -> int:
    es.indices.refresh(index="alerts-detector-default", ignore_unavailable=True)
    return int(es.count(index="alerts-detector-default")["count"])


def some(number: int) -> list[dict[str, Any]]:
    return [shell_event(ago(seconds=2 * n + 1)) for n in range(number)]


def test_runs_windows_copies_and_backfills_repeat_nothing(
    es: Elasticsearch, store: ElasticStore
) -> None:
    events = some(MANY)
    scratch.fill(store, stored(events))
    assert run(store).alerts_created == MANY
    assert run(store).alerts_created == 0, "a second run"
    assert run(store, now=NOW + timedelta(minutes=2)).alerts_created == 0, "an overlapping window"
    copies = [
        Stored("logs-cloud_defend.restored-default", f"copy-{n}", e) for n, e in enumerate(events)
    ]
    scratch.fill(store, copies)
    assert run(store).alerts_created == 0, "copies in another index"
    report = backfill.run(store, [make_rule()], Window(ago(hours=1), NOW), TERMS, clock=lambda: NOW)
    assert (report.alerts_created, report.failed) == (0, False), "a backfill over the same range"
    assert count(es) == MANY


def test_two_daemons_at_once_create_every_alert_once(
    es: Elasticsearch, store: ElasticStore
) -> None:
    scratch.fill(store, stored(some(MANY)))
    stores = [ElasticStore(es, "default", page_size=17) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        reports = list(pool.map(run, stores))
    assert sum(report.alerts_created for report in reports) == MANY
    assert not any(report.failed for report in reports)
    assert count(es) == MANY


def test_fifty_events_with_one_id_and_fifty_times_are_fifty_alerts(
    es: Elasticsearch, store: ElasticStore
) -> None:
    index = "logs-zeek.http-default"
    events = [shell_event(ago(seconds=n), event_id="CxZ7", dataset="zeek.http") for n in range(50)]
    scratch.fill(store, stored(events[1:], index))
    rule = make_rule(index=("logs-zeek*",))
    assert run(store, rule).alerts_created == 49
    scratch.fill(store, stored(events[1:], "logs-zeek.copy-default"))
    assert run(store, rule).alerts_created == 0
    assert count(es) == 49


def test_a_document_without_the_override_is_not_sorted_behind_the_others(
    store: ElasticStore,
) -> None:
    events = some(MANY)
    del events[-1]["event"]["ingested"]  # the oldest one
    scratch.fill(store, stored(events))
    rule = make_rule(max_signals=10)
    assert run(store, rule).alerts_created == 10
    found = store.client.search(index="alerts-detector-default", size=10)["hits"]["hits"]
    oldest = events[-1]["event"]["id"]
    assert oldest in {hit["_source"]["event"]["id"] for hit in found}


def test_an_alert_goes_to_the_month_of_its_event(es: Elasticsearch, store: ElasticStore) -> None:
    turn = datetime(2026, 3, 1, tzinfo=UTC)
    times = [turn - timedelta(seconds=1), turn, turn + timedelta(seconds=1)]
    scratch.fill(store, stored([shell_event(time) for time in times]))
    run(store, now=turn + timedelta(minutes=1))
    es.indices.refresh(index="alerts-detector-default")
    months = {
        month: es.count(index=f"alerts-detector-default-{month}")["count"]
        for month in ("2026.02", "2026.03")
    }
    assert months == {"2026.02": 1, "2026.03": 2}


def test_dates_of_both_resolutions_are_read_in_one_order(
    es: Elasticsearch, store: ElasticStore
) -> None:
    es.indices.create(
        index="logs-nanos",
        mappings={
            "properties": {
                "event": {
                    "properties": {
                        "ingested": {"type": "date_nanos"},
                        "category": {"type": "keyword"},
                        "type": {"type": "keyword"},
                    }
                },
                "process": {"properties": {"args": {"type": "keyword"}}},
                "@timestamp": {"type": "date_nanos"},
            }
        },
    )
    events = some(MANY)
    scratch.fill(store, [*stored(events[::2]), *stored(events[1::2], "logs-nanos")])
    rule = make_rule(index=("logs-*",), max_signals=1_000)
    assert run(store, rule).alerts_created == MANY


def test_an_index_that_cannot_take_the_query_does_not_silence_the_others(
    es: Elasticsearch, store: ElasticStore
) -> None:
    scratch.fill(store, stored(some(3)))
    odd = "logs-cloud_defend.long-default"
    args = {"properties": {"args": {"type": "long"}}}
    es.indices.create(index=odd, mappings={"properties": {"process": args}})
    event = shell_event(ago(minutes=1)) | {"process": {"args": 7}}
    scratch.fill(store, [Stored(odd, "odd", event)])
    report = run(store)
    assert report.alerts_created == 3
    (record,) = report.runs
    assert record.status == "partial failure"
    (gap,) = record.gaps
    assert odd in gap.reason
    assert report.failed
    (checkpoint,) = store.checkpoints([record.rule_id]).values()
    assert (checkpoint.end, checkpoint.waiting) == (NOW, ()), "the good shards go on"


def test_a_rule_the_cluster_refuses_leaves_the_others_alone(store: ElasticStore) -> None:
    scratch.fill(store, stored(some(3)))
    too_complex = 'process where process.name regex ".*b.{20}"'
    broken = make_rule(too_complex, rule_id="broken")
    report = run(store, broken, make_rule(rule_id="good"))
    status = {record.rule_id: record.status for record in report.runs}
    assert status == {"broken": "failed", "good": "succeeded"}
    assert report.alerts_created == 3


def test_fifty_thousand_matches_are_the_caps_alerts_a_flood_and_a_gap_to_fill(
    es: Elasticsearch, store: ElasticStore
) -> None:
    events = [shell_event(ago(milliseconds=5 * n), event_id=f"e{n}") for n in range(1, 50_001)]
    scratch.fill(store, stored(events))
    engine = ElasticStore(es, "default")
    rule = make_rule()
    report = run(engine, rule)
    (gap,) = report.runs[0].gaps
    assert report.alerts_created == count(es) == rule.max_signals + 1
    floods = es.search(
        index="alerts-detector-default", query={"exists": {"field": "detector.flood.matches"}}
    )
    (flood,) = [hit["_source"] for hit in floods["hits"]["hits"]]
    waiting = flood["detector.flood.matches"]
    assert (waiting, flood["detector.flood.exact"]) == (49_900, True)
    top = {"field": "host.name", "value": "node-1", "count": waiting}
    assert top in flood["detector.flood.top"]
    later = run(engine, rule, now=NOW + timedelta(minutes=5))
    assert (later.alerts_created, later.failed) == (0, False), "the live end goes on"
    soon = NOW + timedelta(minutes=5)
    filled = backfill.run(engine, [rule], gap.window, TERMS, clock=lambda: soon)
    assert (filled.alerts_created, count(es)) == (49_900, 50_001)
    assert gaps.unfilled(engine) == []


def test_fifteen_hundred_matches_become_alerts_over_the_following_runs(
    es: Elasticsearch, store: ElasticStore
) -> None:
    """All within the look-back of the second run, which must not count them twice."""
    events = [shell_event(ago(milliseconds=20 * n), event_id=f"e{n}") for n in range(1, 1_501)]
    scratch.fill(store, stored(events))
    engine = ElasticStore(es, "default")
    reports = [
        run(engine, make_rule(), now=NOW + turn * timedelta(minutes=5)) for turn in range(16)
    ]
    assert [report.alerts_created for report in reports] == [100] * 15 + [0]
    assert not any(record.gaps for report in reports for record in report.runs)
    said = [any("max_signals" in w for r in report.runs for w in r.warnings) for report in reports]
    assert said == [True] * 14 + [False] * 2
    assert count(es) == 1_500


def test_a_rule_on_all_indices_does_not_alert_on_its_alerts(store: ElasticStore) -> None:
    scratch.fill(store, stored(some(3)))
    everywhere = ("*", "-stream-copies*")  # but what another test could not delete
    rule = make_rule("any where true", index=everywhere, timestamp_override=None)
    on_alerts = make_rule(
        "any where true", index=("alerts-detector-*",), timestamp_override=None, rule_id="alerts"
    )
    made = [
        run(store, rule, on_alerts, now=NOW + timedelta(minutes=5 * n)).alerts_created
        for n in range(4)
    ]
    assert made == [3, 3, 0, 0]
