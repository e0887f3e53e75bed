"""Arithmetic on windows, held against sets of minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from detector import windows
from detector.model import Gap, Window

START = datetime(2026, 3, 1, tzinfo=UTC)
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def window(start: int, end: int) -> Window:
    return Window(START + timedelta(minutes=start), START + timedelta(minutes=end))


def minutes(spans: tuple[Window, ...]) -> set[datetime]:
    found = set()
    for span in spans:
        assert span.start < span.end
        count = (span.end - span.start) // timedelta(minutes=1)
        found |= {span.start + timedelta(minutes=n) for n in range(count)}
    return found


def inside(spans: list[tuple[int, int]]) -> set[datetime]:
    return {START + timedelta(minutes=n) for start, end in spans for n in range(start, end)}


@given(SPANS)
def test_merged_windows_hold_the_same_moments_and_do_not_touch(
    spans: list[tuple[int, int]],
) -> None:
    merged = windows.merged(window(*span) for span in spans)
    assert minutes(merged) == inside(spans)
    assert all(one.end < two.start for one, two in pairwise(merged))


@given(SPANS, SPANS)
def test_what_is_left_is_what_lies_in_no_hole(
    spans: list[tuple[int, int]], holes: list[tuple[int, int]]
) -> None:
    left = windows.without([window(*span) for span in spans], [window(*hole) for hole in holes])
    assert minutes(left) == inside(spans) - inside(holes)


def test_gaps_of_one_rule_and_reason_are_told_once() -> None:
    gaps = [
        Gap("a", window(5, 9), "down"),
        Gap("b", window(0, 9), "down"),
        Gap("a", window(9, 12), "down"),
        Gap("a", window(10, 11), "down"),
        Gap("a", window(9, 12), "flood"),
    ]
    assert windows.told_once(gaps) == (
        Gap("b", window(0, 9), "down"),
        Gap("a", window(5, 12), "down"),
        Gap("a", window(9, 12), "flood"),
    )
