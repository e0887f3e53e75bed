"""When an exception ends, as it is written, and a time -> whether it holds, and what is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SOON = timedelta(days=7)
"""For how long before an exception ends it is said."""

DAY = timedelta(days=1)


def end(written: str) -> datetime:
    """The first moment at which it no longer holds: a date alone is included, time is UTC.

    Raises `ValueError`.
    """
    time = datetime.fromisoformat(written)
    try:
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(written) from None
    alone = len(written) <= len("2026-12-31")
    return time + DAY if alone and time < datetime.max.replace(tzinfo=UTC) - DAY else time


class Expiry:
    """Judges by one time; `until` is when a judgement will be another. Without a time none ends."""

    def __init__(self, now: datetime | None) -> None:
        self._now = now
        self.until: datetime | None = None

    def judge(self, end: datetime) -> str | None:
        """None for an exception that holds for longer; else that it `ends` soon or `has ended`."""
        if self._now is None:
            return None
        for change in (end - min(SOON, end - datetime.min.replace(tzinfo=UTC)), end):
            if change > self._now and (self.until is None or change < self.until):
                self.until = change
        if end <= self._now:
            return "has ended"
        return "ends" if end - self._now <= SOON else None
