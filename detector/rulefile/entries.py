"""The entries of a Kibana exception item -> the condition they are.

As `build_exception_filter.ts` of Kibana's lists plugin makes Query DSL of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, assert_never

from pydantic import BaseModel, ConfigDict, Field

from detector.errors import DetectorError
from detector.language import querydsl, tree
from detector.language.tree import Node, Not, Wording
from detector.rulefile.keys import Filled
from detector.rulefile.lists import KINDS

Values: TypeAlias = Callable[[str, str], tuple[str, ...]]
"""The values of a list, by its name and type; raises `DetectorError`."""


class Export(BaseModel):
    """Keys of one level of Kibana's export; it has more than count here."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, defer_build=True)


class ListNamed(Export):
    """A value list and the type of its values."""

    id: Filled
    type: str


class Entry(Export):
    """One thing an exception asks of an event."""

    field: Filled
    type: Literal["match", "match_any", "exists", "wildcard", "list", "nested"]
    operator: Literal["included", "excluded"] = "included"
    value: Filled | Annotated[list[Filled], Field(min_length=1)] | None = None
    listed: ListNamed | None = Field(alias="list", default=None)
    entries: list[Entry] = []


class Item(Export):
    """One exception of a list."""

    list_id: Filled
    item_id: str = ""
    name: str = ""
    entries: Annotated[list[Entry], Field(min_length=1)]
    os_types: list[Literal["windows", "linux", "macos"]] = []
    expire_time: str | None = None


def condition(item: Item, values: Values) -> Node:
    """What the item excepts. Raises `DetectorError` for what cannot be read."""
    asked = [_entry(entry, "", values) for entry in item.entries]
    if item.os_types:
        asked.append(tree.any_of(map(_runs, item.os_types)))
    return tree.all_of(asked)


def _runs(system: str) -> Node:
    """Kibana asks `host.os.name.caseless`, which only the index has; this is the same."""
    kind = tree.Says("host.os.type", (Wording((system,), phrase=True),))
    return tree.Or((kind, tree.OneOf("host.os.name", (system,), any_case=True)))


def _entry(entry: Entry, above: str, values: Values) -> Node:
    node = _included(entry, above + entry.field, values)
    return Not(node) if entry.operator == "excluded" else node


def _included(entry: Entry, field: str, values: Values) -> Node:
    match entry.type:
        case "match" | "match_any":
            return tree.Says(field, tuple(Wording((one,), phrase=True) for one in _texts(entry)))
        case "wildcard":
            return tree.any_of(querydsl.read({"wildcard": {field: one}}) for one in _texts(entry))
        case "exists":
            return tree.Exists(field)
        case "list":
            named = _needed(entry.listed, "list")
            return in_list(field, named.id, named.type, values)
        case "nested":
            inner = [_entry(one, f"{field}.", values) for one in _needed(entry.entries, "entries")]
            return tree.Nested(field, tree.all_of(inner))
        case _:
            assert_never(entry.type)


def in_list(field: str, name: str, kind: str, values: Values) -> Node:
    """Some value of the field stands in the list, or as an address in one of its ranges."""
    if kind not in KINDS:
        raise DetectorError(f"value lists of type `{kind}` are not read", hint=", ".join(KINDS))
    found = values(name, kind)
    return tree.InNetwork(field, found) if kind == "ip_range" else tree.OneOf(field, found)


def _texts(entry: Entry) -> list[str]:
    value = _needed(entry.value, "value")
    return [value] if isinstance(value, str) else value


def _needed(value: Any, name: str) -> Any:
    if not value:
        raise DetectorError(f"an entry lacks `{name}`")
    return value
