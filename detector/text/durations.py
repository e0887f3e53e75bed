"""Text such as `5m` or `now-6m` -> timedelta."""

from __future__ import annotations

import re
from datetime import timedelta

from detector.errors import DetectorError

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}

LONGEST = timedelta(days=3660)
"""What can be taken from any date of today without falling off the calendar."""

_DURATION = re.compile(r"(\d{1,9})([smhdw])")
_AGO = re.compile(r"now((?:-\d{1,9}[smhdw])*)")
_FORM = "a number and a unit: s, m, h, d or w, as in `5m`"
_AGO_FORM = "as in `now-6m`; units are s, m, h, d and w"
_CALENDAR = "months and years differ in length: count in days, as in `{}`"


def parse(text: str) -> timedelta:
    """A length of time; raises `DetectorError` without a place."""
    found = _DURATION.fullmatch(text)
    if found is None:
        hint = _CALENDAR.format("30d") if re.fullmatch(r"\d+[My]", text) else _FORM
        raise DetectorError(f"`{text}` is no duration", hint=hint)
    return _sum([found], text)


def ago(text: str) -> timedelta:
    """How far before the run a date math expression lies; raises `DetectorError` without a place.

    Only sums are read: rounding (`now/d`) and absolute dates would make windows that do not step
    by the rule's interval.
    """
    found = _AGO.fullmatch(text)
    if found is None:
        raise DetectorError(f"`{text}` is no time before now", hint=_ago_hint(text))
    return _sum(list(_DURATION.finditer(found[1])), text)


def _sum(parts: list[re.Match[str]], text: str) -> timedelta:
    try:
        length = sum((int(part[1]) * UNITS[part[2]] for part in parts), timedelta(0))
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise DetectorError(f"`{text}` is too long a time", hint="ten years at most")
    return length


def _ago_hint(text: str) -> str:
    if re.search(r"\d[My]", text):
        return _CALENDAR.format("now-30d")
    if "/" in text:
        return "rounding is not supported; " + _AGO_FORM
    if "+" in text:
        return "a window cannot end in the future; " + _AGO_FORM
    return _AGO_FORM
