"""`length(field) > n` -> the query that says it, for lengths that a query can count."""

from __future__ import annotations

from typing import Any

from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.tree import Call, Field, Literal

MAX_EXPRESSION = 1_000
"""Characters of a regular expression that an index takes (`index.max_regex_length`)."""

_WIDE = "\U00010000-\U0010ffff"


def query(expression: Call, types: FieldTypes) -> dict[str, Any] | None:
    """The query for a field that is at least so long, else None."""
    match expression:
        case Call(">" | ">=", (Call("length", (Field(name),)), Literal(int(bound)))):
            least = bound + (expression.name == ">")
        case _:
            return None
    if isinstance(bound, bool) or kind_of(name, types) not in {Kind.STRING, Kind.UNKNOWN}:
        return None
    if least <= 0 or not types.searchable(name):
        return {"exists": {"field": name}} if types.searchable(name) else None
    if least == 1:
        return {"wildcard": {name: {"value": "?*"}}}
    value = _at_least(least)
    if len(value) > MAX_EXPRESSION:
        return None
    return {"regexp": {name: {"value": value, "flags": "ALL"}}}


def _at_least(units: int) -> str:
    """A regular expression of Lucene for at least `units` UTF-16 units.

    Lucene counts characters and Java units, of which those outside the BMP have two: with n of
    these among them, n characters less are enough.
    """
    alternatives = [f".{{{units},}}"]
    for wide in range(1, (units + 1) // 2 + 1):
        some = f"([^{_WIDE}]*[{_WIDE}]){{{wide}}}.*"
        alternatives.append(f"({some}&.{{{units - wide},}})")
    return "|".join(alternatives)
