"""A condition and a document -> whether it holds: what every query means.

Two-valued: a leaf asks whether any value of its field passes; without values it is false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, TypeAlias, assert_never

from detector.errors import LanguageError
from detector.language import analysed, expressions, membership, pattern, saying, tree, words
from detector.language.fields import ECS, FieldTypes, Kind, kind_of
from detector.language.functions import number, string
from detector.language.saying import stands_for_several
from detector.language.tree import And, Node, Not, Or
from detector.language.values import Interval, address, bound, cover, objects, raw, reader

Document: TypeAlias = Mapping[str, Any]
Predicate: TypeAlias = Callable[[Document], bool]
Test: TypeAlias = Callable[[Any], bool]

MOST_COMBINATIONS = 100_000
"""Of the values of several fields in one clause; trying them takes a fraction of a second."""

_ORDERS: dict[tree.Order, Callable[[Any, Interval], bool]] = {
    "<": lambda value, covered: bool(value < covered[0]),
    "<=": lambda value, covered: bool(value <= covered[1]),
    ">": lambda value, covered: bool(value > covered[1]),
    ">=": lambda value, covered: bool(value >= covered[0]),
}


def matches(node: Node, document: Document, types: FieldTypes = ECS) -> bool:
    """Whether `document` (a `_source`, or a hit's `fields`) satisfies the condition.

    Raises LanguageError where a part of it is only for Elasticsearch to answer.
    """
    return predicate(node, types)(document)


def values(document: Document, name: str) -> list[Any]:
    """The values of a field as the document has them: arrays flat, objects and nulls left out."""
    return raw(document, name)


def predicate(node: Node, types: FieldTypes = ECS) -> Predicate:
    """The condition as a function, for many documents."""
    match node:
        case And(items):
            all_ = [predicate(item, types) for item in items]
            return lambda document: all(holds(document) for holds in all_)
        case Or(items):
            any_ = [predicate(item, types) for item in items]
            return lambda document: any(holds(document) for holds in any_)
        case Not(item):
            inner = predicate(item, types)
            return lambda document: not inner(document)
        case tree.Nested(path, item):
            return _nested(path, item, types)
        case tree.Sent():
            return predicate(analysed.meant(node, types), types)
        case tree.Says() | tree.Exists() | tree.Compare() if stands_for_several(node.field):
            return lambda document: any(
                predicate(one, types)(document) for one in saying.named(node, document)
            )
        case tree.Says() if kind_of(node.field, types) is not Kind.TEXT:
            return predicate(saying.exact(node), types)
        case tree.Everything():
            return lambda _: True
        case tree.Nothing():
            return lambda _: False
        case tree.Holds(expression):
            return _holds(expression, types)
        case _:
            return _any_value(node.field, types, _test(node, types))


def _nested(path: str, item: Node, types: FieldTypes) -> Predicate:
    """Each object for itself where the index keeps them apart (`nested`), else all as one."""
    inner = predicate(item, types)
    if types.type_of(path) != "nested":
        return inner
    return lambda document: any(inner({path: one}) for one in objects(document, path))


def _any_value(name: str, types: FieldTypes, test: Test) -> Predicate:
    read = reader(name, types)

    def holds(document: Document) -> bool:
        return any(map(test, read(document)))

    return holds


def _holds(expression: tree.Call, types: FieldTypes) -> Predicate:
    """True for some combination of values, a missing field being null.

    An event with so many values that their combinations cannot be tried in time is an error: it is
    kept as one that cannot be judged, instead of holding up all others.
    """
    names = sorted({field.name for field in tree.operands(expression)})
    readers = [expressions.reader(name, types) for name in names]
    compute = expressions.compiled(expression)

    def holds(document: Document) -> bool:
        columns = [read(document) or [None] for read in readers]
        if math.prod(map(len, columns)) > MOST_COMBINATIONS:
            raise LanguageError(f"too many values to compare {' and '.join(names)}")
        return any(compute(dict(zip(names, row, strict=True))) is True for row in product(*columns))

    return holds


def _test(leaf: tree.FieldLeaf, types: FieldTypes) -> Test:  # noqa: PLR0912 - a case a leaf
    kind, type_ = kind_of(leaf.field, types), types.type_of(leaf.field)
    match leaf:
        case tree.Exists():
            return lambda _: True
        case tree.Says():
            return words.says(leaf.wordings)
        case tree.Equals(value=value):
            return _equals(value, kind, type_)
        case tree.OneOf():
            return membership.one_of(leaf.values, kind, type_, any_case=leaf.any_case)
        case tree.Compare():
            return _compare(leaf, kind, type_)
        case tree.Between(field, bounds):
            tests = [_compare(tree.Compare(field, *bound), kind, type_) for bound in bounds]
            return lambda value: all(test(value) for test in tests)
        case tree.InNetwork(networks=networks):
            return _in_network(networks, kind)
        case tree.Like(patterns=patterns, any_case=any_case):
            return _like(patterns, kind, type_, any_case=any_case)
        case tree.Regex(patterns=patterns, any_case=any_case):
            return _on_text(pattern.regex(patterns, any_case), kind, any_case=False)
        case tree.StartsWith(text=text, any_case=any_case):
            prefix = pattern.fold(text) if any_case else text
            return _on_text(lambda value: value.startswith(prefix), kind, any_case=any_case)
        case tree.EndsWith(text=text, any_case=any_case):
            suffix = pattern.fold(text) if any_case else text
            return _on_text(lambda value: value.endswith(suffix), kind, any_case=any_case)
        case tree.Contains(text=text, any_case=any_case):
            part = pattern.fold(text) if any_case else text
            return _on_text(lambda value: part != "" and part in value, kind, any_case=any_case)
        case _:
            assert_never(leaf)


def _on_text(test: pattern.Test, kind: Kind, *, any_case: bool) -> Test:
    """The test on a value's text; what is no string is tested as it is written."""

    def holds(value: Any) -> bool:
        text = expressions.text(value, kind)
        return test(pattern.fold(text) if any_case else text)

    return holds


def _equals(value: tree.Scalar, kind: Kind, type_: str | None) -> Test:
    if kind is Kind.UNKNOWN or kind is Kind.OPAQUE:
        return lambda found: _alike(found, value)
    covered = cover(value, kind, type_)
    if covered is None:
        return lambda _: False
    first, last = covered
    return lambda found: bool(first <= found <= last)


def _alike(found: Any, value: tree.Scalar) -> bool:
    """Equality where no type is known: by number where both are, else by text."""
    if number(found) is not None and number(value) is not None:
        return bool(found == value)
    return string(found) == string(value)


def _compare(leaf: tree.Compare, kind: Kind, type_: str | None) -> Test:
    order = _ORDERS[leaf.order]
    if kind is Kind.UNKNOWN or kind is Kind.OPAQUE:
        return lambda found: _in_order(found, leaf.value, order)
    covered = bound(leaf.value, kind, type_)
    if covered is None:
        return lambda _: False
    return lambda found: order(found, covered)


def _in_order(found: Any, value: tree.Scalar, order: Callable[[Any, Interval], bool]) -> bool:
    """Order where no type is known: numbers by value, texts by their bytes, nothing else."""
    if isinstance(found, str) and isinstance(value, str):
        return order(found, (value, value))
    left, right = cover(found, Kind.FLOAT, None), cover(value, Kind.FLOAT, None)
    return left is not None and right is not None and order(left[0], right)


def _in_network(networks: tuple[str, ...], kind: Kind) -> Test:
    inside = membership.in_blocks(networks)

    def holds(found: Any) -> bool:
        place = found if kind is Kind.IP else address(found)
        return place is not None and inside(place)

    return holds


def _like(patterns: tuple[str, ...], kind: Kind, type_: str | None, *, any_case: bool) -> Test:
    """Patterns fit a value's text; without wildcards they equal it as its type does."""
    if kind in {Kind.STRING, Kind.TEXT, Kind.UNKNOWN, Kind.OPAQUE}:
        return _on_text(pattern.glob(patterns, any_case), kind, any_case=False)
    plain = [_equals(one, kind, type_) for one in patterns if not pattern.has_wildcard(one)]
    wild = tuple(one for one in patterns if pattern.has_wildcard(one))
    fits = _on_text(pattern.glob(wild, any_case), kind, any_case=False)
    return lambda found: any(test(found) for test in plain) or fits(found)
