"""Successes and failures in, whether a request may go out now out: a circuit breaker. Pure.

While a cluster is away, one cheap request at a time asks for it; all others fail at once instead of
waiting one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Turn(Enum):
    """What a request may do."""

    GO = auto()
    PROBE = auto()
    REFUSED = auto()


@dataclass(slots=True)
class Breaker:
    """Closed until `open`; then it asks for a probe after pauses that double, in seconds.

    Times are of any clock that only goes forward. A probe that never tells its end holds back the
    next one no longer than the longest pause.
    """

    first: float = 1.0
    longest: float = 30.0
    reason: str | None = None
    _pause: float = 0.0
    _due: float = 0.0

    def turn(self, now: float) -> Turn:
        """What the next request may do. Who is told to probe reports by `open` or `close`."""
        if self.reason is None:
            return Turn.GO
        if now < self._due:
            return Turn.REFUSED
        self._due = now + self.longest
        return Turn.PROBE

    def open(self, now: float, reason: str) -> None:
        """The cluster is away: let nobody through until a growing pause has passed."""
        grown = self.first if self.reason is None else self._pause * 2
        self.reason, self._pause = reason, min(grown, self.longest)
        self._due = now + self._pause

    def close(self) -> None:
        """The cluster is there."""
        self.reason = None

    def wait(self, now: float) -> float:
        """Seconds until the next probe."""
        return max(0.0, self._due - now)
