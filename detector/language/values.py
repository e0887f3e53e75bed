"""A document and a field -> its values as an index would hold them; a literal -> what it covers.

Both are brought to the field's type: addresses and dates to integers, so that everything compares.
What a type cannot hold is left out, as an index with `ignore_malformed` leaves it out.
"""

from __future__ import annotations

import ipaddress
import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

from detector.language import dates
from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.functions import string

Typed: TypeAlias = str | int | float | bool
Read: TypeAlias = Callable[[Mapping[str, Any]], list[Any]]
Interval: TypeAlias = tuple[Any, Any]
"""The first and the last value that a literal means: `2024-01-01` is a whole day on a date."""

_MULTI_FIELDS = ("text", "keyword", "caseless")
_BOOLEANS: dict[str | bool, bool] = {
    "true": True,
    "false": False,
    "": False,
    True: True,
    False: False,
}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BLOCK = re.compile(r"[0-9a-fA-F:.]+(/[0-9]{1,3})?")
_MAPPED = 0xFFFF << 32


def raw(document: Mapping[str, Any], name: str) -> list[Any]:
    """The scalars at `name`, spelled by dots or objects: arrays flattened, nulls left out."""
    return _scalars(document, name, whole=False)


def whole(document: Mapping[str, Any], name: str) -> list[Any]:
    """As `raw`, with every scalar inside an object that stands at `name`."""
    return _scalars(document, name, whole=True)


def _scalars(document: Mapping[str, Any], name: str, *, whole: bool) -> list[Any]:
    """Without recursion: an event may be nested as deep as its sender likes."""
    found: list[Any] = []
    rest: list[tuple[Any, str]] = [(document, name)]
    while rest:
        value, path = rest.pop()
        if type(value) is dict or isinstance(value, Mapping):
            if path:
                rest += _below(value, path)
            elif whole:
                rest += [(inner, "") for inner in list(value.values())[::-1]]
        elif isinstance(value, list | tuple):
            rest += [(inner, path) for inner in value[::-1]]
        elif value is not None and not path:
            found.append(value)
    return found


