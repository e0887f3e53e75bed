"""What a response lacks, by every way Elasticsearch has of saying so."""

from __future__ import annotations

from typing import Any

import pytest

from detector.model import Page
from detector.store import msearch, remotes
from detector.store.msearch import Lack

QUERY = {"type": "query_shard_exception", "reason": "failed to create query"}
BUSY = {"type": "es_rejected_execution_exception", "reason": "queue capacity 1000"}
ALL_SHARDS = {"type": "search_phase_execution_exception", "reason": "all shards failed"}
FOR_EVER = {"durability": "PERMANENT"}
AWAY = {"type": "connect_transport_exception", "reason": "Unable to connect to [a]"}


def response(*reasons: dict[str, Any], timed_out: bool = False, **more: Any) -> dict[str, Any]:
    failures = [{"index": "logs-x", "reason": reason} for reason in reasons]
    shards = {"total": 3, "failed": len(failures), "failures": failures}
    return {"timed_out": timed_out, "_shards": shards} | more


def clusters(**states: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    details: dict[str, Any] = {"(local)": {"status": "successful"}}
    counts = dict.fromkeys(("successful", *msearch.ABSENT), 0) | {"successful": 1}
    for name, state in states.items():
        status, *reasons = (state,) if isinstance(state, str) else state
        details[name] = {"status": status, "failures": [{"reason": r} for r in reasons]}
        counts[status] += 1
    return {"_clusters": {"total": len(details), "details": details} | counts}


@pytest.mark.parametrize(
    "whole",
    [
        response(),
        response() | clusters(a="successful"),
        response() | {"_clusters": {"total": 2, "successful": 2, "skipped": 0}},
    ],
    ids=["shards", "clusters", "clusters without details"],
)
def test_a_whole_answer_lacks_nothing(whole: dict[str, Any]) -> None:
    assert msearch.lack(whole) is None


@pytest.mark.parametrize(
    ("partial", "said", "transient"),
    [
        (response(timed_out=True), "timed out", True),
        (response(BUSY), "1 of 3 shards failed: logs-x: queue capacity", True),
        (response(QUERY), "failed to create query", False),
        (response(QUERY, BUSY), "2 of 3 shards failed", True),
        (response(QUERY, timed_out=True), "timed out", True),
        (response() | clusters(a=("skipped", AWAY)), "a (skipped): Unable to connect", True),
        (response() | clusters(a="skipped"), "a (skipped): no reason given", True),
        (response() | clusters(a="running"), "a (running)", True),
        (response() | clusters(a=("failed", BUSY)), "a (failed): queue", True),
        (response(QUERY) | clusters(a=("partial", QUERY)), "failed to create query", False),
        (response(QUERY) | clusters(a=("skipped", AWAY)), "Unable to connect", True),
        (response() | clusters(a=("skipped", QUERY)), "failed to create query", False),
        (response() | {"_clusters": {"total": 2, "skipped": 1}}, "1 of 2 clusters", True),
        (response(QUERY) | {"_clusters": {"total": 2, "skipped": 1}}, "1 of 2 clusters", True),
    ],
)
def test_a_partial_answer_says_what_it_lacks_and_whether_it_may_come(
    partial: dict[str, Any], said: str, transient: bool
) -> None:
    found = msearch.lack(partial)
    assert found is not None
    assert said in found.reason
    assert found.transient is transient


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (response(), False),
        (response(QUERY), False),
        (response(BUSY), True),
        ({"error": BUSY, "status": 429}, True),
        ({"error": BUSY | {"type": "circuit_breaking_exception"}, "status": 429}, True),
        (
            {
                "error": {"type": "circuit_breaking_exception", "durability": "PERMANENT"},
                "status": 429,
            },
            False,
        ),
        ({"error": QUERY, "status": 400}, False),
        ({"error": ALL_SHARDS | {"root_cause": [BUSY]}, "status": 429}, True),
        ({"error": ALL_SHARDS | {"root_cause": [BUSY | FOR_EVER]}, "status": 429}, False),
        ({"error": ALL_SHARDS | {"root_cause": [QUERY, BUSY]}, "status": 400}, True),
        ({"error": ALL_SHARDS, "status": 429}, True),
        ({"error": ALL_SHARDS, "status": 503}, False),
        (response() | clusters(a=("skipped", BUSY)), True),
        (response() | clusters(a=("skipped", AWAY)), False),
    ],
)
def test_only_what_a_moment_may_change_is_asked_again(answer: dict[str, Any], again: bool) -> None:
    assert msearch.was_rejected(answer) is again


def test_a_remote_that_is_left_out_of_a_point_in_time_is_missed() -> None:
    first = response() | clusters(a="successful", b="successful")
    assert msearch.left_out(first, response() | clusters(a="successful", b="successful")) is None
    without = msearch.left_out(first, response() | clusters(a="successful"))
    assert without == Lack("remote clusters went away: b")
    assert msearch.left_out(first, response()) == Lack("remote clusters went away: a, b")
    assert msearch.left_out(response(), response()) is None


def test_what_is_lacking_twice_is_said_once_and_may_come_if_some_of_it_may() -> None:
    page = Lack("b", transient=False).noted(Page(()))
    assert (page.incomplete, page.transient) == ("b", False)
    both = Lack("a").noted(page)
    assert (both.incomplete, both.transient) == ("a; b", True)
    assert Lack("a; b").noted(both).incomplete == "a; b"


@pytest.mark.parametrize(
    ("index", "present", "lack"),
    [
        (["logs-*", "a:logs-*"], ["logs-*", "a:logs-*"], None),
        (["logs-*", "b:logs-*"], ["logs-*"], Lack("remote clusters are away: b")),
        (["*:logs-*"], ["a:logs-*"], Lack("remote clusters are away: b")),
        (["c:x", "a:x"], ["a:x"], Lack("no such remote cluster: c", transient=False)),
        (["c:x", "b:x", "y"], ["y"], Lack("remote clusters are away: b")),
        (["<logs-{now/d{yyyy.MM.dd|+12:00}}>"], ["<logs-{now/d{yyyy.MM.dd|+12:00}}>"], None),
    ],
)
def test_patterns_go_to_the_clusters_that_are_there(
    index: list[str], present: list[str], lack: Lack | None
) -> None:
    known = {"a": True, "b": False}
    assert remotes.without_absent(index, known) == (tuple(present), lack)
