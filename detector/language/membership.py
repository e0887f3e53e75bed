"""Many values and a field's type -> the test whether a found value is one of them, in no time.

A value found costs the same whether the list has ten entries or a hundred thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from detector.language import pattern
from detector.language.fields import Kind
from detector.language.functions import number, string
from detector.language.tree import Scalar
from detector.language.values import Interval, cover

Test: TypeAlias = Callable[[Any], bool]

LONG = 1_000
"""Values of a list from which on its test is kept: many rules share an exception's list."""

MOST = 64
"""Tests that are kept at a time."""

_kept: dict[tuple[int, Kind, str | None, bool], tuple[tuple[Scalar, ...], Test]] = {}
"""By the identity of the values, which stay with their test: to hash them takes milliseconds."""


def one_of(values: tuple[Scalar, ...], kind: Kind, type_: str | None, *, any_case: bool) -> Test:
    """Whether a value read from a field of that type equals one of `values`."""
    if len(values) < LONG:
        return _one_of(values, kind, type_, any_case)
    key = id(values), kind, type_, any_case
    known = _kept.get(key)
    if known is None or known[0] is not values:
        known = values, _one_of(values, kind, type_, any_case)
        if len(_kept) >= MOST:
            _kept.clear()
        _kept[key] = known
    return known[1]


def in_blocks(blocks: tuple[str, ...]) -> Test:
    """Whether an address, as a number, lies in one of the CIDR blocks."""
    return one_of(blocks, Kind.IP, None, any_case=False)


def _one_of(values: tuple[Scalar, ...], kind: Kind, type_: str | None, any_case: bool) -> Test:
    if kind is Kind.STRING or kind is Kind.TEXT:
        fold: Callable[[str], str] = pattern.fold if any_case else str
        known = frozenset(fold(string(value) or "") for value in values)
        return lambda found: fold(found) in known
    if kind is Kind.UNKNOWN or kind is Kind.OPAQUE:
        return _folded(values) if any_case else _alike(values)
    return _within(_covers(values, kind, type_))


def _folded(values: Iterable[Scalar]) -> Test:
    folded = frozenset(pattern.fold(string(value) or "") for value in values)
    return lambda found: pattern.fold(string(found) or "") in folded


def _alike(values: Sequence[Scalar]) -> Test:
    """Equality where no type is known: by number where both are, else by text."""
    numbers = frozenset(value for value in values if number(value) is not None)
    others = frozenset(string(value) for value in values if number(value) is None)
    texts = frozenset(map(string, values))

    def holds(found: Any) -> bool:
        if number(found) is None:
            return string(found) in texts
        return found in numbers or string(found) in others

    return holds


def _covers(values: Iterable[Scalar], kind: Kind, type_: str | None) -> list[Interval]:
    """What the values cover, in order, none overlapping another."""
    covered = (cover(value, kind, type_) for value in values)
    merged: list[Interval] = []
    for first, last in sorted(one for one in covered if one is not None and one[0] == one[0]):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _within(intervals: list[Interval]) -> Test:
    firsts = [first for first, _ in intervals]

    def holds(found: Any) -> bool:
        place = bisect_right(firsts, found)
        return place > 0 and bool(found <= intervals[place - 1][1])

    return holds
