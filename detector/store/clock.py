"""A way to ask a cluster for its time in, that time at any moment out.

Windows end at the cluster's time: a daemon whose own clock is fast would record windows as covered
before their events could be there, and be blind while it looks healthy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from detector.errors import StoreError

MEASURED_FOR = 60.0
NOTEWORTHY = timedelta(seconds=5)


class ClockObserver(Protocol):
    """Told when a measurement says something else than the one before it."""

    def skewed(self, ahead: timedelta) -> None:
        """The machine's own clock differs: by more than `NOTEWORTHY`, or no more."""

    def untold(self, error: StoreError, *, measured: bool) -> None:
        """The cluster does not tell its time; whether it once did, and that measurement goes on."""


class ClusterClock:
    """Counts on from the last measurement by a clock that nobody sets.

    `ask` gives the cluster's time, in UTC; where it cannot, the last measurement goes on, and
    before the first one the machine's own clock stands in.
    """

    def __init__(
        self,
        ask: Callable[[], datetime],
        *,
        own: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._own = own
        self._steady = steady
        self._measured: tuple[datetime, float] | None = None
        self._observer: ClockObserver | None = None
        self._side, self._untold = 0, False
        self._tried: float | None = None

    def tell(self, observer: ClockObserver) -> None:
        """Measure anew when next asked, and let `observer` hear what comes of it and of later."""
        self._observer, self._tried = observer, None
        self._side, self._untold = 0, False

    def now(self) -> datetime:
        """The cluster's time."""
        self._measure()
        if self._measured is None:
            return self._own()
        cluster, then = self._measured
        return cluster + timedelta(seconds=self._steady() - then)

    def skew(self) -> timedelta:
        """How far the machine's own clock is ahead of the cluster's."""
        now = self.now()  # may wait for an answer, so it is asked before the own clock is read
        return self._own() - now

    def _measure(self) -> None:
        before = self._steady()
        if self._tried is not None and before - self._tried < MEASURED_FOR:
            return
        self._tried, asked = before, self._own()
        try:
            cluster = self._ask()
        except StoreError as error:
            if self._observer and not self._untold:
                self._observer.untold(error, measured=self._measured is not None)
            self._untold = True
            return
        # It was read somewhere between question and answer: never later than the answer.
        self._measured, self._untold = (cluster, self._steady()), False
        self._compare(cluster, asked, self._own())

    def _compare(self, cluster: datetime, asked: datetime, answered: datetime) -> None:
        """Tell of the least difference that there is: what an answer takes is none."""
        ahead = asked - cluster if cluster < asked else min(answered - cluster, timedelta(0))
        side = (ahead > NOTEWORTHY) - (ahead < -NOTEWORTHY)
        if self._observer and side != self._side:
            self._observer.skewed(ahead)
        self._side = side
