"""The body of an answer in, whether it has the shape that what was asked gives out. Pure.

Whoever answers JSON of another shape is not Elasticsearch, or is one that something has changed on
the way: it is asked again, and what it said is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Shape: TypeAlias = Callable[[Any], bool]


def responses(count: int) -> Shape:
    """Of an `_msearch` of so many searches."""
    return lambda body: _listed(body, "responses", count, _is_response)


def items(count: int) -> Shape:
    """Of a `_bulk` of so many operations."""
    return lambda body: _listed(body, "items", count, _is_item)


def documents(count: int) -> Shape:
    """Of an `_mget` of so many documents."""
    return lambda body: _listed(body, "docs", count, _is_document)


def searched(body: Any) -> bool:
    """Of a search, of which hits may be left out where there are none."""
    if not isinstance(body, Mapping) or not _shards(body):
        return False
    hits = body.get("hits", {})
    return isinstance(hits, Mapping) and isinstance(hits.get("hits", []), list)


def point(body: Any) -> bool:
    """Of a point in time that was opened."""
    return isinstance(body, Mapping) and isinstance(body.get("id"), str)


def rows(body: Any) -> bool:
    """Of a query of ES|QL."""
    if not isinstance(body, Mapping):
        return False
    columns, values = body.get("columns"), body.get("values")
    named = isinstance(columns, list) and all(
        isinstance(one, Mapping) and "name" in one for one in columns
    )
    return named and isinstance(values, list) and all(isinstance(one, list) for one in values)


def _listed(body: Any, key: str, count: int, each: Shape) -> bool:
    listed = body.get(key) if isinstance(body, Mapping) else None
    return isinstance(listed, list) and len(listed) == count and all(map(each, listed))


def _is_response(one: Any) -> bool:
    if not isinstance(one, Mapping):
        return False
    if "error" in one:
        return isinstance(one["error"], Mapping)
    return searched(one) and "hits" in one and "hits" in one["hits"]


def _shards(body: Mapping[str, Any]) -> bool:
    shards = body.get("_shards")
    if not isinstance(shards, Mapping) or not isinstance(shards.get("failed"), int):
        return False
    failures = shards.get("failures", ())
    return all(isinstance(one, Mapping) and "reason" in one for one in failures)


def _is_item(one: Any) -> bool:
    if not isinstance(one, Mapping) or len(one) != 1:
        return False
    (told,) = one.values()
    return isinstance(told, Mapping) and isinstance(told.get("status"), int)


def _is_document(one: Any) -> bool:
    return isinstance(one, Mapping) and ("error" in one or "found" in one)
