"""An expression -> a function from the fields' values to its value; null is None."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from detector.language import dates, functions, values
from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.functions import Value, string
from detector.language.tree import Call, Expression, Field, Literal

Row: TypeAlias = Mapping[str, Value]
Compute: TypeAlias = Callable[[Row], Value]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IPV4 = 0xFFFF << 32


def compiled(expression: Expression) -> Compute:
    """The expression as a function of one value for each field it names."""
    match expression:
        case Field(name):
            return lambda row: row[name]
        case Literal(value):
            return lambda _: value
        case Call("==", (Field(left, True), Field(right, True))):
            return lambda row: _equal_or_absent(row[left], row[right])
        case Call(name, args, any_case):
            return _called(name, [compiled(arg) for arg in args], any_case)


def _called(name: str, parts: Sequence[Compute], any_case: bool) -> Compute:
    run = functions.BY_NAME[name].run

    def compute(row: Row) -> Value:
        try:
            return run([part(row) for part in parts], any_case)
        except (ArithmeticError, ValueError):  # an event may hold what is no argument
            return None

    return compute


def _equal_or_absent(left: Value, right: Value) -> Value:
    """`?a == ?b` holds where neither is there: Elasticsearch puts null for both, and folds."""
    if left is None and right is None:
        return True
    return functions.apply("==", (left, right))


def reader(name: str, types: FieldTypes) -> Callable[[Mapping[str, Any]], list[Any]]:
    """What gives the distinct values of `name` as functions take them."""
    read, kind = values.reader(name, types), kind_of(name, types)
    if kind in {Kind.IP, Kind.DATE}:
        return lambda document: list(dict.fromkeys(text(value, kind) for value in read(document)))
    return lambda document: list(dict.fromkeys(read(document)))


def text(value: Any, kind: Kind) -> str:
    """A typed value as text: addresses and dates as Elasticsearch prints them."""
    match kind:
        case Kind.IP:
            if value >> 32 == 0xFFFF:
                return str(ipaddress.IPv4Address(value - _IPV4))
            return str(ipaddress.IPv6Address(value))
        case Kind.DATE:
            try:
                time = _EPOCH + timedelta(microseconds=value // 1000)
            except OverflowError:  # beyond Python's calendar, where Elasticsearch goes on
                return str(value // dates.MILLISECOND)
            return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return string(value) or ""
