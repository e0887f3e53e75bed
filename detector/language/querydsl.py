"""Query DSL and Kibana's filters -> tree: sent as they were written, read where they can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from detector.errors import LanguageError
from detector.language import lucene, regexp, tree, wildcards
from detector.language.tree import Node, Wording

Json: TypeAlias = Mapping[str, Any]

_ORDERS: dict[str, tree.Order] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_HARMLESS = frozenset({"boost", "_name", "rewrite"})
"""What changes a score, a name or a way, but no answer."""
_FORMATS = frozenset(
    {"strict_date_optional_time", "strict_date_optional_time_nanos", "date_optional_time"}
)
"""Formats of a range's bounds in which they mean what they mean without one."""
_STATE = frozenset({"meta", "$state"})
MAX_DEPTH = 50


class UnreadableError(LanguageError):
    """Query DSL whose meaning this engine does not know."""


def filters(items: Sequence[Json]) -> Node:
    """Kibana's filters, all together: disabled ones are left out, negated ones turned round.

    Raises LanguageError for what is no filter.
    """
    return tree.all_of(_filter(item) for item in items if not _meta(item).get("disabled"))


def sent(query: Json) -> tree.Sent:
    """A query as it is, with its meaning where it can be read."""
    text = json.dumps(query, separators=(",", ":"), ensure_ascii=False)
    try:
        return tree.Sent(text, read(query))
    except LanguageError:
        return tree.Sent(text)


def read(query: Json, depth: int = 0) -> Node:
    """The meaning of a query. Raises UnreadableError where it is not known."""
    if not isinstance(query, Mapping) or len(query) != 1 or depth > MAX_DEPTH:
        raise UnreadableError("a query is one key with what it asks")
    ((kind, body),) = query.items()
    if kind not in _READERS or not isinstance(body, Mapping):
        raise UnreadableError(f"`{kind}` is not read")
    if kind in {"bool", "nested"}:
        return _bool(body, depth) if kind == "bool" else _nested(body, depth)
    return _READERS[kind](body)


