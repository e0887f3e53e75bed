"""Sequences on a real Elasticsearch, from late events to building blocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Window
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import reading, scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from detector.store.reading import Wanted
from tests.builders import TERMS, install, iso, make_rule

pytestmark = pytest.mark.node

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
INDEX = "logs-pair-default"
ALERTS = "alerts-detector-default"
PAIR = make_rule(
    """sequence by host.name, process.pid with maxspan=1m
      [process where process.name == "a"]
      ![process where process.name == "c"]
      [process where process.name : "B" and process.pid + 1 == 8]""",
    index=("logs-pair-*",),
)
WAITING = make_rule(
    'sequence by host.name with maxspan=10m [any where process.name == "a"]'
    ' ![any where process.name == "b"]',
    rule_id="waiting",
    index=("logs-pair-*",),
)


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[ElasticStore]:
    made = ElasticStore(es, "default", page_size=20)
    install(made)
    scratch.template(made, "events", ["logs-*"])
    yield made


def event(name: str, time: datetime, ingested: datetime, **more: Any) -> dict[str, Any]:
    return {
        "@timestamp": iso(time),
        "event": {"category": ["process"], "ingested": iso(ingested), "id": f"{name}-{iso(time)}"},
        "host": {"name": more.get("host", "h")},
        "process": {"name": name, "pid": more.get("pid", 7)},
    }


def fill(store: ElasticStore, *sources: dict[str, Any]) -> None:
    stored = [
        Stored(INDEX, source["event"]["id"] + source["host"]["name"], source) for source in sources
    ]
    scratch.fill(store, stored)


def run(store: ElasticStore, now: datetime) -> Report:
    return cycle.run(store, [PAIR], now, TERMS, clock=lambda: now)


def groups(es: Elasticsearch) -> dict[str, list[str]]:
    """The events of the blocks of each alert, by its id."""
    es.indices.refresh(index=ALERTS)
    hits = es.search(index=ALERTS, size=1000, sort=["kibana.alert.group.index"])["hits"]["hits"]
    found: dict[str, list[str]] = {
        hit["_id"]: [] for hit in hits if "kibana.alert.group.index" not in hit["_source"]
    }
    for hit in hits:
        if "kibana.alert.group.index" in hit["_source"]:
            source = hit["_source"]
            found[source["kibana.alert.group.id"]].append(source["kibana.alert.original_event.id"])
    return found


def test_a_partner_that_comes_late_is_found_once(es: Elasticsearch, store: ElasticStore) -> None:
    early = event("b", TEN + timedelta(seconds=30), TEN + timedelta(minutes=1))
    late = event("a", TEN, TEN + timedelta(hours=2))
    strangers = [event("b", TEN + timedelta(seconds=n), TEN, host=f"x{n}") for n in range(50)]
    fill(store, early, *strangers)
    assert run(store, TEN + timedelta(minutes=2)).alerts_created == 0
    fill(store, late)
    noon = TEN + timedelta(hours=2, minutes=1)
    assert run(store, noon).alerts_created == 1
    assert run(store, noon + timedelta(minutes=2)).alerts_created == 0
    (blocks,) = groups(es).values()
    assert blocks == [late["event"]["id"], early["event"]["id"]]
    again = backfill.run(
        store, [PAIR], Window(TEN - timedelta(hours=1), noon), TERMS, clock=lambda: noon
    )
    assert (again.alerts_created, again.failed) == (0, False)
    (shown,) = reading.newest(store, Wanted(), 10)
    assert shown["kibana.alert.depth"] == 2, "its blocks are not listed"


def test_a_backfill_finds_each_pair_and_no_spoilt_one(
    es: Elasticsearch, store: ElasticStore
) -> None:
    sources = []
    for n in range(60):
        time = TEN + timedelta(minutes=n)
        sources += [
            event(name, time + timedelta(seconds=20 * place), time, host=f"h{n % 3}")
            for place, name in enumerate("acb" if n % 5 == 0 else "ab")
        ]
    fill(store, *sources)
    span = Window(TEN - timedelta(hours=1), TEN + timedelta(hours=2))
    report = backfill.run(store, [PAIR], span, TERMS, clock=lambda: span.end)
    assert (report.alerts_created, report.failed) == (48, False)
    assert all(len(blocks) == 2 for blocks in groups(es).values())


def test_what_may_still_come_is_waited_for(store: ElasticStore) -> None:
    fill(store, event("a", TEN, TEN), event("a", TEN, TEN, host="i"))
    fill(store, event("b", TEN + timedelta(minutes=9), TEN + timedelta(minutes=9), host="i"))
    created = []
    for minutes in range(2, 21, 5):
        now = TEN + timedelta(minutes=minutes)
        report = cycle.run(store, [WAITING], now, TERMS, clock=lambda now=now: now)  # type: ignore[misc]
        created.append(report.alerts_created)
    assert created == [0, 0, 1, 0]
