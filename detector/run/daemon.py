"""The engine as a service: cycles on the rules' own intervals until it is told to stop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from detector.errors import DetectorError
from detector.model import Checkpoint, Rule
from detector.run import cycle, schedule
from detector.run.cycle import Report, Terms
from detector.store.base import Store


class Listener(Protocol):
    """Told what the daemon does; the command line and the log are listeners."""

    def cycle_finished(self, report: Report) -> None: ...

    def cycle_failed(self, error: Exception) -> None: ...


class Daemon:
    """Runs `rules` against `store`, each at its own interval, one cycle at a time.

    One job ticks at the greatest common divisor of the intervals and runs together the rules that
    have become due. A cycle that takes longer than a tick delays the next one; ticks missed
    meanwhile are run as one, so that nothing piles up and no window is left out: the next window
    starts at the last recorded end.
    """

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        terms: Terms,
        listener: Listener,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self.rules = cycle.runnable(rules)
        self._terms = terms
        self._listener = listener
        self._clock = clock
        self._last: dict[Rule, datetime] = {}
        self._begun: dict[str, Checkpoint] = {}
        self._stopping = threading.Event()
        self._abandon = threading.Event()

    def run(self, grace: timedelta = timedelta(seconds=8)) -> None:
        """Block until `stop` is called; the cycle in hand has `grace` to finish."""
        tick = _tick(self.rules)
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        scheduler.add_job(self._first, id="first")
        scheduler.add_job(
            self._due,
            IntervalTrigger(seconds=tick, start_date=schedule.EPOCH, timezone=UTC),
            id="due",
        )
        scheduler.start()
        try:
            self._stopping.wait()
        finally:
            timer = threading.Timer(grace.total_seconds(), self._abandon.set)
            timer.daemon = True
            timer.start()
            scheduler.shutdown(wait=True)
            timer.cancel()

    def stop(self) -> None:
        """Begin no further cycle; safe to call from a signal handler."""
        self._stopping.set()

    def _first(self) -> None:
        """A cycle at the start, so that nobody waits an interval for the first alert."""
        now = self._clock()
        self._cycle(self.rules, now, lambda _: now)

    def _due(self) -> None:
        now = self._clock()
        slots = {rule: schedule.on_grid(now, rule.interval) for rule in self.rules}
        due = [rule for rule, slot in slots.items() if self._last.get(rule, schedule.EPOCH) < slot]
        if due:
            self._cycle(due, now, slots.__getitem__)

    def _cycle(
        self, rules: Sequence[Rule], now: datetime, ends: Callable[[Rule], datetime]
    ) -> None:
        if self._stopping.is_set():
            return
        self._last |= dict.fromkeys(rules, now)
        try:
            report = cycle.run(
                self._store,
                rules,
                now,
                self._terms,
                clock=self._clock,
                ends=ends,
                stopping=self._abandon.is_set,
                begun=self._begun,
            )
        except DetectorError as error:
            self._listener.cycle_failed(error)
        else:
            self._listener.cycle_finished(report)


def _tick(rules: Sequence[Rule]) -> int:
    """Seconds between two moments at which some rule may become due."""
    return math.gcd(*(max(1, int(rule.interval.total_seconds())) for rule in rules)) or 60
