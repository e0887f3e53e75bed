from __future__ import annotations

from typing import Any

import pytest

from detector.store import mapped
from tests.builders import make_rule

TIMES: dict[str, Any] = {"@timestamp": {"date": {}}, "event.ingested": {"date": {}}}
CASES: list[tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = [
    ("as written for", 'any where process.name == "x"', {"process.name": {"keyword": {}}}, []),
    ("wildcard does", 'any where process.name : "x*"', {"process.name": {"wildcard": {}}}, []),
    (
        "analysed text is read",
        'any where process.name == "x"',
        {"process.name": {"text": {}}},
        [("warning", "process.name is text in events: every event is fetched")],
    ),
    (
        "analysed text with its whole values beside it",
        'any where process.name == "x"',
        {"process.name": {"text": {}}, "process.name.keyword": {"keyword": {}}},
        [],
    ),
    (
        "a number where text is wanted",
        'any where process.name : "x*"',
        {"process.name": {"long": {}}},
        [("error", "process.name is long in events, where the rule needs keyword")],
    ),
    (
        "text in one index of two",
        'any where process.name == "x"',
        {"process.name": {"text": {"indices": ["b"]}, "keyword": {"indices": ["a"]}}},
        [("warning", "process.name is text in b: every event is fetched")],
    ),
    ("numbers of any width", "any where process.pid > 4", {"process.pid": {"integer": {}}}, []),
    (
        "an order of numbers in a keyword",
        "any where process.pid > 4",
        {"process.pid": {"keyword": {}}},
        [("error", "process.pid is keyword in events, where the rule needs a number")],
    ),
    ("one number in a keyword", "any where process.pid == 4", {"process.pid": {"keyword": {}}}, []),
    (
        "a network in a keyword",
        'any where cidrMatch(source.ip, "10.0.0.0/8")',
        {"source.ip": {"keyword": {}}},
        [("error", "source.ip is keyword in events, where the rule needs ip")],
    ),
    (
        "an object",
        'any where process.name == "x"',
        {"process.name": {"object": {}}},
        [("error", "process.name is object in events, where the rule needs keyword")],
    ),
    (
        "a key that is analysed text",
        "sequence by host.id [any where true] [any where true]",
        {"host.id": {"text": {}}},
        [("warning", "host.id is text in events: every event is fetched")],
    ),
    (
        "not mapped",
        'any where process.name == "x" and host.name != null',
        {"process.name": {"keyword": {}}},
        [("warning", "no index of events maps host.name")],
    ),
    (
        "several are one problem",
        'any where my.one == "x" and my.two == "y"',
        {},
        [("warning", "no index of events maps my.one, my.two")],
    ),
    ("may be missing", 'any where ?my.one == "x"', {}, []),
    (
        "unmapped in some indices is mapped",
        'any where process.name == "x"',
        {"process.name": {"keyword": {"indices": ["a"]}, "unmapped": {"indices": ["b"]}}},
        [],
    ),
    (
        "a key of a flattened object",
        'any where my.labels.a == "x"',
        {"my.labels": {"flattened": {}}},
        [],
    ),
    ("unknown to ECS, any number", "any where my.number == 4", {"my.number": {"double": {}}}, []),
    (
        "unknown to ECS, text",
        'any where my.name == "x"',
        {"my.name": {"match_only_text": {}}},
        [("warning", "my.name is match_only_text in events: every event is fetched")],
    ),
    ("whether it is there", "any where my.name != null", {"my.name": {"text": {}}}, []),
]


@pytest.mark.parametrize(("_", "query", "caps", "expected"), CASES, ids=[case[0] for case in CASES])
def test_fields_that_keep_a_rule_blind_are_said(
    _: str, query: str, caps: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    rule = make_rule(query, index=("events",))
    found = [
        (one.level, one.message.removeprefix("A shell: "))
        for one in mapped.problems(rule, TIMES | caps)
    ]
    assert found == expected


def test_a_time_that_is_no_date_or_not_there_is_said() -> None:
    rule = make_rule("any where true", index=("events",), timestamp_override="event.ingested")
    levels = {
        one.message: one.level for one in mapped.problems(rule, {"@timestamp": {"keyword": {}}})
    }
    assert levels == {
        "A shell: no index of events maps event.ingested": "warning",
        "A shell: @timestamp is keyword in events, where the rule needs date": "error",
    }


def test_parents_are_asked_for_as_well() -> None:
    assert mapped.names(make_rule('any where a.b.c == "x"')) >= {"a", "a.b", "a.b.c", "@timestamp"}
