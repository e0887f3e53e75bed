"""A detection is a generator: these tests are its store."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from detector.detect import query
from detector.model import Ask, Cursor, Document, Found, Page, Search, Window
from tests.builders import NOW, make_rule

WINDOW = Window(NOW - timedelta(minutes=6), NOW)


def document(second: int) -> Document:
    return Document("i", f"d{second}", {}, WINDOW.start + timedelta(seconds=second))


def page(*seconds: int, more: Search | None = None) -> Page:
    return Page(tuple(document(second) for second in seconds), next=more)


def seconds(found: Ask | Found) -> list[int]:
    assert isinstance(found, Found)
    return [int((match.time - WINDOW.start).total_seconds()) for match in found.matches]


def test_a_rule_with_an_override_asks_for_both_times_in_one_round() -> None:
    asked = next(query.detect(make_rule(), WINDOW))
    assert isinstance(asked, Ask)
    assert [(s.time_field, s.without) for s in asked.searches if isinstance(s, Search)] == [
        ("event.ingested", None),
        ("@timestamp", "event.ingested"),
    ]


def test_a_rule_without_fallback_asks_once() -> None:
    rule = make_rule(timestamp_fallback=False)
    assert [s.time_field for s in query.searches(rule, WINDOW)] == ["event.ingested"]


def test_a_rule_without_override_asks_by_event_time() -> None:
    rule = make_rule(timestamp_override=None)
    assert [s.time_field for s in query.searches(rule, WINDOW)] == ["@timestamp"]


def test_pages_of_both_searches_merge_in_time_order() -> None:
    detection = query.detect(make_rule(), WINDOW)
    first = cast("Ask", next(detection))
    asked = cast("Search", first.searches[0])
    more = Search("r", ("i",), asked.where, WINDOW, "t", cursor=Cursor("p", (1,)))
    found = detection.send((page(10, 20, more=more), page(5, 15, 25)))
    assert seconds(found) == [5, 10, 15, 20], "25 waits: the next page may hold 22"
    assert next(detection) == Ask((more,))
    assert seconds(detection.send((page(22, 30),))) == [22, 25, 30]
    assert next(detection, "ended") == "ended"


def test_an_empty_page_with_a_next_one_goes_on() -> None:
    detection = query.detect(make_rule(timestamp_fallback=False), WINDOW)
    first = cast("Ask", next(detection))
    more = cast("Search", first.searches[0])
    assert detection.send((page(more=more),)) == Ask((more,))
    assert seconds(detection.send((page(7),))) == [7]
