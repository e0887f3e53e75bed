"""One request of a cycle fails, in every way requests fail: nothing is lost, nothing twice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch

from detector.errors import StoreError
from detector.model import Checkpoint
from detector.run import cycle
from detector.run.cycle import Report
from detector.store import connection, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import TERMS, make_rule, shell_event, stored
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy

pytestmark = pytest.mark.node

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS = 30
PAGE = 10
TIMEOUT = 1.0
LOGIN = b"<html><form action='/login'>who are you?</form></html>"

BULK = r"(POST|PUT) /_bulk"
STEPS: dict[str, tuple[str, int]] = {
    "checkpoints": (r"POST /detector-state-default/_mget", 0),
    "beginning": (BULK, 0),
    "first page": (r"POST /_msearch", 0),
    "point in time": (r"POST /.*/_pit", 0),
    "page under it": (r"POST /_msearch", 1),
    "look-up": (r"POST /alerts-detector-default[^/]*/_search", 0),
    "write": (BULK, 1),
    "last write": (BULK, 3),
    "refresh": (r"POST /alerts-detector-default[^/]*/_refresh", 0),
    "checkpoint": (BULK, 4),
    "run record": (BULK, 5),
}
"""The requests of a first cycle of thirty matches in pages of ten, each with its turn."""

INTO: dict[str, tuple[bytes, int]] = {
    "beginning": (b'"_index":"detector-state-default"', 0),
    "write": (b'"_index":"alerts-detector-default', 0),
    "last write": (b'"_index":"alerts-detector-default', 2),
    "checkpoint": (b'"_index":"detector-state-default"', 1),
    "run record": (b'"_index":"detector-runs-default', 0),
}
"""What tells the bulk requests of a cycle from each other, and their turn among their like."""

WAYS: dict[str, tuple[Any, bool]] = {
    "429": (proxy.status(429, Retry_After="0"), False),
    "502": (proxy.status(502, b"bad gateway"), False),
    "503": (proxy.status(503), False),
    "504": (proxy.status(504), False),
    "no answer": (proxy.drop, False),
    "applied, answer lost": (proxy.drop, True),
    "half an answer": (proxy.cut, True),
    "garbage": (proxy.garbage, False),
    "a login page": (proxy.page(LOGIN), False),
    "silence": (proxy.hang(TIMEOUT * 1.5), False),
}
"""What happens to a request, and whether the node has applied it all the same."""


@pytest.fixture
def ready(es: Elasticsearch, installed: ElasticStore) -> Elasticsearch:
    """Give a node with the templates and thirty events inside the window."""
    events = [shell_event(NOW - timedelta(seconds=n + 1)) for n in range(EVENTS)]
    scratch.fill(installed, stored(events))
    return es


def through(between: Proxy, budget: float) -> ElasticStore:
    client = connection.connect(between.url, request_timeout=TIMEOUT)
    return ElasticStore(client, "default", page_size=PAGE, patience=Patience(0.01, 0.1, budget))


def run(
    store: ElasticStore, now: datetime = NOW, begun: dict[str, Checkpoint] | None = None
) -> Report:
    return cycle.run(store, [make_rule()], now, TERMS, clock=lambda: now, begun=begun)


def events_of_alerts(es: Elasticsearch) -> list[Any]:
    es.indices.refresh(index="alerts-detector-default", ignore_unavailable=True)
    found = es.search(index="alerts-detector-default", size=1_000, ignore_unavailable=True)
    return sorted(hit["_source"]["event"]["id"] for hit in found["hits"]["hits"])


class FirstTime(Fault):
    """Befalls every request once: what is asked again is the same line with the same body."""

    def __init__(self, happen: Any, *, applied: bool) -> None:
        super().__init__("", happen, applied=applied)
        self.seen: set[tuple[str, bytes]] = set()

    def takes(self, line: str, body: bytes) -> bool:
        new = (line, body) not in self.seen and line.startswith(("POST", "PUT"))
        self.seen.add((line, body))
        return new


def records(es: Elasticsearch) -> list[dict[str, Any]]:
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    found = es.search(index="detector-runs-*", expand_wildcards="all", size=100)
    return [hit["_source"] for hit in found["hits"]["hits"]]


@pytest.mark.parametrize("way", WAYS)
def test_every_request_of_a_cycle_that_fails_the_first_time_is_asked_again(
    ready: Elasticsearch, between: Proxy, way: str
) -> None:
    happen, applied = WAYS[way]
    between.inject(FirstTime(happen, applied=applied))
    report = run(through(between, budget=10))
    for where, skip in STEPS.values():
        asked = sum(bool(re.search(where, line)) for line in between.lines)
        assert asked >= 2 * (skip + 1), f"{where} did not fail"
    assert [record.status for record in report.runs] == ["succeeded"], report.runs[0]
    found = events_of_alerts(ready)
    assert len(found) == len(set(found)) == EVENTS
    (told,) = records(ready)
    assert (told["status"], told["matches"], told["error"]) == ("succeeded", EVENTS, None)


@pytest.mark.parametrize("step", STEPS)
def test_a_request_that_keeps_failing_is_made_up_for_by_the_next_run(
    ready: Elasticsearch, between: Proxy, step: str
) -> None:
    where, skip = STEPS[step]
    index, skip = INTO.get(step, (b"", skip))
    fault = Fault(where, proxy.status(503), 10_000, skip, body=lambda sent: index in sent)
    between.inject(fault)
    store = through(between, budget=0.3)
    begun: dict[str, Checkpoint] = {}
    try:
        report = run(store, begun=begun)
        harmless = {"refresh", "run record"}
        assert step in harmless or report.failed, "a failed run must say so"
        assert step not in harmless or report.runs[0].warnings
    except StoreError:
        assert step == "checkpoints"
    assert fault.hits > skip, "nothing failed"
    if step not in {"checkpoints", "run record"}:
        (told,) = records(ready)
        assert told["error"] or told["warnings"], "the run record tells what happened"
    between.heal()
    again = run(store, NOW + timedelta(minutes=40), begun)
    assert not again.failed
    found = events_of_alerts(ready)
    assert len(found) == len(set(found)) == EVENTS


def test_only_the_items_that_were_refused_for_now_are_sent_again(
    ready: Elasticsearch, between: Proxy
) -> None:
    refused = []

    def some_items(request: proxy.Request, answer: proxy.Answer | None) -> None:
        assert answer is not None
        body = orjson.loads(answer.body)
        for item in body["items"][::2]:
            refused.append(item["create"]["_id"])
            ready.delete(index=item["create"]["_index"], id=item["create"]["_id"])
            item["create"] |= {"status": 429, "error": {"reason": "es_rejected_execution"}}
        request.send(proxy.Answer(200, answer.headers, orjson.dumps(body)))

    between.inject(Fault(BULK, some_items, skip=1, applied=True))
    report = run(through(between, budget=10))
    assert refused
    assert report.runs[0].status == "succeeded"
    found = events_of_alerts(ready)
    assert len(found) == len(set(found)) == EVENTS


def test_a_cluster_that_is_down_ends_the_cycle_in_time_and_says_so(between: Proxy) -> None:
    between.inject(Fault(".*", proxy.drop, times=10_000))
    with pytest.raises(StoreError, match="cannot be reached"):
        run(through(between, budget=0.5))
    assert len(between.lines) < 60, "a storm of retries"
