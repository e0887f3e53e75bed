"""One request of a cycle fails, in every way requests fail: nothing is lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.errors import StoreError
from detector.model import Checkpoint
from detector.run import cycle
from detector.run.cycle import Report
from detector.store import connection, installation, scratch
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

STEPS = {
    "checkpoints": r"POST /detector-state-default/_mget",
    "first page": r"POST /_msearch",
    "point in time": r"POST /.*/_pit",
    "look-up": r"POST /alerts-detector-default/_search",
    "write": r"(POST|PUT) /_bulk",
    "refresh": r"POST /alerts-detector-default/_refresh",
}
WAYS: dict[str, Callable[[str], Fault]] = {
    "429": lambda where: Fault(where, proxy.status(429, Retry_After="0")),
    "502": lambda where: Fault(where, proxy.status(502, b"bad gateway")),
    "503": lambda where: Fault(where, proxy.status(503)),
    "504": lambda where: Fault(where, proxy.status(504)),
    "no answer": lambda where: Fault(where, proxy.drop),
    "applied, answer lost": lambda where: Fault(where, proxy.drop, applied=True),
    "half an answer": lambda where: Fault(where, proxy.cut, applied=True),
    "garbage": lambda where: Fault(where, proxy.garbage),
    "a login page": lambda where: Fault(where, proxy.page(LOGIN)),
    "silence": lambda where: Fault(where, proxy.hang(TIMEOUT * 1.5)),
}


@pytest.fixture
def between(node_url: str) -> Iterator[Proxy]:
    with Proxy(node_url) as made:
        yield made


@pytest.fixture
def ready(es: Elasticsearch) -> Elasticsearch:
    """Give a node with the templates and thirty events inside the window."""
    store = ElasticStore(es, "default")
    installation.install(store, lambda lacking: alerts.template("default", missing_types=lacking))
    scratch.template(store, "events", ["logs-*"])
    events = [shell_event(NOW - timedelta(seconds=n + 1)) for n in range(EVENTS)]
    scratch.fill(store, stored(events))
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_a_request_that_fails_once_is_asked_again(
    ready: Elasticsearch, between: Proxy, step: str, way: str
) -> None:
    fault = WAYS[way](STEPS[step])
    between.inject(fault)
    report = run(through(between, budget=10))
    assert fault.hits >= 1, "the fault never happened"
    assert [record.status for record in report.runs] == ["succeeded"], report.runs[0]
    found = events_of_alerts(ready)
    assert len(found) == len(set(found)) == EVENTS


@pytest.mark.parametrize("step", STEPS)
def test_a_request_that_keeps_failing_is_made_up_for_by_the_next_run(
    ready: Elasticsearch, between: Proxy, step: str
) -> None:
    between.inject(Fault(STEPS[step], proxy.status(503), times=10_000))
    store = through(between, budget=0.3)
    begun: dict[str, Checkpoint] = {}
    try:
        report = run(store, begun=begun)
        assert step == "refresh" or report.failed, "a failed run must say so"
    except StoreError:
        assert step == "checkpoints"
    between.heal()
    run(store, NOW + timedelta(minutes=40), begun)
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

    between.inject(Fault(STEPS["write"], some_items, skip=1, applied=True))
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
