"""Indices that take no writes for now: the run says so, and the next one makes up for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.errors import Blocked
from detector.model import Checkpoint, RunRecord
from detector.run import cycle
from detector.store import scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, NOW, TERMS, install, make_rule, shell_event, stored

pytestmark = pytest.mark.node

ALERTS = f"alerts-detector-default-{NOW:%Y.%m}"
STATE = "detector-state-default"
RUNS = f"detector-runs-default-{NOW:%Y.%m}"
LETTERS = "detector-deadletter-default"
EVENTS = 5

Way = Callable[[Elasticsearch, str], Callable[[], object]]
"""Makes an index take no writes; gives what makes it take them again."""


def block(kind: str) -> Way:
    def close(client: Elasticsearch, index: str) -> Callable[[], object]:
        name = f"index.blocks.{kind}"
        client.indices.put_settings(index=index, settings={name: True})
        return lambda: client.indices.put_settings(index=index, settings={name: None})

    return close


def closed(client: Elasticsearch, index: str) -> Callable[[], object]:
    client.indices.close(index=index)
    return lambda: client.indices.open(index=index)


def cluster(client: Elasticsearch, _: str) -> Callable[[], object]:
    name = "cluster.blocks.read_only"
    client.cluster.put_settings(persistent={name: True})
    return lambda: client.cluster.put_settings(persistent={name: None})


WAYS: dict[str, tuple[Way, str]] = {
    "disk full": (block("read_only_allow_delete"), "disk usage exceeded flood-stage"),
    "write block": (block("write"), "index write"),
    "read only": (block("read_only"), "read-only"),
    "closed": (closed, "closed"),
    "whole cluster": (cluster, "cluster read-only"),
}


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[ElasticStore]:
    """Give a store set up, with an alert of an earlier month's turn and events to alert on."""
    made = ElasticStore(es, "default", patience=Patience(0.01, 0.1, 20))
    install(made)
    scratch.template(made, "events", ["logs-*"])
    es.indices.create(index=ALERTS)
    es.indices.create(index=RUNS)
    yield made
    es.cluster.put_settings(persistent={"cluster.blocks.read_only": None})


def log(store: ElasticStore, at: datetime = NOW, prefix: str = "event") -> None:
    events = [
        shell_event(at - timedelta(minutes=1, seconds=n), event_id=f"{prefix}-{n}")
        for n in range(EVENTS)
    ]
    scratch.fill(store, stored(events, INDEX))


def run(store: ElasticStore, minutes: int, begun: dict[str, Checkpoint]) -> list[RunRecord]:
    now = NOW + timedelta(minutes=minutes)
    report = cycle.run(store, [make_rule()], now, TERMS, clock=lambda: now, begun=begun)
    return list(report.runs)


def alerted(es: Elasticsearch) -> list[str]:
    es.indices.refresh(index="alerts-detector-default")
    found = es.search(index="alerts-detector-default", size=1_000)
    return sorted(hit["_source"]["event"]["id"] for hit in found["hits"]["hits"])


@pytest.mark.parametrize("index", [ALERTS, STATE], ids=["alerts", "state"])
@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_written_for_now_is_written_later(
    es: Elasticsearch, store: ElasticStore, way: str, index: str
) -> None:
    begun: dict[str, Checkpoint] = {}
    close, said = WAYS[way]
    log(store)
    lift = close(es, index)
    began = datetime.now(UTC)
    try:
        (record,) = run(store, 0, begun)
        assert record.status == "failed"
        assert said in str(record.error)
    except Blocked as error:  # the state cannot be read
        assert way == "closed"
        assert said in error.message
    assert datetime.now(UTC) - began < timedelta(seconds=10), "waits for what nobody lifts soon"
    lift()
    assert not any(record.error for record in run(store, 20, begun))
    assert alerted(es) == [f"event-{n}" for n in range(EVENTS)]
    es.indices.refresh(index=LETTERS)
    assert es.count(index=LETTERS)["count"] == 0, "a block is no reason for a dead letter"
