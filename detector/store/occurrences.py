"""All events of one condition in, in the order of their time; those of any window and values out.

A window is found by halving, values by where they stand: neither takes the longer the more windows
are asked for.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any, TypeAlias

from detector.language import evaluate, tree
from detector.language.fields import ECS, Kind, kind_of
from detector.language.tree import Node, Scalar
from detector.language.values import parent_of, raw, whole
from detector.model import Bucket, Buckets, Source, Window
from detector.store.bucketing import Tally, keys

Key: TypeAlias = tuple[Scalar, ...]
Positions: TypeAlias = Sequence[int]
Read: TypeAlias = Callable[[Positions], Iterator[Source]]
"""The sources of the events at these positions."""

MOST_NAMED = 100_000
REMEMBERED = 64
"""Answers that are kept for the pages that follow."""

_COMPARED = frozenset({Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.IP})
"""Kinds of which a bucket's key says as much as the event's value does."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Where the events of each key are.

    `single` says that none has two, `faithful` that a condition on these fields holds for an event
    where it holds for a key of it.
    """

    places: Mapping[Key, array[int]]
    single: bool
    faithful: bool


@dataclass(slots=True)
class Occurrences:
    """Events by their `times`, ascending."""

    times: Sequence[datetime]
    read: Read
    _grouped: dict[tuple[str, ...], Grouped] = field(default_factory=dict)
    _answers: dict[tuple[Window, int], tuple[Node, Positions]] = field(default_factory=dict)

    def within(self, window: Window, among: Node | None) -> Positions:
        """The positions of the events in `window` that satisfy `among` as well, ascending."""
        span = self._span(window)
        if among is None:
            return span
        name = (window, id(among))  # not by equality: 1 equals true
        if name not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[name] = among, self._chosen(span, among)
        return self._answers[name][1]

    def count(self, question: Buckets, tally: Tally) -> None:
        """Tell `tally` of the events that `question` counts."""
        by, among = question.by, question.among
        span = self._span(question.window)
        if not span:
            return
        grouped = self.grouped(by)
        if among is None:
            self._put(grouped.places, span, tally)
        elif grouped.single and grouped.faithful and tree.fields_of(among) <= set(by):
            self._put(_satisfying(by, grouped.places, among), span, tally)
        else:
            positions = self.within(question.window, among)
            for place, source in zip(positions, self.read(positions), strict=True):
                tally.add(_held(by, source), self.times[place])

    def grouped(self, by: tuple[str, ...]) -> Grouped:
        """All events by their values, as buckets count them."""
        if by not in self._grouped:
            self._grouped[by] = self._group(by)
        return self._grouped[by]

    def _group(self, by: tuple[str, ...]) -> Grouped:
        places: dict[Key, array[int]] = {}
        single, everything = True, range(len(self.times))
        if not by:
            return Grouped({(): array("L", everything)}, single=True, faithful=True)
        faithful = all(_comparable(name) for name in by)
        unknown = [name for name in by if kind_of(name, ECS) is Kind.UNKNOWN]
        for place, source in enumerate(self.read(everything)):
            own = list(keys(by, _held(by, source)))
            single = single and len(own) < 2
            faithful = faithful and all(_of_texts(source, name) for name in unknown)
            for key in own:
                places.setdefault(key, array("L")).append(place)
        return Grouped(places, single, faithful)

    def _span(self, window: Window) -> range:
        return range(bisect_left(self.times, window.start), bisect_left(self.times, window.end))

    def _put(self, places: Mapping[Key, array[int]], span: range, tally: Tally) -> None:
        for key, found in places.items():
            start, end = bisect_left(found, span.start), bisect_left(found, span.stop)
            if start < end:
                first, last = self.times[found[start]], self.times[found[end - 1]]
                tally.put(Bucket(key, end - start, first, last))

    def _chosen(self, span: range, among: Node) -> list[int]:
        narrowed = self._narrowed(among)
        candidates = span if narrowed is None else sorted({one for one in narrowed if one in span})
        holds = evaluate.predicate(among, ECS)
        sources = self.read(candidates)
        return [one for one, source in zip(candidates, sources, strict=True) if holds(source)]

    def _narrowed(self, node: Node) -> Iterable[int] | None:
        """All that may satisfy the condition, and more; None where that may be any."""
        match node:
            case tree.And(items):
                known = self._in_one(node)
                some = [known] if known is not None else [self._narrowed(item) for item in items]
                return min((list(one) for one in some if one is not None), key=len, default=None)
            case tree.Or(items):
                each = [self._narrowed(item) for item in items]
                unknown = any(one is None for one in each)
                return None if unknown else [place for one in each for place in one or ()]
            case tree.Equals() | tree.OneOf() if _comparable(node.field):
                by = (node.field,)
                return _places(by, self.grouped(by), node)
            case _:
                return None

    def _in_one(self, node: tree.And) -> Iterable[int] | None:
        """The same where events are grouped by just these fields already."""
        leaves = [item for item in node.items if isinstance(item, tree.Equals | tree.OneOf)]
        names = {leaf.field for leaf in leaves}
        if not len(names) == len(leaves) == len(node.items):
            return None
        known = (_places(by, one, node) for by, one in self._grouped.items() if set(by) == names)
        return next((one for one in known if one is not None), None)


def _comparable(name: str) -> bool:
    plain = ECS.type_of(name) != "flattened" and parent_of(name, ECS) is None
    return plain and kind_of(name, ECS) in _COMPARED | {Kind.UNKNOWN}


def _of_texts(source: Source, name: str) -> bool:
    """Whether the field has texts alone: of an unknown type others equal what they are not."""
    found = whole(source, name)
    return all(isinstance(one, str) for one in found) and found == raw(source, name)


def _held(by: Sequence[str], source: Source) -> dict[str, list[Any]]:
    return {name: evaluate.values(source, name) for name in by}


def _satisfying(
    by: Sequence[str], places: Mapping[Key, array[int]], among: Node
) -> Mapping[Key, array[int]]:
    """Those of events whose values are a key that satisfies the condition."""
    named = _named(by, among)
    if named is not None:
        return {key: places[key] for key in named if key in places}
    holds = evaluate.predicate(among, ECS)
    return {key: found for key, found in places.items() if holds(dict(zip(by, key, strict=True)))}


def _places(by: Sequence[str], grouped: Grouped, among: Node) -> list[int] | None:
    if not grouped.faithful:
        return None
    found = _satisfying(by, grouped.places, among)
    return [place for places in found.values() for place in places]


def _named(by: Sequence[str], among: Node) -> list[Key] | None:
    """The keys that can satisfy a condition on keywords, where it names them."""
    items = among.items if isinstance(among, tree.And) else (among,)
    texts: dict[str, Sequence[Scalar]] = {}
    for item in items:
        match item:
            case tree.Equals(name, value):
                texts[name] = (value,)
            case tree.OneOf(name, values, any_case=False):
                texts[name] = values
            case _:
                return None
    if len(texts) < len(items) or texts.keys() != set(by):
        return None
    columns = [texts[name] for name in by]
    if not all(
        _spelled(n, value) for n, values in zip(by, columns, strict=True) for value in values
    ):
        return None
    if math.prod(map(len, columns)) > MOST_NAMED:
        return None
    return list(dict.fromkeys(product(*columns)))


def _spelled(name: str, value: Scalar) -> bool:
    """Whether only the same text equals it."""
    return isinstance(value, str) and kind_of(name, ECS) in {Kind.STRING, Kind.UNKNOWN}
