"""A condition -> DuckDB SQL over one JSON event a row, and the residual that is left to check.

Law: no event of which `evaluate.matches` says yes is left out by `condition`; on an event that is
`certain`, `condition` and `residual` together are what `evaluate.matches` says.

An event is certain where each field is spelled in one way, by objects or by dots, and its values
are what they mostly are. What is rare is not said in SQL: it is admitted, for `evaluate` to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias, assert_never

from detector.language import analysed, columns, evaluate, pattern, saying, tree
from detector.language.columns import Column, quoted
from detector.language.dsl import MOST_NETWORKS, MOST_VALUES, conjuncts
from detector.language.fields import ECS, FieldTypes, Kind
from detector.language.functions import string
from detector.language.saying import stands_for_several
from detector.language.tree import And, Node, Not, Or
from detector.language.values import Interval, bound, cover

Test: TypeAlias = Callable[[str], str]
"""What is asked of one value: SQL of the value in, SQL that is true or not out."""

_MAPPED = 0xFFFF << 32
_HUGE = 10**37
_LIKE_ESCAPES = "!^~|;"


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL over the columns that `columns.extract` gives for `fields`; see the law above."""

    condition: str
    certain: str
    residual: Node | None
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Said:
    """What SQL says of a node; without `exact` it admits too much."""

    text: str
    exact: bool = True


_TRUE, _FALSE = Said("true"), Said("false")
_UNSAID = Said("true", exact=False)


def translate(node: Node, types: FieldTypes = ECS) -> Compiled:
    """The SQL for a condition; the residual has only those conjuncts that need it.

    Raises LanguageError where a part of it is only for Elasticsearch to answer.
    """
    parts = list(conjuncts(node))
    said = [_say(part, types, positive=True) for part in parts]
    left = [part for part, one in zip(parts, said, strict=True) if not one.exact]
    names = frozenset(name for name in tree.fields_of(node) if not stands_for_several(name))
    odd = [Column(name, types).odd for name in sorted(names)]
    return Compiled(
        condition=f"({columns.ODD} or {_joined(said, positive=True).text})",
        certain=f"not ({' or '.join([columns.ODD, *odd])})",
        residual=tree.all_of(left) if left else None,
        fields=names,
    )


def _say(node: Node, types: FieldTypes, *, positive: bool) -> Said:
    """SQL that is true for all events of `node`; with `positive` false, for all others."""
    match node:
        case And(items):
            return _joined((_say(i, types, positive=positive) for i in items), positive=positive)
        case Or(items):
            inner = (_say(i, types, positive=positive) for i in items)
            return _joined(inner, positive=not positive)
        case Not(item):
            return _say(item, types, positive=not positive)
        case tree.Sent():
            return _say(analysed.meant(node, types), types, positive=positive)
        case tree.Nested(path, item):
            return (
                _UNSAID if types.type_of(path) == "nested" else _say(item, types, positive=positive)
            )
        case tree.Everything():
            return _TRUE if positive else _FALSE
        case tree.Nothing():
            return _FALSE if positive else _TRUE
        case tree.Holds():
            return _UNSAID
        case _:
            return _leaf(node, types, positive=positive)


def _joined(parts: Iterable[Said], *, positive: bool) -> Said:
    """All of them (`positive`) or one of them; what is true or false anyway is left out."""
    neutral, deciding = ("true", "false") if positive else ("false", "true")
    said = list(parts)
    if deciding in [one.text for one in said]:
        return Said(deciding, all(one.exact for one in said))
    texts = list(dict.fromkeys(one.text for one in said if one.text != neutral))
    exact = all(one.exact for one in said)
    if len(texts) < 2:
        return Said(texts[0] if texts else neutral, exact)
    return Said("(" + (" and " if positive else " or ").join(texts) + ")", exact)


