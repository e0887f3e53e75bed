"""A time as Elasticsearch reads it, in whatever notation -> nanoseconds since 1970, and back."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
DAY = 86_400 * SECOND

_NOTATION = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?)?",
    re.ASCII,
)
_EPOCH_MILLIS = re.compile(r"-?\d{5,18}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(value: Any) -> int | None:
    """`strict_date_optional_time||epoch_millis`; None for what is no time."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(Decimal(str(value)) * MILLISECOND)


def iso(nanos: int) -> str:
    """ISO 8601 in UTC: milliseconds, or as many digits as it takes. Raises OverflowError."""
    seconds, fraction = divmod(nanos, SECOND)
    time = _EPOCH + timedelta(seconds=seconds)
    digits = f"{fraction:09d}".rstrip("0").ljust(3, "0")
    return f"{time.isoformat()[:19]}.{digits}Z"


def stamp(time: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as Kibana writes the times of its own."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def month(nanos: int) -> str:
    """`YYYY.MM` in UTC. Raises OverflowError."""
    time = _EPOCH + timedelta(seconds=nanos // SECOND)
    return f"{time.year:04d}.{time.month:02d}"


@lru_cache(maxsize=1024)  # one event's time is read for its id, its index and its alert
def _text(value: str) -> int | None:
    parts = _NOTATION.fullmatch(value)
    if parts is None:
        return int(value) * MILLISECOND if _EPOCH_MILLIS.fullmatch(value) else None
    year, month_, day, hour, minute, second, fraction, zone = parts.groups()
    try:
        time = datetime(
            int(year), int(month_ or 1), int(day or 1), int(hour or 0), int(minute or 0),
            int(second or 0), tzinfo=_zone(zone),
        )  # fmt: skip
    except ValueError:
        return None
    since = time - _EPOCH
    whole = (since.days * 86_400 + since.seconds) * SECOND
    return whole + (int(fraction.ljust(9, "0")) if fraction else 0)


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:] if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
