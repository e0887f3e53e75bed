"""Text such as `now-7d` or `2026-03-01 12:00` in, a time in UTC out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dateutil import parser as dates
from dateutil.relativedelta import relativedelta

from detector.errors import SettingsError

UNITS = {
    "s": relativedelta(seconds=1),
    "m": relativedelta(minutes=1),
    "h": relativedelta(hours=1),
    "H": relativedelta(hours=1),
    "d": relativedelta(days=1),
    "w": relativedelta(weeks=1),
    "M": relativedelta(months=1),
    "y": relativedelta(years=1),
}
MATH = re.compile(r"now(?P<steps>(?:[+-]\d{1,6}[smhHdwMy])*)(?:/(?P<unit>[smhHdwMy]))?")
STEP = re.compile(r"([+-]\d+)([smhHdwMy])")


def parse(text: str, now: datetime, option: str) -> datetime:
    """The time that `text` means; one without a zone is UTC.

    Reads Elasticsearch's date math (`now-7d`, `now-1d/d`) and whatever dateutil reads. Raises
    `SettingsError` naming `option`.
    """
    found = MATH.fullmatch(text.strip())
    try:
        if found:
            return _math(found, now)
        time = dates.parse(text, default=datetime(now.year, now.month, now.day, tzinfo=UTC))
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option}: `{text}` is no time",
            hint="as in `now-7d`, `now-1d/d`, `2026-03-01` or `2026-03-01T12:00:00Z`",
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _math(found: re.Match[str], now: datetime) -> datetime:
    time = now
    for count, unit in STEP.findall(found["steps"]):
        time += int(count) * UNITS[unit]
    return _rounded(time, found["unit"]) if found["unit"] else time


def _rounded(time: datetime, unit: str) -> datetime:
    if unit == "w":
        time -= timedelta(days=time.weekday())
        unit = "d"
    fields = {"y": "month", "M": "day", "d": "hour", "h": "minute", "H": "minute", "m": "second"}
    order = ["month", "day", "hour", "minute", "second", "microsecond"]
    first = order.index(fields.get(unit, "microsecond"))
    lowest = {name: 1 if name in {"month", "day"} else 0 for name in order[first:]}
    return time.replace(**lowest)  # type: ignore[arg-type]
