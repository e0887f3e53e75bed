"""A rule's sequence or sample -> what is asked for each of its steps, and an event's keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias, cast

from detector.detect.matching import Key, Shape
from detector.language import expressions, tree
from detector.language.fields import ECS, FieldTypes, Kind, kind_of
from detector.language.tree import Field, Node
from detector.model import Document, Rule, Source
from detector.questions import EVENT_TIME

Values: TypeAlias = tuple[frozenset[Any] | None, ...]
"""For each key the values that matter; None where any does."""

MOST_KEYS = 1_000
"""Values of one key that a search is narrowed down to."""
MOST_TUPLES = 1_000
"""Combinations of an event's keys: arrays of 100 values in three keys would make a million."""

SEQUENCE_NUMBER = "event.sequence"
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Role:
    """A condition that events are asked for, and the keys those events join by."""

    where: Node
    keys: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """A rule's query, taken apart. `fields` are what its searches have to return."""

    roles: tuple[Role, ...]
    shape: Shape
    span: timedelta
    pipes: tuple[tree.Pipe, ...]
    time_field: str
    tiebreaker: str
    fields: tuple[str, ...]

    @property
    def needed(self) -> tuple[int, ...]:
        """The roles without which there is no match."""
        return tuple(dict.fromkeys(self.shape.stages))

    @property
    def impossible(self) -> bool:
        return any(isinstance(self.roles[role].where, tree.Nothing) for role in self.needed)


@lru_cache(maxsize=4096)
def of(rule: Rule) -> Joined:
    """Made once for each rule: stores remember what they have translated by the tree's identity."""
    query = cast("tree.Sequence | tree.Sample", rule.where)
    span = (query.max_span if isinstance(query, tree.Sequence) else None) or (
        rule.lookback - rule.delay
    )
    time_field = str(rule.parameters.get("timestamp_field") or EVENT_TIME)
    tiebreaker = str(rule.parameters.get("tiebreaker_field") or SEQUENCE_NUMBER)
    roles, shape = taken_apart(query, span)
    named = dict.fromkeys(key.name for role in roles for key in role.keys)
    times = (rule.timestamp_override,) if rule.timestamp_override else ()
    fields = (*named, tiebreaker, time_field, *times)
    return Joined(roles, shape, span, query.pipes, time_field, tiebreaker, fields)


def taken_apart(
    query: tree.Sequence | tree.Sample, span: timedelta
) -> tuple[tuple[Role, ...], Shape]:
    """The roles, equal ones once, and how they have to come; of a sample only `stages` counts."""
    roles: list[Role] = []

    def number(role: Role) -> int:
        if role not in roles:
            roles.append(role)
        return roles.index(role)

    shared = _shared(query) if isinstance(query, tree.Sequence) else []
    stages: list[int] = []
    absent: list[list[int]] = [[]]
    for step in query.steps:
        role = number(_role(query, step, shared))
        if step.absent:
            absent[-1].append(role)
        else:
            stages += [role] * step.runs
            absent += [[] for _ in range(step.runs)]
    until = query.until if isinstance(query, tree.Sequence) else None
    ending = None if until is None else number(_role(query, until, ()))
    gaps = tuple(tuple(between) for between in absent)
    return tuple(roles), Shape(tuple(stages), gaps, span // MILLISECOND, ending)


def _role(
    query: tree.Sequence | tree.Sample,
    step: tree.Step,
    shared: Sequence[tuple[int, Node]],
) -> Role:
    """Events without a key take no part, unless it is optional."""
    keys = tree.keys_of(query, step)
    own = step.where.items if isinstance(step.where, tree.And) else (step.where,)
    copied = [_about(keys[position].name, node) for position, node in shared]
    there = [tree.Exists(key.name) for key in keys if not key.optional]
    added = [node for node in dict.fromkeys([*copied, *there]) if node not in own]
    if isinstance(step.where, tree.Nothing):
        return Role(step.where, keys)
    where = [] if isinstance(step.where, tree.Everything) else [step.where]
    return Role(tree.all_of([*where, *added]), keys)


def _shared(query: tree.Sequence) -> list[tuple[int, Node]]:
    """What one step says of a key holds for all: `PropagateJoinKeyConstraints` of Elasticsearch."""
    found: list[tuple[int, Node]] = []
    for step in query.steps:
        if step.absent:
            continue
        names = [key.name for key in tree.keys_of(query, step)]
        items = step.where.items if isinstance(step.where, tree.And) else (step.where,)
        for item in items:
            leaf = item.item if isinstance(item, tree.Not) else item
            name = getattr(leaf, "field", None)
            if isinstance(leaf, tree.FieldLeaf) and name in names:
                found.append((names.index(name), item))
    return found


def _about(name: str, node: Node) -> Node:
    """The same of another field."""
    if isinstance(node, tree.Not):
        return tree.Not(_about(name, node.item))
    return replace(node, field=name)  # type: ignore[arg-type]


class Keys:
    """Reads the keys of events: `()` alone without `by`, several where a key has several values."""

    def __init__(self, roles: Sequence[Role], types: FieldTypes = ECS) -> None:
        self._readers: list[list[tuple[bool, Callable[[Source], list[Any]]]]] = [
            [(key.optional, expressions.reader(key.name, types)) for key in role.keys]
            for role in roles
        ]

    def of(self, role: int, source: Source, among: Values | None = None) -> list[Key]:
        """The keys an event takes `role` under; none where one that is needed is missing."""
        columns = []
        for position, (optional, read) in enumerate(self._readers[role]):
            values = read(source) or ([None] if optional else [])
            allowed = among[position] if among else None
            columns.append([one for one in values if allowed is None or one in allowed])
        return [key for key, _ in zip(product(*columns), range(MOST_TUPLES), strict=False)]


def values_of(keys: Iterable[Key], width: int) -> Values:
    """The values in some keys, where a search can be narrowed down to them."""
    columns: list[set[Any]] = [set() for _ in range(width)]
    for key in keys:
        for column, value in zip(columns, key, strict=True):
            column.add(value)
    return tuple(frozenset(column) if _narrows(column) else None for column in columns)


def narrowing(role: Role, among: Values, names: Sequence[frozenset[str]]) -> Node | None:
    """What a search for `role` may be narrowed down by; None where it may not.

    `names` are, for each key, the fields its values were read from. A field of another type than
    those would be asked for what it cannot hold.
    """
    found = [
        tree.OneOf(key.name, tuple(sorted(values, key=repr)))
        for key, values, origin in zip(role.keys, among, names, strict=True)
        if values is not None and origin == {key.name} and _exact(key.name)
    ]
    return tree.all_of(found) if found else None


def _narrows(values: set[Any]) -> bool:
    return len(values) <= MOST_KEYS and all(
        isinstance(value, str | int) and not isinstance(value, bool) for value in values
    )


def _exact(name: str) -> bool:
    return kind_of(name, ECS) in {Kind.STRING, Kind.INTEGER, Kind.IP}


def texts(document: Document) -> Source:
    """What the index holds of an event, where the store says; else what was logged."""
    return document.fields or document.source
