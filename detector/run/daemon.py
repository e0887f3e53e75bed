"""The engine as a service: cycles on the rules' own intervals until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Protocol

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from detector.model import Checkpoint, Rule, Window
from detector.run import cycle
from detector.run.backoff import Backoff
from detector.run.cycle import Report, Terms
from detector.run.lockstep import Budget
from detector.store.base import Store
from detector.windows import EPOCH, on_grid

TICK = timedelta(seconds=1)
"""How often is asked what is due: no interval is shorter, and asking costs next to nothing."""

RETRY = timedelta(minutes=1)
"""After which a rule is asked again that the cluster has failed: its interval may be a day."""

logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a tick in a cycle is no event


class Listener(Protocol):
    """Told what the daemon does; the command line and the log are listeners."""

    def cycle_finished(self, report: Report) -> None: ...

    def cycle_failed(self, error: Exception) -> None: ...


class RuleSource(Protocol):
    """Where the rules come from."""

    def rules(self) -> Sequence[Rule]:
        """The rules as they are now: the same objects for as long as they have not changed."""


class Part(Protocol):
    """Which of the rules this daemon runs; others run the rest."""

    def begin(self, rule_ids: Collection[str]) -> None:
        """Find out. Raises `NotSetUp`."""

    def divide(self, rule_ids: Collection[str]) -> None:
        """The rules have changed: these are all of them."""

    def owns(self, rule_id: str) -> bool: ...

    def release(self) -> None:
        """Leave everything to others."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Rules that never change."""

    of: Sequence[Rule]

    def rules(self) -> Sequence[Rule]:
        return self.of


class Whole:
    """All rules: a daemon that has no others beside it."""

    def begin(self, rule_ids: Collection[str]) -> None: ...

    def divide(self, rule_ids: Collection[str]) -> None: ...

    def owns(self, rule_id: str) -> bool:  # noqa: ARG002
        return True

    def release(self) -> None: ...