def _leaf(leaf: tree.FieldLeaf, types: FieldTypes, *, positive: bool) -> Said:
    """A leaf holds where one value passes; an odd event may hold either way."""
    if stands_for_several(leaf.field):
        return _UNSAID
    column = Column(leaf.field, types)
    if isinstance(leaf, tree.Says) and column.kind is not Kind.TEXT:
        return _say(saying.exact(leaf), types, positive=positive)
    try:
        passes = _passes(leaf, column)
    except UnicodeEncodeError:  # half of a surrogate pair
        passes = None
    if passes is None:
        there = f"({column.there} or {column.odd})"
        return Said(there if positive else "true", exact=False)
    return Said(f"({passes if positive else f'({passes}) is not true'} or {column.odd})")


def _passes(leaf: tree.FieldLeaf, column: Column) -> str | None:
    """SQL that is true where a value passes; None where it has no words for it, or too many."""
    if isinstance(leaf, tree.OneOf) and len(leaf.values) > MOST_VALUES:
        return None
    if isinstance(leaf, tree.InNetwork) and len(leaf.networks) > MOST_NETWORKS:
        return None
    match column.kind:
        case Kind.STRING | Kind.TEXT | Kind.UNKNOWN:
            return None if column.type == "flattened" else _of_text(leaf, column)
        case Kind.INTEGER | Kind.FLOAT | Kind.IP:
            test = None if column.type == "half_float" else _of_number(leaf, column)
            return column.any(test) if test else None
        case Kind.BOOLEAN:
            return column.any(_of_truth(leaf, column))
        case Kind.DATE | Kind.OPAQUE:
            return None
        case _:
            assert_never(column.kind)


def _of_text(leaf: tree.FieldLeaf, column: Column) -> str | None:
    match leaf:
        case tree.Exists():
            return column.any(lambda value: f"{value} is not null")
        case tree.Equals(value=value):
            return _one_of((value,), column, any_case=False)
        case tree.OneOf(values=values, any_case=any_case):
            return _one_of(values, column, any_case=any_case)
        case tree.Like(patterns=patterns, any_case=any_case):
            return _like(patterns, column, any_case=any_case)
        case tree.StartsWith(text=text, any_case=any_case):
            return _called("starts_with", text, column, any_case=any_case)
        case tree.EndsWith(text=text, any_case=any_case):
            return _called("ends_with", text, column, any_case=any_case)
        case tree.Contains(text="") | tree.InNetwork(networks=()):
            return "false"
        case tree.Contains(text=text, any_case=any_case):
            return _called("contains", text, column, any_case=any_case)
        case tree.Compare() | tree.Between() if column.kind is not Kind.UNKNOWN:
            return column.any(_in_order(leaf))
        case tree.Compare() | tree.Between() | tree.Regex() | tree.InNetwork() | tree.Says():
            return None
        case _:
            assert_never(leaf)


def _never(_: str) -> str:
    return "false"


def _one_of(values: Iterable[tree.Scalar], column: Column, *, any_case: bool) -> str | None:
    """Texts are compared; a number with a fraction has several spellings."""
    known = list(values)
    if any(isinstance(value, float) for value in known):
        return None
    texts = [string(value) or "" for value in known]
    listed = ", ".join(sorted({quoted(pattern.fold(t) if any_case else t) for t in texts}))
    return column.any_of(listed, any_case=any_case) if listed else "false"


def _called(function: str, text: str, column: Column, *, any_case: bool) -> str:
    part = quoted(pattern.fold(text) if any_case else text)
    return column.any(lambda value: f"{function}({value}, {part})", any_case=any_case)


def _like(patterns: tuple[str, ...], column: Column, *, any_case: bool) -> str | None:
    plain = [one for one in patterns if not pattern.has_wildcard(one)]
    tests = [
        _wild(pattern.fold(one) if any_case else one)
        for one in patterns
        if pattern.has_wildcard(one)
    ]
    if None in tests:
        return None
    parts = [_one_of(plain, column, any_case=any_case)] if plain else []
    if tests:
        parts.append(
            column.any(
                lambda value: "(" + " or ".join(f"{value} {test}" for test in tests) + ")",
                any_case=any_case,
            )
        )
    return f"({' or '.join(filter(None, parts))})"


