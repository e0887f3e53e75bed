"""A condition -> Query DSL that may admit too much, and the residual that is left to check.

Law: for every document, the query admits it and the residual holds = `evaluate.matches` says yes.
The query has no script. What it cannot say becomes `match_all` where it is asked for and
`match_none` where it is negated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, assert_never, cast

from detector.language import analysed, functions, lengths, pattern, saying, tree
from detector.language.fields import ECS, FieldTypes, Kind, kind_of, within
from detector.language.saying import stands_for_several
from detector.language.tree import And, Node, Not, Or
from detector.language.values import bound, cover

Dsl: TypeAlias = dict[str, Any]

MAX_DEPTH = 24
"""Levels of `bool` that are sent: Elasticsearch refuses more than 30 (`max_nested_depth`)."""

REGEXP_LENGTH = 1_000
"""Characters of one regular expression: more are refused (`index.max_regex_length`)."""

MOST_VALUES = 10_000
"""Values of one field that are sent: with more, each search would be a request of megabytes, and
from 65,536 on Elasticsearch refuses it (`index.max_terms_count`)."""

MOST_NETWORKS = 500
"""Networks that are sent: each is a clause (`indices.query.bool.max_clause_count`)."""

_ALL: Dsl = {"match_all": {}}
_NONE: Dsl = {"match_none": {}}
_BITS = {"byte": 7, "short": 15, "integer": 31}
_BOUNDS: dict[tree.Order, str] = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """`query` may admit too much; `residual` is what has to hold of what it admits."""

    query: Dsl
    residual: Node | None


def translate(node: Node, types: FieldTypes = ECS) -> Compiled:
    """The query for a condition; the residual has only those conjuncts that need it.

    A long `:` list stays a list of clauses: Elasticsearch refuses a query of more clauses than
    `indices.query.bool.max_clause_count` (1024 at least), and says so.
    """
    parts = list(conjuncts(node))
    residual = [part for part in parts if not _pushable(part, types)]
    query = _both(_admit(part, types, depth=0, positive=True) for part in parts)
    return Compiled(query, tree.all_of(residual) if residual else None)


def both(one: Compiled, other: Compiled) -> Compiled:
    """What has to hold for two conditions together."""
    residuals = [part.residual for part in (one, other) if part.residual is not None]
    return Compiled(_both((one.query, other.query)), tree.all_of(residuals) if residuals else None)


def conjuncts(node: Node) -> Iterator[Node]:
    """What has to hold, one by one: `not (a or b)` is `not a` and `not b`."""
    match node:
        case And(items):
            for item in items:
                yield from conjuncts(item)
        case Not(Or(items)):
            for item in items:
                yield from conjuncts(Not(item))
        case Not(Not(item)):
            yield from conjuncts(item)
        case _:
            yield node


def _pushable(node: Node, types: FieldTypes, depth: int = 0) -> bool:
    """Whether the query says it all."""
    match node:
        case And(items) | Or(items):
            return depth < MAX_DEPTH and all(_pushable(item, types, depth + 1) for item in items)
        case Not(item):
            return depth < MAX_DEPTH and _pushable(item, types, depth + 1)
        case tree.Sent():
            return True
        case tree.Nested(_, item):
            return depth < MAX_DEPTH and _pushable(item, within(types, node.path), depth + 1)
        case tree.Says() if analysed.asks(node, types):
            return True
        case tree.Says() if not stands_for_several(node.field):
            return _pushable(saying.exact(node), types, depth)
        case tree.Everything() | tree.Nothing():
            return True
        case tree.Holds(expression):
            return lengths.query(expression, types) is not None
        case _:
            return not types.analysed_in(node.field) and _leaf(node, types) is not None


def _admit(node: Node, types: FieldTypes, *, depth: int, positive: bool) -> Dsl:
    """A query that admits all documents of `node`; with `positive` false, none but those."""
    unknown = _ALL if positive else _NONE
    if depth > MAX_DEPTH:
        return unknown
    match node:
        case And(items):
            return _both(_admit(i, types, depth=depth + 1, positive=positive) for i in items)
        case Or(items):
            return _either(_admit(i, types, depth=depth + 1, positive=positive) for i in items)
        case Not(item):
            return _without(_admit(item, types, depth=depth + 1, positive=not positive))
        case tree.Sent(query):
            return cast("Dsl", json.loads(query))
        case tree.Nested(path, item):
            inner = _admit(item, within(types, node.path), depth=depth + 1, positive=positive)
            return analysed.nested(path, inner) if types.type_of(path) == "nested" else inner
        case tree.Says() if analysed.asks(node, types):
            return _either(analysed.queries(node))
        case tree.Says() if not stands_for_several(node.field):
            return _admit(saying.exact(node), types, depth=depth, positive=positive)
        case tree.Everything():
            return _ALL
        case tree.Nothing():
            return _NONE
        case tree.Holds(expression):
            return lengths.query(expression, types) or unknown
        case _:
            asked = _leaf(node, types) or (_some(node) if positive else None) or unknown
            analysed_in = types.analysed_in(node.field)
            return _but_for(analysed_in, asked, positive=positive) if analysed_in else asked


def _but_for(indices: Iterable[str], query: Dsl, *, positive: bool) -> Dsl:
    """`query` where the field is whole; of what lies in `indices` every document, or none."""
    there = _either({"wildcard": {"_index": {"value": pattern}}} for pattern in indices)
    return _either((query, there)) if positive else _both((query, _without(there)))


def _both(queries: Iterable[Dsl]) -> Dsl:
    """All of them; a conjunction inside is laid flat."""
    parts: list[Dsl] = []
    for query in queries:
        parts += _flat(query, "filter") or ([query] if query != _ALL else [])
    if _NONE in parts:
        return _NONE
    return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}} if parts else _ALL


def _either(queries: Iterable[Dsl]) -> Dsl:
    """One of them; a disjunction inside is laid flat."""
    parts: list[Dsl] = []
    for query in queries:
        parts += _flat(query, "should") or ([query] if query != _NONE else [])
    if _ALL in parts:
        return _ALL
    if len(parts) == 1:
        return parts[0]
    return {"bool": {"should": parts, "minimum_should_match": 1}} if parts else _NONE


def _without(query: Dsl) -> Dsl:
    if query in (_ALL, _NONE):
        return _NONE if query == _ALL else _ALL
    return {"bool": {"must_not": _flat(query, "should") or [query]}}


def _flat(query: Dsl, clause: str) -> list[Dsl]:
    """The parts of a conjunction (`filter`) or disjunction (`should`) that is nothing else.

    Others may stand in what is sent as it was written.
    """
    inner = query.get("bool")
    if not isinstance(inner, dict) or not isinstance(inner.get(clause), list):
        return []
    plain = {"filter": {}, "should": {"minimum_should_match": 1}}[clause]
    return inner[clause] if inner == plain | {clause: inner[clause]} else []


def _leaf(leaf: tree.FieldLeaf, types: FieldTypes) -> Dsl | None:
    """The query for a leaf, or None where no query says it."""
    kind, type_ = kind_of(leaf.field, types), types.type_of(leaf.field)
    if stands_for_several(leaf.field):
        return {"exists": {"field": leaf.field}} if isinstance(leaf, tree.Exists) else None
    if kind is Kind.TEXT or not types.searchable(leaf.field):
        return _on_whole(leaf, types)
    match leaf:
        case tree.Exists():
            return {"exists": {"field": leaf.field}}
        case tree.Equals(field, value):
            return _term(field, value, kind, type_)
        case tree.OneOf():
            return _one_of(leaf, kind, type_)
        case tree.Like():
            return _like(leaf, kind, type_)
        case tree.Compare():
            return None if kind is Kind.OPAQUE else _compare(leaf, kind, type_)
        case tree.Between():
            return None if kind is Kind.OPAQUE else _between(leaf, kind, type_)
        case tree.InNetwork(field, networks):
            sendable = kind is Kind.IP and len(networks) <= MOST_NETWORKS
            return {"terms": {field: list(networks)}} if sendable else None
        case tree.Says():
            return None
        case tree.Regex() | tree.StartsWith() | tree.EndsWith() | tree.Contains():
            return _on_text(leaf) if kind in {Kind.STRING, Kind.UNKNOWN} else None
        case _:
            assert_never(leaf)


def _on_whole(leaf: tree.FieldLeaf, types: FieldTypes) -> Dsl | None:
    """The query where the values of analysed text are whole, as Elasticsearch's own EQL asks.

    Such a field leaves out long values (`ignore_above`): that there is one is asked of both.
    """
    whole = types.exact(leaf.field)
    if whole is None:
        return None
    if isinstance(leaf, tree.Exists):
        return _either({"exists": {"field": name}} for name in (leaf.field, whole))
    return _leaf(replace(leaf, field=whole), types)


def _some(leaf: tree.FieldLeaf) -> Dsl | None:
    """For a name that stands for several fields: that one of them is there."""
    return {"exists": {"field": leaf.field}} if stands_for_several(leaf.field) else None


def _has(value: tree.Scalar, kind: Kind, type_: str | None) -> bool:
    """Whether the type knows such a value; Elasticsearch would refuse the query."""
    if kind is Kind.UNKNOWN:
        return True
    covered = cover(value, kind, type_)
    return covered is not None and _beyond(covered[0], kind, type_) == 0


def _beyond(value: Any, kind: Kind, type_: str | None) -> int:
    """1 where a number is above all that its type holds, -1 where below, else 0."""
    if kind is not Kind.INTEGER and kind is not Kind.FLOAT:
        return 0
    if kind is Kind.FLOAT:
        return 0 if math.isfinite(value) else int(math.copysign(1, value))
    bits = _BITS.get(type_ or "", 63)
    lowest, highest = (0, 2**64 - 1) if type_ == "unsigned_long" else (-(2**bits), 2**bits - 1)
    return int(value > highest) - int(value < lowest)


def _sent(value: tree.Scalar, kind: Kind) -> tree.Scalar:
    """The literal in a query: Elasticsearch would spell a float in a keyword in its own way."""
    return functions.string(value) or "" if kind is Kind.STRING else value


def _term(field: str, value: tree.Scalar, kind: Kind, type_: str | None) -> Dsl | None:
    if kind is Kind.OPAQUE:
        return None
    return {"term": {field: _sent(value, kind)}} if _has(value, kind, type_) else _NONE


def _compare(leaf: tree.Compare, kind: Kind, type_: str | None) -> Dsl:
    covered = (None, None) if kind is Kind.UNKNOWN else bound(leaf.value, kind, type_)
    if covered is None:
        return _NONE
    if side := _beyond(covered[0], kind, type_):
        above = leaf.order in {">", ">="}
        return _NONE if above == (side > 0) else {"exists": {"field": leaf.field}}
    return {"range": {leaf.field: {_BOUNDS[leaf.order]: _sent(leaf.value, kind)}}}


def _between(leaf: tree.Between, kind: Kind, type_: str | None) -> Dsl:
    """One `range`: two would be content with two values of a field that has several."""
    parts = [_compare(tree.Compare(leaf.field, *bound), kind, type_) for bound in leaf.bounds]
    ranges = [part["range"][leaf.field] for part in parts if "range" in part]
    if _NONE in parts or not ranges:
        return _NONE if _NONE in parts else {"exists": {"field": leaf.field}}
    return {"range": {leaf.field: {end: value for one in ranges for end, value in one.items()}}}


def _one_of(leaf: tree.OneOf, kind: Kind, type_: str | None) -> Dsl | None:
    if kind is Kind.OPAQUE or len(leaf.values) > MOST_VALUES:
        return None
    values = [_sent(value, kind) for value in leaf.values if _has(value, kind, type_)]
    if leaf.any_case and kind in {Kind.STRING, Kind.UNKNOWN}:
        return _either(_cased("term", leaf.field, value, any_case=True) for value in values)
    return {"terms": {leaf.field: values}} if values else _NONE


def _like(leaf: tree.Like, kind: Kind, type_: str | None) -> Dsl | None:
    if any(not one.strip("*") and one for one in leaf.patterns):
        return {"exists": {"field": leaf.field}}
    if kind in {Kind.STRING, Kind.UNKNOWN}:
        return _either(_fits(leaf.field, one, any_case=leaf.any_case) for one in leaf.patterns)
    if kind is Kind.OPAQUE or any(map(pattern.has_wildcard, leaf.patterns)):
        return None
    return _either(
        {"term": {leaf.field: one}} if _has(one, kind, type_) else _NONE for one in leaf.patterns
    )


def _fits(field: str, one: str, *, any_case: bool) -> Dsl:
    if not pattern.has_wildcard(one):
        return _cased("term", field, one, any_case=any_case)
    return _cased("wildcard", field, one.replace("\\", "\\\\"), any_case=any_case)


def _regexps(leaf: tree.Regex) -> Dsl | None:
    """One `regexp` for as many patterns as one may hold; none for a pattern too long for any."""
    groups: list[tuple[str, ...]] = [()]
    for one in leaf.patterns:
        if len(pattern.joined((one,))) > REGEXP_LENGTH:
            return None
        if len(pattern.joined((*groups[-1], one))) > REGEXP_LENGTH:
            groups.append(())
        groups[-1] = (*groups[-1], one)
    case: Dsl = {"case_insensitive": True} if leaf.any_case else {}
    return _either(
        {"regexp": {leaf.field: {"value": pattern.joined(group), "flags": "ALL", **case}}}
        for group in groups
    )


def _on_text(
    leaf: tree.Regex | tree.StartsWith | tree.EndsWith | tree.Contains,
) -> Dsl | None:
    field, any_case = leaf.field, leaf.any_case
    match leaf:
        case tree.Regex():
            return _regexps(leaf)
        case tree.StartsWith(text=text):
            return _cased("prefix", field, text, any_case=any_case)
        case tree.EndsWith(text=text):
            return _cased("wildcard", field, f"*{_escaped(text)}", any_case=any_case)
        case tree.Contains(text=text):
            if text == "":
                return _NONE
            return _cased("wildcard", field, f"*{_escaped(text)}*", any_case=any_case)
        case _:
            assert_never(leaf)


def _cased(kind: str, field: str, value: tree.Scalar, *, any_case: bool) -> Dsl:
    if any_case:
        return {kind: {field: {"value": value, "case_insensitive": True}}}
    return {kind: {field: value if kind != "wildcard" else {"value": value}}}


def _escaped(text: str) -> str:
    """`text` for a `wildcard` query, every character itself."""
    return "".join(f"\\{char}" if char in "*?\\" else char for char in text)