def objects(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects at `name`, spelled by dots or objects, arrays flattened."""
    found: list[Mapping[str, Any]] = []
    rest: list[tuple[Any, str]] = [(document, name)]
    while rest:
        value, path = rest.pop()
        if isinstance(value, list | tuple):
            rest += [(inner, path) for inner in value[::-1]]
        elif isinstance(value, Mapping):
            if path:
                rest += _below(value, path)
            else:
                found.append(value)
    return found


def _below(value: Mapping[str, Any], path: str) -> list[tuple[Any, str]]:
    """What stands under the keys that `path` begins with, and what is left of it there."""
    return [(value[head], rest) for head, rest in _divisions(path) if head in value]


@lru_cache(maxsize=16_384)
def _divisions(path: str) -> tuple[tuple[str, str], ...]:
    """Every way to take a key off the path, the shortest first."""
    parts = path.split(".")
    return tuple((".".join(parts[:end]), ".".join(parts[end:])) for end in range(1, len(parts) + 1))


def reader(name: str, types: FieldTypes) -> Read:
    """What gives the values of `name` in a document, brought to its type."""
    type_, limit = types.type_of(name), types.ignore_above(name)
    kind = kind_of(name, types)
    collect = whole if type_ == "flattened" or kind in {Kind.OPAQUE, Kind.UNKNOWN} else raw
    parent = parent_of(name, types)

    def read(document: Mapping[str, Any]) -> list[Any]:
        values = collect(document, name)
        if not values and parent is not None:
            values = raw(document, parent)
        if kind is Kind.UNKNOWN or kind is Kind.OPAQUE:
            return values
        typed = [bring(value, kind, type_) for value in values]
        return [
            value
            for value in typed
            if value is not None
            and not (limit is not None and isinstance(value, str) and len(value) > limit)
        ]

    return read


def parent_of(name: str, types: FieldTypes) -> str | None:
    """The field whose values a multi-field (`process.name.text`) has; None for any other."""
    parent, _, last = name.rpartition(".")
    if parent and (last in _MULTI_FIELDS or types.type_of(parent) in {"keyword", "wildcard"}):
        return parent
    return None


def bring(value: Any, kind: Kind, type_: str | None) -> Typed | None:
    """A document's value as the type holds it; None where it cannot."""
    match kind:
        case Kind.STRING | Kind.TEXT:
            return string(value)
        case Kind.INTEGER:
            number = _number(value)
            return None if number is None else math.trunc(number)
        case Kind.FLOAT:
            number = _number(value)
            return None if number is None else _narrow(number, type_)
        case Kind.BOOLEAN:
            return _BOOLEANS.get(value) if isinstance(value, str | bool) else None
        case Kind.IP:
            return address(value)
        case Kind.DATE:
            span = None if isinstance(value, bool) else _span(str(value), type_)
            return None if span is None else _tick(span[0], type_)
        case _:
            return None


def cover(value: Typed, kind: Kind, type_: str | None) -> Interval | None:
    """What a literal covers on a field of this type; None where the type has no such value."""
    match kind:
        case Kind.STRING | Kind.TEXT:
            return (string(value), string(value))
        case Kind.INTEGER | Kind.FLOAT:
            number = _number(value)
            if number is not None and kind is Kind.FLOAT:
                number = _narrow(number, type_)
            return None if number is None else (number, number)
        case Kind.BOOLEAN if isinstance(value, str | bool) and value != "":
            truth = _BOOLEANS.get(value)
            return None if truth is None else (truth, truth)
        case Kind.IP:
            return _block(str(value))
        case Kind.DATE if isinstance(value, int | float) and not isinstance(value, bool):
            span = dates.epoch(str(value))
        case Kind.DATE:
            span = _span(str(value), type_)
        case _:
            return None
    return None if span is None else (_tick(span[0], type_), _tick(span[1], type_))


def bound(value: Typed, kind: Kind, type_: str | None) -> Interval | None:
    """As `cover`, for an order: a network, even of one address, has no place in one.

    A `half_float` is compared with the literal as a `float`, though it equals it as a half.
    """
    if type_ == "half_float":
        return cover(value, kind, "float")
    if kind is Kind.IP and address(value) is None:
        return None
    return cover(value, kind, type_)


def address(value: object) -> int | None:
    """An address as a number, IPv4 as its IPv6 form; None where `value` is none."""
    block = _block(str(value)) if isinstance(value, str) and "/" not in value else None
    return None if block is None else int(block[0])


def _number(value: object) -> int | Decimal | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return None
    number = Decimal(value)
    return number if abs(number.adjusted()) < 400 else None


def _span(text: str, type_: str | None) -> Interval | None:
    return dates.span(text, nanos=type_ == "date_nanos")


def _tick(nanoseconds: int, type_: str | None) -> int:
    """The time as the type keeps it: `date` in whole milliseconds."""
    return nanoseconds - (0 if type_ == "date_nanos" else nanoseconds % dates.MILLISECOND)


def _narrow(number: Decimal | float, type_: str | None) -> float:
    """`number` as the float type keeps it."""
    form = {"float": "f", "half_float": "e"}.get(type_ or "", "d")
    try:
        return float(struct.unpack(form, struct.pack(form, float(number)))[0])
    except OverflowError:
        return math.inf if number > 0 else -math.inf


@lru_cache(maxsize=65536)
def _block(text: str) -> Interval | None:
    """The addresses from the first to the last of a CIDR block, or of a single address."""
    if _BLOCK.fullmatch(text) is None:
        return None
    try:
        if "/" not in text:  # the common case, ten times as fast
            one = ipaddress.ip_address(text)
            place = int(one) | (_MAPPED if one.version == 4 else 0)
            return place, place
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network):
        if network[0].ipv4_mapped is not None and "/" in text:
            return None  # Elasticsearch refuses these as ambiguous
        return (int(network[0]), int(network[-1]))
    return (int(network[0]) | _MAPPED, int(network[-1]) | _MAPPED)
