"""How requests are made again: pauses asked for, single items, a cluster that is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import orjson
import pytest
from elasticsearch import Elasticsearch

from detector.errors import Unavailable
from detector.language import eql, tree
from detector.model import Failure, Page, Search, Window
from detector.store import connection, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, NOW, SHELL, shell_event, stored
from tests.faults import proxy
from tests.faults.proxy import Answer, Fault, Proxy, Request

pytestmark = pytest.mark.node

MSEARCH = r"POST /_msearch"
ANY = ".*"
REJECTED = {"type": "es_rejected_execution_exception", "reason": "queue capacity 1000"}
TOO_BIG = {"type": "circuit_breaking_exception", "reason": "[parent]", "durability": "PERMANENT"}


def through(
    between: Proxy, budget: float, per_request: int = 200, together: int = 1
) -> ElasticStore:
    client = connection.connect(between.url, request_timeout=5)
    return ElasticStore(
        client,
        "default",
        patience=Patience(0.01, 0.1, budget),
        searches_per_request=per_request,
        rules_per_search=together,
    )


def one_event(es: Elasticsearch) -> None:
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-*"])
    scratch.fill(store, stored([shell_event(NOW - timedelta(minutes=1))]))


def searches(count: int) -> list[Search]:
    where = cast("tree.Node", eql.parse(SHELL))
    window = Window(NOW - timedelta(hours=1), NOW)
    return [Search(f"rule-{n}", (INDEX,), where, window, "event.ingested") for n in range(count)]


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        (lambda: "1", 1.0),
        (lambda: "0", 0.0),
        (lambda: in_seconds(2), 1.0),
        (lambda: in_seconds(-60), 0.0),
        (lambda: "soon", 0.0),
    ],
    ids=["seconds", "none", "a date", "a date that has passed", "nonsense"],
)
@pytest.mark.usefixtures("es")
def test_a_pause_that_is_asked_for_is_kept(
    between: Proxy, asked: Callable[[], str], least: float
) -> None:
    store = through(between, budget=10)
    store.call(store.client.info)
    between.inject(Fault(ANY, proxy.status(429, Retry_After=asked())))
    began = time.monotonic()
    store.call(store.client.info)
    assert least <= time.monotonic() - began < least + 1.5


@pytest.mark.usefixtures("es")
def test_a_pause_longer_than_the_budget_is_not_waited_for(between: Proxy) -> None:
    store = through(between, budget=5)
    between.inject(Fault(ANY, proxy.status(503, Retry_After="60"), times=2))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="503"):
        store.call(store.client.info)
    assert time.monotonic() - began < 1


def instead(changed: dict[int, dict[str, Any]]) -> Callable[[Request, Answer | None], None]:
    """Some items of an `_msearch` are answered otherwise."""

    def happen(request: Request, answer: Answer | None) -> None:
        assert answer is not None
        body = orjson.loads(answer.body)
        for position, item in changed.items():
            body["responses"][position] |= item
        request.send(Answer(200, answer.headers, orjson.dumps(body)))

    return happen


def shards_failed(reason: dict[str, Any]) -> dict[str, Any]:
    failure = {"shard": 0, "index": INDEX, "status": 429, "reason": reason}
    return {"_shards": {"total": 2, "successful": 1, "failed": 1, "failures": [failure]}}


def test_only_the_searches_that_were_refused_for_now_are_asked_again(
    es: Elasticsearch, between: Proxy
) -> None:
    store = through(between, budget=10)
    one_event(es)
    asked = count_items(between)
    changed = {1: {"status": 429, "error": REJECTED}, 3: shards_failed(REJECTED)}
    between.inject(Fault(MSEARCH, instead(changed), applied=True))
    answers = store.search(searches(5))
    assert [isinstance(a, Page) and len(a.documents) for a in answers] == [1] * 5
    assert not any(isinstance(a, Page) and a.incomplete for a in answers)
    assert asked == [5, 2]


def count_items(between: Proxy) -> list[int]:
    """How many searches each `_msearch` carries, as they come."""
    found: list[int] = []

    def note(line: str, body: bytes) -> None:
        if "_msearch" in line:
            found.append(body.count(b"\n") // 2)

    between.watch(note)
    return found


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"status": 429, "error": REJECTED}, "queue capacity"),
        ({"status": 429, "error": TOO_BIG}, "parent"),
    ],
    ids=["busy", "too big for ever"],
)
@pytest.mark.usefixtures("es")
def test_a_search_that_stays_refused_fails_alone_and_for_now(
    between: Proxy, item: dict[str, Any], said: str
) -> None:
    store = through(between, budget=0.3)
    asked = count_items(between)
    between.inject(*(Fault(MSEARCH, instead({0: item}), applied=True) for _ in range(100)))
    first, second = store.search(searches(2))
    assert isinstance(first, Failure)
    assert isinstance(first.error, Unavailable)
    assert said in first.error.message
    assert isinstance(second, Page)
    assert asked[0] == 2
    assert set(asked[1:]) == (set() if item["error"] is TOO_BIG else {1})


@pytest.mark.parametrize("fault", [proxy.drop, proxy.status(503)], ids=["dropped", "503"])
def test_a_moment_without_a_cluster_is_ridden_out_by_rules_that_are_asked_together(
    es: Elasticsearch, between: Proxy, fault: Callable[[Request, Answer | None], None]
) -> None:
    one_event(es)
    store = through(between, budget=5, together=64)
    between.inject(Fault(ANY, fault, times=3))
    answers = store.search(searches(5))
    assert [isinstance(a, Page) and len(a.documents) for a in answers] == [1] * 5
    asked = count_items(between)
    again = [replace(one, where=tree.Nothing()) for one in searches(5)]
    assert all(isinstance(answer, Page) for answer in store.search(again))
    assert asked == [1], "nobody is kept apart for what the cluster did"


@pytest.mark.parametrize("together", [1, 64])
@pytest.mark.usefixtures("es")
def test_a_thousand_searches_while_a_cluster_is_away_cost_few_requests(
    between: Proxy, together: int
) -> None:
    store = through(between, budget=0.5, per_request=1, together=together)
    store.call(store.client.info)
    before = len(between.lines)
    between.inject(Fault(ANY, proxy.drop, times=10_000))
    began = time.monotonic()
    answers = store.search(searches(1_000))
    assert all(isinstance(a, Failure) and isinstance(a.error, Unavailable) for a in answers)
    assert "cannot be reached" in str(answers[-1].error if isinstance(answers[-1], Failure) else "")
    assert time.monotonic() - began < 5
    assert len(between.lines) - before < 40, "a storm of requests"


@pytest.mark.usefixtures("es")
def test_a_cluster_that_comes_back_is_noticed_by_one_probe(between: Proxy) -> None:
    store = through(between, budget=0.2)
    between.inject(Fault(ANY, proxy.drop, times=10_000))
    for _ in range(2):
        assert isinstance(store.search(searches(1))[0], Failure)
    between.heal()
    time.sleep(1.1)
    before = len(between.lines)
    assert all(isinstance(answer, Page) for answer in store.search(searches(3)))
    assert between.lines[before : before + 2] == ["GET /", "POST /_msearch"]


@pytest.mark.usefixtures("es")
def test_one_request_that_never_ends_well_does_not_stop_the_others(between: Proxy) -> None:
    store = through(between, budget=0.2)
    between.inject(Fault(MSEARCH, proxy.status(504), times=10_000))
    assert isinstance(store.search(searches(1))[0], Failure)
    assert store.call(store.client.info)["version"]


def test_of_several_addresses_one_that_answers_is_enough(es: Elasticsearch, node_url: str) -> None:
    one_event(es)
    with Proxy(node_url) as dead:
        pass
    client = connection.connect(f"{dead.url},{node_url}", request_timeout=5)
    store = ElasticStore(client, "default", patience=Patience(0.01, 0.1, 5))
    for _ in range(6):
        (answer,) = store.search(searches(1))
        assert isinstance(answer, Page)
        assert len(answer.documents) == 1
