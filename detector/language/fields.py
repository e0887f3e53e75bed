"""A field's name -> its type in Elasticsearch: the bundled ECS table, or what a cluster said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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

    def exact(self, name: str) -> str | None:
        """The field that holds the values of this one whole, where it is analysed text."""

    def analysed_in(self, name: str) -> tuple[str, ...]:
        """Patterns of the indices where it is analysed text, though it is whole in others."""


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


WHOLE = ".keyword"
"""Ends the name of the field that Elasticsearch puts beside text which it maps by itself."""


def kind_of(name: str, types: FieldTypes) -> Kind:
    """How the values of `name` compare."""
    type_ = types.type_of(name)
    return Kind.UNKNOWN if type_ is None else KINDS.get(type_, Kind.OPAQUE)


def above(name: str) -> Iterator[str]:
    """The objects a field lies in, the outermost first."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


def near(name: str) -> tuple[str, ...]:
    """What has to be known to know a field: the objects above it, which may be nested, as well.

    Beside text that is mapped by itself Elasticsearch holds its values whole.
    """
    return name, f"{name}{WHOLE}", *above(name)


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

    def exact(self, name: str) -> str | None:
        return self.types.exact(name)

    def analysed_in(self, name: str) -> tuple[str, ...]:
        return self.types.analysed_in(name)


class FieldTable:
    """Field types as plain tables, for example a cluster's answer to `field_caps`."""

    def __init__(
        self,
        types: Mapping[str, str],
        *,
        ignore_above: Mapping[str, int] | None = None,
        unsearchable: Collection[str] = (),
        analysed: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._types = types
        self._ignore_above = ignore_above or {}
        self._unsearchable = frozenset(unsearchable)
        self._analysed = analysed or {}
        self._nested = tuple(f"{name}." for name, type_ in types.items() if type_ == "nested")

    def type_of(self, name: str) -> str | None:
        return self._types.get(name)

    def ignore_above(self, name: str) -> int | None:
        return self._ignore_above.get(name)

    def searchable(self, name: str) -> bool:
        """Not where the index has no terms, nor inside `nested`, which no plain query enters."""
        return name not in self._unsearchable and not name.startswith(self._nested)

    def exact(self, name: str) -> str | None:
        whole = f"{name}{WHOLE}"
        is_text = kind_of(name, self) is Kind.TEXT and kind_of(whole, self) is Kind.STRING
        return whole if is_text and self.searchable(whole) else None

    def analysed_in(self, name: str) -> tuple[str, ...]:
        return self._analysed.get(name, ())


@dataclass(frozen=True, slots=True)
class Layered:
    """What `upper` knows of a field, and what `lower` does of those that it does not know.

    What an index has ignored is not among the values it returns: no length has to be told.
    """

    upper: FieldTable
    lower: FieldTypes

    def type_of(self, name: str) -> str | None:
        return self.upper.type_of(name) or self.lower.type_of(name)

    def ignore_above(self, name: str) -> int | None:
        known = self.upper.type_of(name) is not None
        return self.upper.ignore_above(name) if known else self.lower.ignore_above(name)

    def searchable(self, name: str) -> bool:
        known = self.upper.type_of(name) is not None
        return self.upper.searchable(name) and (known or self.lower.searchable(name))

    def exact(self, name: str) -> str | None:
        return self.upper.exact(name)

    def analysed_in(self, name: str) -> tuple[str, ...]:
        return self.upper.analysed_in(name)


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

    def exact(self, name: str) -> str | None:
        return _bundled().exact(name)

    def analysed_in(self, name: str) -> tuple[str, ...]:
        return _bundled().analysed_in(name)


@cache
def _bundled() -> FieldTable:
    text = (resources.files("detector") / "data" / "ecs_fields.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    types = {row[0]: row[1] for row in rows[1:]}
    return FieldTable(types, unsearchable={row[0] for row in rows[1:] if row[3] == "false"})


ECS: FieldTypes = BundledTable()