def _wild(one: str) -> str | None:
    escape = next((char for char in _LIKE_ESCAPES if char not in one), None)
    if escape is None:
        return None
    spelled = {"*": "%", "?": "_", "%": f"{escape}%", "_": f"{escape}_"}
    text = quoted("".join(spelled.get(char, char) for char in one))
    return f"like {text}" + (f" escape '{escape}'" if "%" in one or "_" in one else "")


def _in_order(leaf: tree.Compare | tree.Between) -> Test:
    """Texts by their bytes, as DuckDB compares them."""
    tests = [f"{order} {quoted(string(value) or '')}" for order, value in _bounds(leaf)]
    return lambda value: "(" + " and ".join(f"{value} {test}" for test in tests) + ")"


def _bounds(leaf: tree.Compare | tree.Between) -> tuple[tuple[tree.Order, tree.Scalar], ...]:
    return leaf.bounds if isinstance(leaf, tree.Between) else ((leaf.order, leaf.value),)


def _of_number(leaf: tree.FieldLeaf, column: Column) -> Test | None:
    """Numbers, and addresses as the number that the last four bytes make."""
    match leaf:
        case tree.Exists():
            return lambda value: f"{value} is not null"
        case tree.Equals(value=value):
            return _covered([value], column)
        case tree.OneOf(values=values):
            return _covered(values, column)
        case tree.Like(patterns=patterns) if not any(map(pattern.has_wildcard, patterns)):
            return _covered(patterns, column)
        case tree.InNetwork(networks=networks) if column.kind is Kind.IP:
            return _covered(networks, column)
        case tree.Compare() | tree.Between():
            return _beyond(leaf, column)
        case _:
            return None


def _covered(values: Iterable[tree.Scalar], column: Column) -> Test | None:
    """Inside what one of the literals covers."""
    spans = [cover(value, column.kind, column.type) for value in values]
    tests: list[str] = []
    for first, last in filter(None, spans):
        low, high = _number(first, column, up=True), _number(last, column, up=False)
        if low is None or high is None:
            return None
        tests.append(f"between {low} and {high}")
    if not tests:
        return _never
    return lambda value: "(" + " or ".join(f"{value} {test}" for test in tests) + ")"


def _beyond(leaf: tree.Compare | tree.Between, column: Column) -> Test | None:
    tests = []
    for order, value in _bounds(leaf):
        covered = bound(value, column.kind, column.type)
        if covered is None:
            return _never
        edge = _edge(order, covered, column)
        if edge is None:
            return None
        tests.append(f"{order} {edge}")
    return lambda value: "(" + " and ".join(f"{value} {test}" for test in tests) + ")"


def _edge(order: tree.Order, covered: Interval, column: Column) -> str | None:
    """The number a value is held against; one between two whole ones moves to the right one."""
    first, last = covered
    if order in {"<", ">="}:
        return _number(first, column, up=True)
    return _number(last, column, up=False)


def _number(value: Any, column: Column, *, up: bool) -> str | None:
    """A number in SQL; a fraction becomes whole on a whole field, None what SQL cannot hold."""
    if column.kind is Kind.FLOAT:
        number = float(value)
        return f"cast('{number!r}' as double)" if math.isfinite(number) else None
    if column.kind is Kind.IP:
        return str(min(max(int(value) - _MAPPED, -1), 1 << 32))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    whole = math.ceil(Decimal(value)) if up else math.floor(Decimal(value))
    return f"cast('{whole}' as hugeint)" if abs(whole) < _HUGE else None


def _of_truth(leaf: tree.FieldLeaf, column: Column) -> Test:
    """True and false are but two: `evaluate` is asked of each."""
    name, types = column.name, column.types
    passing = [truth for truth in (True, False) if evaluate.matches(leaf, {name: truth}, types)]
    if not passing:
        return _never
    return lambda value: f"{value} in ({', '.join(map(str, passing)).lower()})"
