"""An event's own times -> the index its alert is written to, and always the same one."""

from __future__ import annotations

from datetime import UTC, datetime

from detector.alerts import identity, instants, reading
from detector.model import Source

AHEAD = instants.DAY
BEHIND = 400 * instants.DAY
FIRST = instants.nanoseconds("2000") or 0
LAST = instants.nanoseconds("2101") or 0


def alias(space: str) -> str:
    """The name under which all alerts of a space are read."""
    return f"alerts-detector-{space}"


def shadow(space: str) -> str:
    """The space of alerts that are looked at before they count: none of `space`'s patterns fits."""
    return f"{space}_shadow"


def index(space: str, source: Source) -> str:
    """The index of the event's month; `-undated` for a time that is missing or not to be believed.

    The event's own `event.ingested` bounds what is believed, so that spoofed dates cannot make a
    thousand indices and no clock is asked. An alert on an alert stands where the first one does.
    """
    time = _time(source)
    ingested = instants.nanoseconds(reading.first(source, identity.INGESTED))
    return f"{alias(space)}-{instants.month(time) if _likely(time, ingested) else 'undated'}"


def of_time(space: str, time: datetime) -> str:
    """The index for an alert that no single event gave rise to."""
    return f"{alias(space)}-{time.astimezone(UTC):%Y.%m}"


def _time(source: Source) -> int:
    """Nanoseconds since 1970, or a time that no event has."""
    on_alert = reading.first(source, identity.ALERT_ID) is not None
    name = identity.ORIGINAL_TIME if on_alert else identity.TIME
    time = instants.nanoseconds(reading.first(source, name))
    return LAST if time is None else time


def _likely(time: int, ingested: int | None) -> bool:
    if not FIRST <= time < LAST:
        return False
    return ingested is None or ingested - BEHIND <= time <= ingested + AHEAD
