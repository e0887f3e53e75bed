"""A date as Elasticsearch's default format reads it -> the time it spans, in nanoseconds."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?"
)


@lru_cache(maxsize=65536)
def span(text: str, *, nanos: bool = False) -> tuple[int, int] | None:
    """The first and last nanosecond since 1970 of `strict_date_optional_time||epoch_millis`.

    `2024-01-01` is a whole day, a date with a fraction of a second one instant. None for what is no
    date, and for date math (`now-1d`), which would need a clock. `nanos` is the stricter format of
    `date_nanos`, whose times have their seconds.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return epoch(text)
    *parts, fraction, zone = found.groups()
    if nanos and parts[3] and not parts[5]:
        return None
    try:
        first = _second(_filled(parts, ("", "1", "1", "0", "0", "0")), zone)
        month = int(parts[1] or 12)
        days = calendar.monthrange(int(parts[0]), month)[1]
        last = _second(_filled(parts, ("", "12", str(days), "23", "59", "59")), zone)
    except (ValueError, OverflowError):
        return None
    if fraction is None:
        return (first, last + _SECOND - 1)
    start = first + int(fraction.ljust(9, "0"))
    return (start, start)


def epoch(text: str) -> tuple[int, int] | None:
    """A number of milliseconds since 1970, which means that instant alone."""
    found = re.fullmatch(r"(-?\d{1,18})(\.\d+)?", text)
    return (int(found[1]) * MILLISECOND,) * 2 if found else None


def _filled(parts: Iterable[str | None], defaults: Iterable[str]) -> list[int]:
    return [int(part or default) for part, default in zip(parts, defaults, strict=True)]


def _second(parts: list[int], zone: str | None) -> int:
    """The nanosecond a second begins with."""
    time = datetime(*parts[:6], tzinfo=_zone(zone))  # type: ignore[misc, arg-type]
    return (time - _EPOCH) // timedelta(seconds=1) * _SECOND


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
