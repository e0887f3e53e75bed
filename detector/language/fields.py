"""A field's name -> its type in Elasticsearch: the bundled ECS table, or what a cluster said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import resources
from typing import Protocol


class FieldTypes(Protocol):
    """What an index knows about its fields."""

    def type_of(self, name: str) -> str | None:
        """The mapping's type (`keyword`, `long`, ...); None where the field is not known."""

    def ignore_above(self, name: str) -> int | None:
        """The length from which on a value is stored but not found; None where any length is."""

    def searchable(self, name: str) -> bool:
        """Whether a query may ask for the field; an unknown one may be asked for."""


class Kind(Enum):
    """How the values of a type compare. `UNKNOWN` goes by what document and query say."""

    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    IP = "ip"
    DATE = "date"
    OPAQUE = "opaque"
    UNKNOWN = "unknown"


KINDS: dict[str, Kind] = {
    "keyword": Kind.STRING,
    "constant_keyword": Kind.STRING,
    "wildcard": Kind.STRING,
    "version": Kind.STRING,
    "flattened": Kind.STRING,
    "text": Kind.TEXT,
    "match_only_text": Kind.TEXT,
    "annotated_text": Kind.TEXT,
    "long": Kind.INTEGER,
    "integer": Kind.INTEGER,
    "short": Kind.INTEGER,
    "byte": Kind.INTEGER,
    "unsigned_long": Kind.INTEGER,
    "double": Kind.FLOAT,
    "float": Kind.FLOAT,
    "half_float": Kind.FLOAT,
    "scaled_float": Kind.FLOAT,
    "boolean": Kind.BOOLEAN,
    "ip": Kind.IP,
    "date": Kind.DATE,
    "date_nanos": Kind.DATE,
}


def kind_of(name: str, types: FieldTypes) -> Kind:
    """How the values of `name` compare."""
    type_ = types.type_of(name)
    return Kind.UNKNOWN if type_ is None else KINDS.get(type_, Kind.OPAQUE)


def within(types: FieldTypes, path: str) -> FieldTypes:
    """The types as a `nested` query over the objects at `path` sees them."""
    return _Within(types, f"{path}.") if types.type_of(path) == "nested" else types


@dataclass(frozen=True, slots=True)
class _Within:
    types: FieldTypes
    prefix: str

    def type_of(self, name: str) -> str | None:
        return self.types.type_of(name)

    def ignore_above(self, name: str) -> int | None:
        return self.types.ignore_above(name)

    def searchable(self, name: str) -> bool:
        return name.startswith(self.prefix)


class FieldTable:
    """Field types as plain tables, for example a cluster's answer to `field_caps`."""

    def __init__(
        self,
        types: Mapping[str, str],
        *,
        ignore_above: Mapping[str, int] | None = None,
        unsearchable: Collection[str] = (),
    ) -> None:
        self._types = types
        self._ignore_above = ignore_above or {}
        self._unsearchable = frozenset(unsearchable)
        self._nested = tuple(f"{name}." for name, type_ in types.items() if type_ == "nested")

    def type_of(self, name: str) -> str | None:
        return self._types.get(name)

    def ignore_above(self, name: str) -> int | None:
        return self._ignore_above.get(name)

    def searchable(self, name: str) -> bool:
        """Not where the index has no terms, nor inside `nested`, which no plain query enters."""
        return name not in self._unsearchable and not name.startswith(self._nested)


class BundledTable:
    """The Elastic Common Schema as it ships with the package, read when first asked.

    ECS and the integrations' templates leave out keywords longer than 1024 characters.
    """

    def type_of(self, name: str) -> str | None:
        return _bundled().type_of(name)

    def ignore_above(self, name: str) -> int | None:
        return 1024 if self.type_of(name) == "keyword" else None

    def searchable(self, name: str) -> bool:
        return _bundled().searchable(name)


@cache
def _bundled() -> FieldTable:
    text = (resources.files("detector") / "data" / "ecs_fields.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    types = {row[0]: row[1] for row in rows[1:]}
    return FieldTable(types, unsearchable={row[0] for row in rows[1:] if row[3] == "false"})


ECS: FieldTypes = BundledTable()
