"""Text such as `now-7d` or `2026-03-01 12:00` in, a time in UTC out."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dateutil import parser as dates

from detector.errors import SettingsError
from detector.language import datemath

MATH = re.compile(r"now([+-]\d{1,6}[smhHdwMy])*(/[smhHdwMy])?")


def parse(text: str, now: datetime, option: str) -> datetime:
    """The time that `text` means; one without a zone is UTC.

    Reads Elasticsearch's date math (`now-7d`, `now-1d/d`) and whatever dateutil reads. Raises
    `SettingsError` naming `option`.
    """
    try:
        time = _read(text, now)
    except (ValueError, OverflowError):
        time = None
    if time is None:
        hint = "as in `now-7d`, `now-1d/d`, `2026-03-01` or `2026-03-01T12:00:00Z`"
        raise SettingsError(f"{option}: `{text}` is no time", hint=hint)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _read(text: str, now: datetime) -> datetime | None:
    if MATH.fullmatch(text.strip()):
        return datemath.instant(text.strip(), now)
    return dates.parse(text, default=datetime(now.year, now.month, now.day, tzinfo=UTC))
