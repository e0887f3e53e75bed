"""The matcher finds what the slow and plain one finds, and remembers only what is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from detector.detect.matching import Completed, Hits, Matcher, Shape
from detector.model import Document
from tests.detect import naive

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROLES = 4


def document(number: int, time: int) -> Document:
    return Document("i", f"d{number}", {}, EPOCH + timedelta(milliseconds=time))


def run(shape: Shape, events: list[naive.Event], now: int) -> list[Completed]:
    matcher = Matcher(shape)
    found = [one for event in events for one in matcher.feed(*event)]
    return found + list(matcher.due(now))


def told(found: list[Completed]) -> list[Any]:
    return sorted(
        (one.due, one.key, tuple(document.id for document in one.documents)) for one in found
    )


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    role = st.integers(0, ROLES - 1)
    stages = draw(st.lists(role, min_size=1, max_size=4))
    gap = st.lists(role, max_size=1).map(tuple)
    absent = draw(
        st.one_of(
            st.just(((),) * (len(stages) + 1)),
            st.lists(gap, min_size=len(stages) + 1, max_size=len(stages) + 1).map(tuple),
        )
    )
    return Shape(tuple(stages), absent, draw(st.integers(1, 12)), draw(st.none() | role))


@st.composite
def histories(draw: st.DrawFn) -> list[naive.Event]:
    key = st.sampled_from([("a",), ("b",)])
    hits = st.dictionaries(
        st.integers(0, ROLES - 1), st.lists(key, min_size=1, max_size=2, unique=True), max_size=3
    )
    gaps = draw(st.lists(st.tuples(st.integers(0, 4), hits), max_size=25))
    time = 0
    events: list[naive.Event] = []
    for number, (gap, taken) in enumerate(gaps):
        time += gap
        events.append((time, document(number, time), taken))
    return events


@given(shapes(), histories(), st.integers(0, 20))
def test_the_matcher_finds_what_the_plain_one_finds(
    shape: Shape, events: list[naive.Event], more: int
) -> None:
    now = (events[-1][0] if events else 0) + more
    found = run(shape, events, now)
    waited = [one.due for one in found]
    assert told(found) == told(naive.completed(shape, events, now))
    if shape.waits and not shape.absent[0]:
        assert waited == sorted(waited), "in the order they become certain"


@given(shapes(), histories(), st.data())
def test_where_the_looking_begins_decides_nothing(
    shape: Shape, events: list[naive.Event], data: st.DataObject
) -> None:
    """What has all its events, and what may not be before it, in sight is found all the same."""
    start = data.draw(st.integers(0, events[-1][0] if events else 0))
    now = (events[-1][0] if events else 0) + 100
    sight = [event for event in events if event[0] >= start]
    margin = start + (shape.span if shape.absent[0] else 0)

    def inside(found: list[Completed]) -> list[Any]:
        first = EPOCH + timedelta(milliseconds=margin)
        return told([one for one in found if one.documents[0].time >= first])

    assert inside(run(shape, sight, now)) == inside(run(shape, events, now))


def test_memory_holds_what_is_open_not_what_was_seen() -> None:
    matcher = Matcher(Shape((0, 1), ((2,), (3,), (2,)), 1_000, until=3))
    most = 0
    for number in range(20_000):
        hits: Hits = {number % 3: [(number,)], 3: [(number // 2,)]}
        list(matcher.feed(number * 10, document(number, number * 10), hits))
        most = max(most, matcher.open)
    assert most <= 2 * 101
