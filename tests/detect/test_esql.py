"""Rules of type esql, whose rows these tests give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from detector.detect import esql
from detector.language.tree import Everything
from detector.model import Ask, Document, Found, Match, Page, Rows, Rule, Search, Window
from tests.builders import NOW, make_rule

Columns: TypeAlias = Mapping[str, Any]
WINDOW = Window(NOW - timedelta(minutes=5), NOW)


def make(query: str, **changes: Any) -> Rule:
    query_rule = make_rule(timestamp_override=None)
    keys: dict[str, Any] = {
        "type": "esql",
        "language": "esql",
        "query": query,
        "where": Everything(),
    }
    return replace(query_rule, **keys | {"stepwise": True, "index": ("logs-*",)} | changes)


def driven(
    rule: Rule, rows: Callable[[Rows], Sequence[Columns]], window: Window = WINDOW
) -> list[Found]:
    """What a rule finds where `rows` answers, and every document is there, a second after start."""
    detection = esql.detect(rule, window)
    found: list[Found] = []
    step = next(detection, None)
    while step is not None:
        reply = None
        if isinstance(step, Ask):
            reply = tuple(_page(one, rows) for one in step.searches)
        else:
            found.append(step)
        try:
            step = detection.send(reply)
        except StopIteration:
            break
    return found


def _page(asked: Any, rows: Callable[[Rows], Sequence[Columns]]) -> Page:
    if isinstance(asked, Rows):
        return Page((), rows=tuple(rows(asked)))
    assert isinstance(asked, Search)
    time = asked.window.start + timedelta(seconds=1)
    return Page(tuple(Document("logs-a", id_, {}, time) for id_ in ("1", "2", "3")))


def row(id_: str, **more: Any) -> Columns:
    return {"_detector_id": id_, "_detector_index": "logs-a", **more}


def matches(found: Sequence[Found]) -> list[Match]:
    return [match for one in found for match in one.matches]


def test_rows_of_one_event_are_one_but_for_what_was_expanded() -> None:
    given = [row("2", n=2), row("1", n=3), row("2", n=1), row("9", n=1)]
    made = matches(driven(make("FROM logs-*"), lambda _: given))
    assert [(m.documents[0].id, m.row and m.row.columns) for m in made] == [
        ("1", {"n": 3}),
        ("2", {"n": 1}),
    ], "of alike rows the least, whatever their order; what is muted or gone is none"
    expanded = [row("1", _detector_key_0=value) for value in ("b", "a", "a")]
    made = matches(driven(make("FROM logs-* | MV_EXPAND x"), lambda _: expanded))
    assert [m.row and m.row.key for m in made] == [("a",), ("b",)]


def test_a_full_answer_is_asked_for_in_halves_that_end_with_a_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(esql, "EVENTS", 3)
    crowded = WINDOW.start + timedelta(milliseconds=7)
    asked: list[Window] = []

    def rows(question: Rows) -> list[Columns]:
        asked.append(question.window)
        inside = question.window.start <= crowded < question.window.end
        return [row(id_) for id_ in "123"] if inside else [row("1")]

    found = driven(make("FROM logs-*"), rows)
    assert [one.hole for one in found if one.hole] == ["more than 3 rows in one window"]
    assert asked[0] == WINDOW
    assert Window(crowded, crowded + timedelta(milliseconds=1)) in asked
    whole = [window for window in asked if rows_end(window, asked)]
    assert sum((w.end - w.start for w in whole), timedelta()) == WINDOW.end - WINDOW.start


def rows_end(window: Window, asked: Sequence[Window]) -> bool:
    """Whether a window was not halved."""
    return not any(
        one != window and window.start <= one.start and one.end <= window.end for one in asked
    )


def test_a_full_answer_that_depends_on_the_window_is_a_hole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(esql, "EVENTS", 3)
    given = [row(id_) for id_ in "123"]
    (found,) = driven(make("FROM logs-* | INLINE STATS n = COUNT(*)"), lambda _: given)
    assert (len(found.matches), found.hole) == (3, "more than 3 rows in one window")


def test_groups_are_asked_slot_by_slot_and_go_by_their_keys() -> None:
    asked: list[Rows] = []

    def rows(question: Rows) -> list[Columns]:
        asked.append(question)
        return [{"n": len(asked), "_detector_key_0": "ann"}]

    window = Window(NOW - timedelta(minutes=7), NOW)
    rule = make("FROM logs-* | STATS n = COUNT(*) BY user.name")
    made = matches(driven(rule, rows, window))
    ends = [NOW - timedelta(minutes=5), NOW]
    assert [(q.window.start, q.window.end) for q in asked] == [
        (end - rule.lookback, end) for end in ends
    ]
    groups = [match.group for match in made]
    assert [one and one.terms for one in groups] == [(("user.name", "ann"),)] * 2
    assert [one and one.first for one in groups] == [
        NOW - timedelta(minutes=10),
        NOW - timedelta(minutes=5),
    ]
    assert [match.row and match.row.columns for match in made] == [{"n": 1}, {"n": 2}]


def test_rows_with_one_key_are_told_apart_by_what_they_say() -> None:
    rule = make("FROM logs-* | STATS n = COUNT(*) BY a | LOOKUP JOIN b ON a")
    given = [{"_detector_key_0": 1, "b": 1}, {"_detector_key_0": 1, "b": 2}, {"_detector_key_0": 2}]
    terms = [m.group and m.group.terms for m in matches(driven(rule, lambda _: given))]
    assert len(set(terms)) == 3
    assert terms[2] == (("a", 2),)


def test_rows_of_unknown_origin_are_said_to_be_so() -> None:
    rule = make("FROM logs-* | FORK (STATS COUNT(*)) (LIMIT 1)")
    (found,) = driven(rule, lambda _: [{"a": 1}])
    assert "it cannot be known what they are of" in found.warnings[0]
    assert driven(rule, lambda _: []) == []
