"""The same event in several indices, however they are called: one alert, whoever finds which."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Window
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import TERMS, install, make_rule, shell_event

pytestmark = pytest.mark.node

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALERTS = "alerts-detector-default"
EVENTS = 40
STREAM = "logs-cloud_defend.process-default"
ELSEWHERE = [
    f"restored-.ds-{STREAM}-2026.02.01-000001",
    f"partial-.ds-{STREAM}-2026.02.01-000001",
    f"partial-restored-.ds-{STREAM}-2026.02.01-000001",
    f"shrink-a1b2-.ds-{STREAM}-2026.02.01-000001",
    "logs-cloud_defend.archive-default",
]


@pytest.fixture
def ready(es: Elasticsearch) -> Elasticsearch:
    store = ElasticStore(es, "default")
    install(store)
    scratch.template(store, "events", ["logs-cloud_defend*", "*.ds-logs-*", "logs-zeek*"])
    return es


def some(dataset: str = "cloud_defend.process", **event: Any) -> list[dict[str, Any]]:
    return [
        shell_event(
            NOW - timedelta(seconds=n + 1),
            event_id=f"e{n}",
            **{"dataset": dataset} | event,
        )
        for n in range(EVENTS)
    ]


def fill(es: Elasticsearch, index: str, events: Sequence[dict[str, Any]], ids: str) -> None:
    documents = [Stored(index, f"{ids}-{n}", event) for n, event in enumerate(events)]
    scratch.fill(ElasticStore(es, "default"), documents)


def run(es: Elasticsearch, *index: str, now: datetime = NOW, page: int = 7) -> Report:
    rule = make_rule(max_signals=1_000, index=index or ("*logs-cloud_defend*",))
    store = ElasticStore(es, "default", page_size=page)
    return cycle.run(store, [rule], now, TERMS, clock=lambda: now)


def count(es: Elasticsearch) -> int:
    es.indices.refresh(index=ALERTS, ignore_unavailable=True)
    return int(es.count(index=ALERTS)["count"])


def rolled_over(es: Elasticsearch, events: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """A data stream that holds all events twice: before and after a rollover. And its indices."""
    name = f"stream-copies.{uuid.uuid4().hex}-default"  # outlives the test: no pattern finds it
    es.indices.put_index_template(
        name=name,
        index_patterns=[f"{name}*"],
        priority=500,
        data_stream={},
        template={"mappings": scratch.mappings()},
    )
    for turn in range(2):
        lines: list[Any] = []
        for event in events:
            lines += [{"create": {"_index": name}}, event]
        assert not es.bulk(operations=lines, refresh=True)["errors"]
        if turn == 0:
            es.indices.rollover(alias=name)
    found = es.search(index=name, size=1_000, source=False)["hits"]["hits"]
    assert len(found) == 2 * len(events)
    return name, sorted({hit["_index"] for hit in found})


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_copy_in_another_index_is_the_same_event(ready: Elasticsearch, elsewhere: str) -> None:
    fill(ready, STREAM, some(), "doc")
    fill(ready, elsewhere, some(), "copy")
    report = run(ready)
    assert (report.runs[0].matches, report.alerts_created, count(ready)) == (80, 40, 40)
    assert run(ready, now=NOW + timedelta(minutes=2)).alerts_created == 0
    assert count(ready) == EVENTS


@pytest.mark.parametrize("elsewhere", ELSEWHERE[:4])
def test_an_event_without_an_id_is_the_same_wherever_its_index_was_moved(
    ready: Elasticsearch, elsewhere: str
) -> None:
    """What moves keeps its `_id`; index and `_id` identify it where there is no `event.id`."""
    events = some()
    for event in events:
        del event["event"]["id"]
    fill(ready, STREAM, events, "doc")
    assert run(ready).alerts_created == EVENTS
    fill(ready, elsewhere, events, "doc")
    assert run(ready, now=NOW + timedelta(minutes=2)).alerts_created == 0
    fill(ready, STREAM, events[:1], "another")
    assert run(ready, now=NOW + timedelta(minutes=3)).alerts_created == 1


def test_an_event_on_both_sides_of_a_rollover_alerts_once(ready: Elasticsearch) -> None:
    name, backing = rolled_over(ready, some("copies"))
    assert len(backing) == 2
    assert run(ready, name).alerts_created == EVENTS
    assert run(ready, backing[0], now=NOW + timedelta(minutes=1)).alerts_created == 0
    assert run(ready, *backing, now=NOW + timedelta(minutes=2)).alerts_created == 0
    assert count(ready) == EVENTS


def test_engines_at_once_over_different_backing_indices_alert_once(ready: Elasticsearch) -> None:
    """Each sees another copy of every event, and none knows of the others."""
    name, backing = rolled_over(ready, some("copies"))
    asked = [(name,), (backing[0],), (backing[1],), tuple(backing)]
    with ThreadPoolExecutor(len(asked)) as pool:
        reports = list(pool.map(lambda index: run(ready, *index), asked))
    assert not any(report.failed for report in reports)
    assert sum(report.alerts_created for report in reports) == EVENTS
    assert count(ready) == EVENTS


def test_a_daemon_and_a_backfill_at_once_alert_once(ready: Elasticsearch) -> None:
    name, backing = rolled_over(ready, some("copies"))
    window = Window(NOW - timedelta(hours=1), NOW)

    def filled(index: str) -> Report:
        store = ElasticStore(ready, "default", page_size=7)
        rule = make_rule(index=(index,))
        return backfill.run(store, [rule], window, TERMS, clock=lambda: NOW)

    with ThreadPoolExecutor(4) as pool:
        live = [pool.submit(run, ready, name), pool.submit(run, ready, backing[1])]
        past = [pool.submit(filled, name), pool.submit(filled, backing[0])]
        reports = [future.result() for future in (*live, *past)]
    assert sum(report.alerts_created for report in reports) == EVENTS
    assert count(ready) == EVENTS