class Daemon:
    """Runs rules against `store`, each at its own interval, one cycle at a time.

    Every second it runs together the rules that have become due. A cycle that takes longer delays
    the next one, nothing piles up and no window is left out: the next window starts at the last
    recorded end. Whatever goes wrong in one cycle, the next one comes.
    """

    def __init__(
        self,
        store: Store,
        source: RuleSource,
        terms: Terms,
        listener: Listener,
        *,
        part: Part | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._source = source
        self.rules = cycle.runnable(source.rules())
        self._terms = terms
        self._listener = listener
        self._part = part or Whole()
        self._clock = clock
        self._last: dict[str, datetime] = {}
        self._pauses: dict[str, Window] = {}
        self._begun: dict[str, Checkpoint] = {}
        self._backoff = Backoff()
        self._unfinished: dict[Rule, Budget] = {}
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ending = False
        self._abandon = threading.Event()

    def run(self, grace: timedelta = timedelta(seconds=8)) -> None:
        """Block until `stop` is called; the cycle in hand has `grace` to finish."""
        self._part.begin([rule.rule_id for rule in self.rules])
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        every_second = IntervalTrigger(
            seconds=int(TICK.total_seconds()), start_date=EPOCH, timezone=UTC
        )
        scheduler.add_job(self.tick, every_second, next_run_time=datetime.now(UTC))
        scheduler.start()
        try:
            while (action := self._asked.get()) is not None:
                self._safely(action)
        finally:
            self._ending = True
            timer = threading.Timer(grace.total_seconds(), self._abandon.set)
            timer.daemon = True
            timer.start()
            scheduler.shutdown(wait=True)
            timer.cancel()
            self._part.release()

    def watched(self) -> set[str]:
        """The ids of the rules that this daemon runs at present."""
        return {rule.rule_id for rule in self.rules if self._part.owns(rule.rule_id)}

    def stop(self) -> None:
        """Begin no further cycle; safe to call from a signal handler."""
        self._ending = True
        self._asked.put(None)  # unlike an Event's lock, this queue may be entered again

    def soon(self, action: Callable[[], None]) -> None:
        """Do this in the thread that called `run`; safe to call from a signal handler."""
        self._asked.put(action)

    def tick(self) -> None:
        """What `run` does every second: run what is due. For a caller with a clock of its own."""
        self._safely(self._take_up_rules)
        self._safely(self._cycle)

    def _safely(self, action: Callable[[], None]) -> None:
        """A fault that nobody foresaw must not end the watch."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            self._listener.cycle_failed(error)

    def _take_up_rules(self) -> None:
        rules = cycle.runnable(self._source.rules())
        if rules == self.rules:
            return
        self.rules = rules
        ids = {rule.rule_id for rule in rules}
        for memory in (self._last, self._begun, self._pauses):
            for rule_id in set(memory) - ids:
                del memory[rule_id]
        self._part.divide(ids)

    def _due(self, now: datetime) -> Mapping[Rule, datetime]:
        """The rules to run now, each with the end of its live window.

        A rule that is new here, by a start, a change of files or another daemon's end, runs at
        once, so that nobody waits an interval for its first alert. Asked within a cycle as well, so
        nothing is changed here.
        """
        owned = [rule for rule in self.rules if self._part.owns(rule.rule_id)]
        ends = {rule: self._end(rule, now) for rule in owned}
        return {rule: end for rule, end in ends.items() if end is not None}

    def _end(self, rule: Rule, now: datetime) -> datetime | None:
        """Where the rule's live window ends; none when it is not due."""
        last, slot = self._last.get(rule.rule_id), on_grid(now, rule.interval)
        pause = self._pauses.get(rule.rule_id)
        if pause and slot <= pause.start <= now < pause.end:  # its next turn would end it
            return None
        if last is None or last > now:  # the cluster's clock was set back
            return now
        return slot if last < slot else None

    def _cycle(self) -> None:
        self._forget_lost()
        now = self._clock()
        due = self._due(now)
        if self._ending:
            return
        if not due:
            self._go_on()
            return
        before = {id_: self._last.get(id_) for id_ in (rule.rule_id for rule in due)}
        self._last |= dict.fromkeys(before, now)
        try:
            report = self._run(due, now)
        except Exception:
            self._postpone(due, before, now)
            raise
        failed = {run.rule_id for run in report.runs if run.kind == "live" and run.error}
        again = [rule for rule in due if rule.rule_id in failed and not self._backoff.rests(rule)]
        self._postpone(again, before, now)
        self._listener.cycle_finished(report)

    def _run(self, due: Mapping[Rule, datetime], now: datetime) -> Report:
        return cycle.run(
            self._store,
            list(due),
            now,
            self._terms,
            clock=self._clock,
            ends=due.__getitem__,
            stopping=self._abandon.is_set,
            begun=self._begun,
            backoff=self._backoff,
            hurried=self._hurried,
            unfinished=self._unfinished,
        )

    def _go_on(self) -> None:
        """Nothing is due: the past of rules that had to make way for others."""
        if not self._unfinished:
            return
        report = cycle.go_on(
            self._store,
            self._unfinished,
            self._terms,
            clock=self._clock,
            stopping=self._abandon.is_set,
            backoff=self._backoff,
            hurried=self._hurried,
        )
        if report.runs:
            self._listener.cycle_finished(report)

    def _hurried(self) -> bool:
        return bool(self._due(self._clock()))

    def _forget_lost(self) -> None:
        """Rules of others: should they come back, they are new here."""
        mine = {rule for rule in self.rules if self._part.owns(rule.rule_id)}
        for rule in set(self.rules) - mine:
            self._last.pop(rule.rule_id, None)
            self._pauses.pop(rule.rule_id, None)
        for rule in set(self._unfinished) - mine:
            del self._unfinished[rule]

    def _postpone(
        self, rules: Iterable[Rule], before: Mapping[str, datetime | None], now: datetime
    ) -> None:
        """What failed by no fault of the rule's was no turn: it is taken again, after a pause."""
        ended = self._clock()
        for rule in rules:
            self._pauses[rule.rule_id] = Window(now, ended + min(rule.interval, RETRY))
            last = before[rule.rule_id]
            if last is None:
                del self._last[rule.rule_id]
            else:
                self._last[rule.rule_id] = last
