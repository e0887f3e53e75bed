"""A condition with date math in it (`now-30d/d`) and a time -> the condition with plain times.

https://www.elastic.co/docs/reference/elasticsearch/rest-apis/common-options#date-math. What a run
is asked for must not depend on when the question arrives: `now` is the end of its window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from detector.language import dates, tree
from detector.language.fields import ECS, Kind, kind_of
from detector.language.tree import Node

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = re.compile(r"([+-])(\d{0,6})([yMwdhHms])|/([yMwdhHms])")
_MATH = re.compile(rf"(now|[^|]+\|\|)((?:{_STEP.pattern})*)")
_ONE: Mapping[str, Any] = {
    "y": relativedelta(years=1),
    "M": relativedelta(months=1),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "H": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_START: Mapping[str, Callable[[datetime], datetime]] = {
    "y": lambda t: t.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0),
    "M": lambda t: t.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
    "w": lambda t: _START["d"](t) - timedelta(days=t.weekday()),
    "d": lambda t: t.replace(hour=0, minute=0, second=0, microsecond=0),
    "h": lambda t: t.replace(minute=0, second=0, microsecond=0),
    "H": lambda t: t.replace(minute=0, second=0, microsecond=0),
    "m": lambda t: t.replace(second=0, microsecond=0),
    "s": lambda t: t.replace(microsecond=0),
}
_MILLISECOND = timedelta(milliseconds=1)
_UP: Mapping[str, bool] = {"gt": True, "lte": True, "gte": False, "lt": False}
"""Where a bound is rounded up: what is greater than a day comes after its end."""
_ORDERS: Mapping[tree.Order, str] = {">": "gt", "<=": "lte", ">=": "gte", "<": "lt"}


def instant(text: str, now: datetime, *, up: bool = False) -> datetime | None:
    """The time that date math means; None for what is none, plain dates included.

    `/d` is the first millisecond of the day, with `up` the last.
    """
    found = _MATH.fullmatch(text)
    if found is None:
        return None
    try:
        time = now if found[1] == "now" else _anchor(found[1][:-2], up=up)
        for step in _STEP.finditer(found[2]) if time else ():
            time = _stepped(time, step, up=up)
    except (OverflowError, ValueError):
        return None
    return time


def used(query: tree.Query) -> bool:
    """Whether what the query asks depends on a clock."""
    if any(_MATH.fullmatch(text) for one in tree.sent(query) for text in one.query.split('"')):
        return True
    values = (bound for leaf in tree.leaves(query) for bound in _bounds(leaf))
    return any(map(is_math, values))


def is_math(value: tree.Scalar) -> bool:
    """Whether it is a time that depends on a clock, or on a date that is written out."""
    return isinstance(value, str) and _MATH.fullmatch(value) is not None


def resolved(node: Node, now: datetime) -> Node:
    """The same condition, in which no bound of a date depends on a clock any more."""
    match node:
        case tree.And(items) | tree.Or(items):
            return replace(node, items=tuple(resolved(item, now) for item in items))
        case tree.Not(item) | tree.Nested(item=item):
            return replace(node, item=resolved(item, now))
        case tree.Sent(query, meaning):
            sent = json.dumps(_plain(json.loads(query), now), separators=(",", ":"))
            return tree.Sent(sent, None if meaning is None else resolved(meaning, now))
        case tree.Compare(name, order, value):
            return replace(node, value=_bound(name, _ORDERS[order], value, now))
        case tree.Between(name, bounds):
            plain = tuple((order, _bound(name, _ORDERS[order], v, now)) for order, v in bounds)
            return replace(node, bounds=plain)
        case _:
            return node


def _bounds(leaf: tree.Leaf) -> Iterator[tree.Scalar]:
    if isinstance(leaf, tree.Compare):
        yield leaf.value
    elif isinstance(leaf, tree.Between):
        yield from (value for _, value in leaf.bounds)


def _bound(name: str, end: str, value: Any, now: datetime) -> Any:
    if not isinstance(value, str) or kind_of(name, ECS) not in {Kind.DATE, Kind.UNKNOWN}:
        return value
    time = instant(value, now, up=_UP[end])
    return value if time is None else stamp(time)


def _plain(query: Any, now: datetime) -> Any:
    """Query DSL with the bounds of its `range`s resolved, but for those in another time zone."""
    if isinstance(query, list):
        return [_plain(item, now) for item in query]
    if not isinstance(query, dict):
        return query
    return {
        key: {name: _range(name, body, now) for name, body in inner.items()}
        if key == "range" and isinstance(inner, dict)
        else _plain(inner, now)
        for key, inner in query.items()
    }


def _range(name: str, body: Any, now: datetime) -> Any:
    if not isinstance(body, dict) or "time_zone" in body or "format" in body:
        return body
    return {end: _bound(name, end, v, now) if end in _UP else v for end, v in body.items()}


def _anchor(text: str, *, up: bool) -> datetime | None:
    span = dates.span(text)
    return None if span is None else _EPOCH + timedelta(milliseconds=span[up] // dates.MILLISECOND)


def _stepped(time: Any, step: re.Match[str], *, up: bool) -> datetime:
    sign, count, unit, rounded = step[1], step[2], step[3], step[4]
    if rounded:
        start = _START[rounded](time)
        return start + _ONE[rounded] - _MILLISECOND if up else start
    distance = _ONE[unit] * int(count or 1)
    moved: datetime = time + distance if sign == "+" else time - distance
    return moved


def stamp(time: datetime) -> str:
    """A moment as a literal: ISO 8601 in UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
