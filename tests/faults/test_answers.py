"""Answers that fail in part, or are no answers: what is there is kept, and is no rule's fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch

from detector.errors import Rejected, Unavailable
from detector.model import Alert, Failure, Page
from detector.store.elastic import ElasticStore
from tests.faults import proxy
from tests.faults.proxy import Answer, Fault, Proxy, Request
from tests.faults.test_retries import (
    MSEARCH,
    REJECTED,
    instead,
    one_event,
    searches,
    shards_failed,
    through,
)

pytestmark = pytest.mark.node

BULK = r"(POST|PUT) /_bulk"
MGET = r"_mget"
LOOK_UP = r"/_search"
NO_SPACE = {"type": "translog_exception", "reason": "No space left on device"}
LOST = {"type": "search_context_missing_exception", "reason": "No search context found"}
NO_SHAPE = [b"{}", b"[]", b"null", b'{"responses":[]}', b'{"responses":[null]}', b'{"items":[]}']


def answers(body: bytes, code: int = 200) -> Any:
    return proxy.status(code, body)


def a_page(code: int) -> Any:
    """What is between answers with a page of its own."""

    def happen(request: Request, _: Answer | None) -> None:
        request.send(Answer(code, [("Content-Type", "text/html")], b"<html>login</html>"))

    return happen


def an_alert(n: int) -> Alert:
    document = {"kibana.alert.rule.rule_id": "r"}
    time = datetime(2026, 7, 1, tzinfo=UTC)
    return Alert(index="alerts-detector-default-2026.07", id=f"a{n}", document=document, time=time)


def of_alerts(error: dict[str, Any], status: int, *broken: str) -> Callable[..., None]:
    """The alerts of these ids are answered otherwise, and are not there; all, if there are none."""

    def happen(request: Request, answer: Answer | None) -> None:
        assert answer is not None
        body = orjson.loads(answer.body)
        for item in body["items"]:
            told = item["create"]
            if told["_index"].startswith("alerts") and (not broken or told["_id"] in broken):
                told |= {"status": status, "error": error}
        request.send(Answer(200, answer.headers, orjson.dumps(body)))

    return happen


@pytest.mark.parametrize("code", [302, 404, 405, 500, 521])
@pytest.mark.usefixtures("es")
def test_a_thousand_searches_a_gateway_answers_cost_few_requests(between: Proxy, code: int) -> None:
    store = through(between, budget=0.2)
    store.call(store.client.info)
    before = len(between.lines)
    between.inject(Fault(MSEARCH, a_page(code), 10_000))
    found = store.search(searches(1_000))
    assert all(isinstance(one, Failure) and isinstance(one.error, Unavailable) for one in found)
    assert len(between.lines) - before < 120


@pytest.mark.usefixtures("es")
def test_a_gateway_that_calls_every_request_bad_is_soon_left_alone(between: Proxy) -> None:
    store = through(between, budget=0.2)
    store.call(store.client.info)
    between.inject(Fault(MSEARCH, a_page(400), 10_000))
    found = store.search(searches(1_000))
    assert all(isinstance(one, Failure) and isinstance(one.error, Rejected) for one in found)
    assert sum("_msearch" in line for line in between.lines) == 15


@pytest.mark.parametrize("later", [answers(b"{}", 503), answers(b"{}"), proxy.drop])
def test_whole_answers_stay_whatever_becomes_of_the_last(
    es: Elasticsearch, between: Proxy, later: Any
) -> None:
    one_event(es)
    store = through(between, budget=0.3)
    refused = instead({1: {"status": 429, "error": REJECTED}})
    between.inject(Fault(MSEARCH, refused, applied=True), Fault(MSEARCH, later, 10_000))
    found = store.search(searches(20))
    assert [i for i, one in enumerate(found) if isinstance(one, Failure)] == [1]
    assert isinstance(found[1], Failure)
    assert isinstance(found[1].error, Unavailable)


def test_hits_are_not_given_up_for_an_error(es: Elasticsearch, between: Proxy) -> None:
    one_event(es)
    store = through(between, budget=0.3)
    refused = instead({0: {"status": 429, "error": REJECTED}})
    between.inject(
        Fault(MSEARCH, instead({0: shards_failed(REJECTED)}), applied=True),
        Fault(MSEARCH, refused, 10_000, applied=True),
    )
    (page,) = store.search(searches(1))
    assert isinstance(page, Page)
    assert len(page.documents) == 1
    assert page.incomplete


@pytest.mark.parametrize("error", [LOST, NO_SPACE], ids=lambda error: error["type"])
def test_what_the_cluster_lost_is_no_rules_fault(
    es: Elasticsearch, between: Proxy, error: dict[str, Any]
) -> None:
    one_event(es)
    store = through(between, budget=0.3)
    status = 404 if error is LOST else 500
    lost = instead({0: {"status": status, "error": error}})
    between.inject(Fault(MSEARCH, lost, 10_000, applied=True))
    first, second = store.search(searches(2))
    assert isinstance(first, Failure)
    assert type(first.error) is Unavailable
    assert isinstance(second, Page)


@pytest.mark.parametrize("later", [answers(b"{}", 503), answers(b"{}"), proxy.drop])
@pytest.mark.usefixtures("installed")
def test_what_was_created_is_told_whatever_becomes_of_the_rest(between: Proxy, later: Any) -> None:
    between.inject(
        Fault(BULK, of_alerts(REJECTED, 429, "a3"), applied=True), Fault(BULK, later, 10_000)
    )
    written = through(between, budget=0.3).write_alerts([an_alert(n) for n in range(5)])
    assert written.created == {"a0", "a1", "a2", "a4"}
    assert written.held.keys() == {"a3"}


@pytest.mark.parametrize(
    ("broken", "held", "refused"),
    [
        ((), {"a0", "a1", "a2"}, set()),
        (("a0", "a1"), {"a0", "a1"}, set()),
        (("a1",), set(), {"a1"}),
    ],
    ids=["the disk is full", "some break", "one breaks while others are taken"],
)
def test_what_breaks_a_cluster_is_held_but_for_one_of_many(
    installed: ElasticStore,
    between: Proxy,
    broken: tuple[str, ...],
    held: set[str],
    refused: set[str],
) -> None:
    breaking = of_alerts(NO_SPACE, 500, *broken)
    between.inject(Fault(BULK, breaking, 10_000, applied=True))
    written = through(between, budget=0.3).write_alerts([an_alert(n) for n in range(3)])
    assert set(written.held) == held
    assert set(written.refused) == refused
    installed.client.indices.refresh(index=installed.names.deadletter)
    assert installed.buried([*refused, *held]) == refused


@pytest.mark.parametrize("body", NO_SHAPE, ids=bytes.decode)
@pytest.mark.usefixtures("installed")
def test_an_answer_of_another_shape_is_nobodys(between: Proxy, body: bytes) -> None:
    store = through(between, budget=0.05)
    store.call(store.client.info)
    between.inject(Fault(f"{MSEARCH}|{MGET}|{LOOK_UP}|{BULK}", answers(body), 10_000))
    (found,) = store.search(searches(1))
    assert isinstance(found, Failure)
    assert "something other than Elasticsearch" in found.error.message
    asked: list[Callable[[], object]] = [
        lambda: store.checkpoints(["a"]),
        lambda: store.known(["a"]),
        lambda: store.write_alerts([an_alert(1)]),
        lambda: store.survey(searches(1), ["host.name"]),
    ]
    for ask in asked:
        with pytest.raises(Unavailable, match="something other than Elasticsearch"):
            ask()


@pytest.mark.usefixtures("installed")
def test_state_that_cannot_be_read_is_not_said_to_be_missing(between: Proxy) -> None:
    body = b'{"error":{"type":"illegal_argument_exception","reason":"odd"},"status":400}'
    between.inject(Fault(MGET, answers(body, 400)))
    with pytest.raises(Rejected, match="odd"):
        through(between, budget=0.3).checkpoints(["a"])
