"""Date math is resolved against a time that is given, as Elasticsearch does against its clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from detector.language import datemath, evaluate, kuery, querydsl, tree
from tests.builders import iso

NOW = datetime(2026, 3, 31, 12, 34, 56, 789_000, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "down", "up"),
    [
        ("now", "2026-03-31T12:34:56.789Z", "2026-03-31T12:34:56.789Z"),
        ("now-30d", "2026-03-01T12:34:56.789Z", "2026-03-01T12:34:56.789Z"),
        ("now-30d/d", "2026-03-01T00:00:00.000Z", "2026-03-01T23:59:59.999Z"),
        ("now/w", "2026-03-30T00:00:00.000Z", "2026-04-05T23:59:59.999Z"),
        ("now/M", "2026-03-01T00:00:00.000Z", "2026-03-31T23:59:59.999Z"),
        ("now-1M", "2026-02-28T12:34:56.789Z", "2026-02-28T12:34:56.789Z"),
        ("now-1y/y+1h", "2025-01-01T01:00:00.000Z", "2026-01-01T00:59:59.999Z"),
        ("now-d/h", "2026-03-30T12:00:00.000Z", "2026-03-30T12:59:59.999Z"),
        ("now+90m", "2026-03-31T14:04:56.789Z", "2026-03-31T14:04:56.789Z"),
        ("2026-01-15||+1M/d", "2026-02-15T00:00:00.000Z", "2026-02-15T23:59:59.999Z"),
    ],
)
def test_each_step_moves_or_rounds(text: str, down: str, up: str) -> None:
    lower, upper = datemath.instant(text, NOW), datemath.instant(text, NOW, up=True)
    assert lower is not None
    assert upper is not None
    assert (iso(lower), iso(upper)) == (down, up)


@pytest.mark.parametrize(
    "text", ["", "2026-03-01", "yesterday", "now-", "now-3x", "now30d", "x||/d", "now-999999y"]
)
def test_what_is_no_date_math_is_left_alone(text: str) -> None:
    assert datemath.instant(text, NOW) is None


@pytest.mark.parametrize(
    ("query", "inside", "outside"),
    [
        ('@timestamp >= "now-30d/d"', "2026-03-01T00:00:00.000Z", "2026-02-28T23:59:59.999Z"),
        ('@timestamp > "now-30d/d"', "2026-03-02T00:00:00.000Z", "2026-03-01T23:59:59.999Z"),
        ('@timestamp < "now-30d/d"', "2026-02-28T23:59:59.999Z", "2026-03-01T00:00:00.000Z"),
        ('@timestamp <= "now-30d/d"', "2026-03-01T23:59:59.999Z", "2026-03-02T00:00:00.000Z"),
        ('not a: 1 and not @timestamp < "now-1h"', "2026-03-31T12:00:00Z", "2026-03-31T11:00:00Z"),
    ],
)
def test_a_query_with_date_math_can_be_evaluated(query: str, inside: str, outside: str) -> None:
    where = datemath.resolved(kuery.parse(query), NOW)
    assert evaluate.matches(where, {"@timestamp": inside})
    assert not evaluate.matches(where, {"@timestamp": outside})


@pytest.mark.parametrize(
    ("bounds", "resolved"),
    [
        (
            {"gte": "now-1d/d", "lt": "now"},
            ("2026-03-30T00:00:00.000Z", "2026-03-31T12:34:56.789Z"),
        ),
        ({"gte": "now-1d/d", "lt": "now", "time_zone": "+01:00"}, ("now-1d/d", "now")),
        ({"gte": 5, "lt": "2026-01-01"}, (5, "2026-01-01")),
    ],
)
def test_what_is_sent_as_written_is_resolved_in_its_ranges(
    bounds: dict[str, Any], resolved: tuple[Any, Any]
) -> None:
    query = {"bool": {"filter": [{"range": {"@timestamp": bounds}}, {"term": {"a": "now"}}]}}
    sent = datemath.resolved(querydsl.sent(query), NOW)
    assert isinstance(sent, tree.Sent)
    first, second = json.loads(sent.query)["bool"]["filter"]
    assert (first["range"]["@timestamp"]["gte"], first["range"]["@timestamp"]["lt"]) == resolved
    assert second == {"term": {"a": "now"}}


def test_text_of_other_fields_is_text() -> None:
    where = kuery.parse('process.name >= "now-1d" and message: "now-1d"')
    assert datemath.resolved(where, NOW) == where


@pytest.mark.parametrize(
    ("where", "used"),
    [
        (kuery.parse("a: 1 and @timestamp >= now-1d"), True),
        (kuery.parse("@timestamp >= 2026-01-01 and a: now-1d"), False),
        (querydsl.sent({"range": {"@timestamp": {"gte": "now/d"}}}), True),
        (querydsl.sent({"range": {"@timestamp": {"gte": "2026-01-01"}}}), False),
    ],
)
def test_whether_a_query_depends_on_a_clock_is_known(where: tree.Node, used: bool) -> None:
    assert datemath.used(where) is used