def _meta(item: Json) -> Json:
    meta = item.get("meta") if isinstance(item, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def _filter(item: Json) -> Node:
    """One filter; `combined` ones hold others, older ones have their query at the top."""
    meta = _meta(item)
    node: Node
    if meta.get("type") == "combined" and isinstance(meta.get("params"), list):
        inner = [_filter(one) for one in meta["params"] if not _meta(one).get("disabled")]
        node = tree.any_of(inner) if meta.get("relation") == "OR" else tree.all_of(inner)
    else:
        node = sent(_query(item))
    return tree.Not(node) if meta.get("negate") else node


def _query(item: Json) -> Json:
    if not isinstance(item, Mapping):
        raise LanguageError("a filter is a mapping")
    query = item.get("query")
    if isinstance(query, Mapping) and len(query) == 1:
        return cast("Json", query)
    rest = {key: value for key, value in item.items() if key not in _STATE | {"query"}}
    if query is None and len(rest) == 1:
        return rest
    raise LanguageError("a filter needs a `query` with one key", hint="as in query: {term: {...}}")


def _bool(body: Json, depth: int) -> Node:
    must = [*_clauses(body, "must", depth), *_clauses(body, "filter", depth)]
    never = [tree.Not(node) for node in _clauses(body, "must_not", depth)]
    should = _clauses(body, "should", depth)
    _only(body, {"must", "filter", "must_not", "should", "minimum_should_match"})
    least = body.get("minimum_should_match", 0)
    if least not in (0, 1, "0", "1"):
        raise UnreadableError("more than one of `should`")
    if int(least) and not should and must:
        return tree.Nothing()  # beside what only excludes it is forgotten
    wanted = [tree.any_of(should)] if should and (int(least) or not must) else []
    return tree.all_of([*must, *wanted, *never])


def _clauses(body: Json, name: str, depth: int) -> list[Node]:
    given = body.get(name, [])
    return [read(one, depth + 1) for one in (given if isinstance(given, list) else [given])]


def _nested(body: Json, depth: int) -> Node:
    _only(body, {"path", "query", "score_mode", "ignore_unmapped"})
    return tree.Nested(str(body["path"]), read(body["query"], depth + 1))


def _term(body: Json) -> Node:
    field, value, options = _about(body, "value", {"case_insensitive"})
    if options.get("case_insensitive"):
        return tree.OneOf(field, (value,), any_case=True)
    return tree.Equals(field, value)


def _terms(body: Json) -> Node:
    given = {key: value for key, value in body.items() if key not in _HARMLESS}
    if len(given) != 1:
        raise UnreadableError("`terms` asks of one field")
    ((field, values),) = given.items()
    if not isinstance(values, list) or not all(map(_is_scalar, values)):
        raise UnreadableError("`terms` that are looked up")
    return tree.OneOf(field, tuple(values))


def _match(body: Json) -> Node:
    field, value, options = _about(body, "query", {"operator", "lenient"})
    if str(options.get("operator", "or")).lower() != "or":
        raise UnreadableError("`match` with an operator")
    return tree.Says(field, (Wording((_text(value),)),))


def _match_phrase(body: Json) -> Node:
    field, value, _ = _about(body, "query", set())
    return tree.Says(field, (Wording((_text(value),), phrase=True),))


def _prefix(body: Json) -> Node:
    field, value, options = _about(body, "value", {"case_insensitive"})
    return tree.StartsWith(field, _text(value), bool(options.get("case_insensitive")))


def _wildcard(body: Json) -> Node:
    given = {
        field: {"value": inner["wildcard"], **{k: v for k, v in inner.items() if k != "wildcard"}}
        if isinstance(inner, Mapping) and "wildcard" in inner
        else inner
        for field, inner in body.items()
    }
    field, value, options = _about(given, "value", {"case_insensitive"})
    any_case = bool(options.get("case_insensitive"))
    return wildcards.leaf(field, wildcards.pieces(_text(value)), any_case=any_case)


def _regexp(body: Json) -> Node:
    field, value, options = _about(
        body, "value", {"case_insensitive", "flags", "max_determinized_states"}
    )
    if options.get("flags", "ALL") != "ALL":
        raise UnreadableError("`regexp` with other flags")
    regexp.compile(_text(value), any_case=False)  # what cannot be read is no meaning
    return tree.Regex(field, (_text(value),), bool(options.get("case_insensitive")))


def _range(body: Json) -> Node:
    ((field, bounds),) = body.items()
    if not isinstance(bounds, Mapping):
        raise UnreadableError("`range` needs bounds")
    _only(bounds, {*_ORDERS, "format"})
    if bounds.get("format", "date_optional_time") not in _FORMATS:
        raise UnreadableError("`range` with a format of its own")
    asked: list[tuple[tree.Order, tree.Scalar]] = []
    for key, order in _ORDERS.items():
        value = bounds.get(key)
        if value is None:
            continue
        if not _is_scalar(value) or "||" in str(value) or str(value).startswith("now"):
            raise UnreadableError("`range` that depends on the time of asking")
        asked.append((order, value))
    return tree.Between(field, tuple(asked)) if asked else tree.Exists(field)


def _exists(body: Json) -> Node:
    _only(body, {"field"})
    return tree.Exists(_text(body.get("field")))


def _query_string(body: Json) -> Node:
    _only(
        body,
        {"query", "default_field", "analyze_wildcard", "time_zone", "default_operator", "lenient"},
    )
    if str(body.get("default_operator", "or")).lower() != "or":
        raise UnreadableError("`query_string` with another operator")
    return lucene.parse(_text(body.get("query")), default=str(body.get("default_field", "*")))


def _about(body: Json, key: str, known: set[str]) -> tuple[str, Any, Json]:
    """Field, value and options of `{field: value}` or `{field: {key: value, option: ...}}`."""
    if len(body) != 1:
        raise UnreadableError("a query of one field")
    ((field, inner),) = body.items()
    if not isinstance(inner, Mapping):
        inner = {key: inner}
    _only(inner, {key, *known})
    if not _is_scalar(inner.get(key)):
        raise UnreadableError(f"no `{key}`")
    return field, inner[key], inner


def _only(body: Json, known: set[str]) -> None:
    strange = set(body) - known - _HARMLESS
    if strange:
        raise UnreadableError(f"`{min(strange)}` is not read")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not _is_scalar(value):
        raise UnreadableError("text is wanted")
    return str(value)


_READERS: Mapping[str, Callable[[Json], Node]] = {
    "bool": lambda body: _bool(body, 0),
    "nested": lambda body: _nested(body, 0),
    "match_all": lambda _: tree.Everything(),
    "match_none": lambda _: tree.Nothing(),
    "term": _term,
    "terms": _terms,
    "match": _match,
    "match_phrase": _match_phrase,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "regexp": _regexp,
    "range": _range,
    "exists": _exists,
    "query_string": _query_string,
}
