"""Time ranges in, the alerts of rules for them out: no cap, no checkpoint moved.

Ranges are asked in pieces. What a piece has covered is recorded when its alerts are written, so
that a backfill which was killed goes on there; one that has covered everything leaves nothing to go
on with, and repeating it asks for everything again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from detector.errors import DetectorError, StoreError
from detector.model import Gap, Rule, RunRecord, Window
from detector.run import cycle, lockstep, pieces
from detector.run.cycle import Terms, runnable
from detector.run.lockstep import Budget, Run
from detector.run.memory import Memory
from detector.run.pieces import Piece
from detector.run.progress import Progress, Silent
from detector.store.base import Store


@dataclass(frozen=True, slots=True)
class Report(cycle.Report):
    """What a backfill did; `resumed` of its `pieces` had been done before it began."""

    uncovered: tuple[Gap, ...] = ()
    pieces: int = 0
    resumed: int = 0

    @property
    def failed(self) -> bool:
        """Whether something of the range was not covered."""
        return bool(self.uncovered)


WORKERS = 2
"""While one waits for the cluster, the other builds alerts; more of them gain little."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a backfill is done: by how many `workers`, and whether it writes anything at all (`dry`).

    When `stopping` turns true, what has not ended is not covered; what is done stays recorded.
    """

    dry: bool = False
    workers: int = 1
    progress: Progress = field(default_factory=Silent)
    stopping: Callable[[], bool] = lambda: False


def run(
    store: Store,
    rules: Sequence[Rule],
    window: Window,
    terms: Terms,
    *,
    clock: Callable[[], datetime],
    manner: Manner | None = None,
    again: bool = False,
) -> Report:
    """Ask every rule for the whole range, going on where one that did not finish has stopped.

    With `again`, nothing is believed to be covered. Repeating a finished one adds no alerts. Raises
    `NotSetUp` and `StoreError` before anything has been asked.
    """
    manner, able = manner or Manner(), runnable(rules)
    found = store.backfilled([rule.rule_id for rule in able])
    memory = Memory(store, able, window, {} if manner.dry else found, clock())
    if again and found and not manner.dry:
        memory.forget()
    plan = pieces.plan(dict.fromkeys(able, (window,)), memory.covered, dry=manner.dry)
    if any(piece.begun for piece in plan):
        manner.progress.say(_resuming(plan, memory.since))
    backfill = _Backfill(store, terms, clock, manner, plan, memory)
    return backfill.report(able)


def fill(
    store: Store,
    wanted: Mapping[Rule, Sequence[Window]],
    terms: Terms,
    *,
    clock: Callable[[], datetime],
    manner: Manner | None = None,
) -> Report:
    """Ask each rule for its own spans. Its run records alone say what is done: see `store.gaps`.

    Raises `NotSetUp` and `StoreError` before anything has been asked.
    """
    able = runnable(list(wanted))
    store.backfilled([rule.rule_id for rule in able])  # refuses to begin where setup is missing
    manner = manner or Manner()
    plan = pieces.plan({rule: wanted[rule] for rule in able}, {}, dry=manner.dry)
    return _Backfill(store, terms, clock, manner, plan).report(able)


def _resuming(plan: Sequence[Piece], since: datetime) -> str:
    done, partly = _counts(plan)
    return (
        f"resuming: {done} of {len(plan)} pieces were done{f', {partly} in part' * bool(partly)}, "
        f"since {since:%Y-%m-%d %H:%M} UTC; --again asks for everything again"
    )


def _counts(plan: Sequence[Piece]) -> tuple[int, int]:
    """Pieces that are done, and those that are in part."""
    done = sum(piece.done for piece in plan)
    return done, sum(piece.begun for piece in plan) - done


@dataclass(slots=True)
class _Backfill:
    """Workers at one plan: each takes the oldest piece nobody has taken, for all its rules.

    Pieces of stepwise rules are one worker's, in their order.
    """

    store: Store
    terms: Terms
    clock: Callable[[], datetime]
    manner: Manner
    plan: Sequence[Piece]
    memory: Memory | None = None
    records: dict[str, list[RunRecord]] = field(default_factory=dict)
    seen: dict[Piece, tuple[float, int]] = field(default_factory=dict)
    ended: str | None = None
    away: str | None = None
    wrote: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, rules: Sequence[Rule]) -> Report:
        """Do it, and tell of it."""
        began, now = time.monotonic(), self.clock()
        self.seen = {piece: (float(piece.done), 0) for piece in self.plan}
        unasked = self._drive()
        records = [one for rule in rules for one in self.records.get(rule.rule_id, ())]
        if self.wrote and not self.away:
            records = self._shown(records)
        uncovered = pieces.uncovered(records, unasked)
        if self.memory and not self.manner.dry and not uncovered:
            records = self._finish(self.memory, records)
        for record in records:
            self.manner.progress.finished(record)
        return Report(
            now=now,
            rules=len(rules),
            runs=tuple(records),
            duration_ms=int((time.monotonic() - began) * 1000),
            uncovered=uncovered,
            pieces=len(self.plan),
            resumed=_counts(self.plan)[0],
        )

    def _shown(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """Make all alerts visible at once: no piece of an event rule asks for those of another."""
        try:
            self.store.refresh()
        except StoreError as error:
            said = f"the alerts are written but not yet visible: {error.message}"
            return [pieces.warned(one, said) if one.alerts_created else one for one in records]
        return list(records)

    def _finish(self, memory: Memory, records: Sequence[RunRecord]) -> list[RunRecord]:
        try:
            memory.forget()
        except DetectorError as error:
            said = f"asking for this range again will need --again: {error.message}"
            return [pieces.warned(record, said) for record in records]
        return list(records)

    def _drive(self) -> list[Gap]:
        """Bring all pieces to their end; what was never asked is returned."""
        todo = [piece for piece in self.plan if not piece.done]
        chain = iter([piece for piece in todo if piece.stepwise])
        loose = iter([piece for piece in todo if not piece.stepwise])
        with ThreadPoolExecutor(self.manner.workers) as pool:
            try:
                lanes = [chain, *[loose] * self.manner.workers]
                for worker in [pool.submit(self._work, lane) for lane in lanes]:
                    worker.result()
            finally:
                self.ended = self.ended or lockstep.STOPPED  # also where this thread is interrupted
        return [
            Gap(rule.rule_id, window, self.ended)
            for piece in (*chain, *loose)
            for rule, window in piece.asks
        ]

    def _work(self, todo: Iterator[Piece]) -> None:
        session = self.store.session()
        try:
            while self.ended is None and not self.manner.stopping():
                piece = next(todo, None)
                if piece is None:
                    return
                self._do(session, piece)
            self.ended = self.ended or lockstep.STOPPED
        except BaseException:
            self.ended = lockstep.STOPPED
            raise

    def _do(self, store: Store, piece: Piece) -> None:
        now = self.clock()
        runs = [
            lockstep.begin(
                rule,
                window,
                "backfill",
                self.terms.execution(now, window.end, "backfill", shadow=rule.shadow),
                Budget(None),
            )
            for rule, window in piece.asks
        ]

        def watch(runs: Sequence[Run]) -> None:
            self._watch(piece, runs)

        dry, stopping = self.manner.dry, self.manner.stopping
        lockstep.drive(store, runs, dry=dry, watch=watch, stopping=stopping)
        self._settle(store, runs)
        watch(runs)

    def _settle(self, store: Store, runs: Sequence[Run]) -> None:
        """Remember what the runs covered; where none could, whether going on serves anything."""
        if all(run.error for run in runs) and not self.manner.stopping():
            self._probe(store, runs[0])
        if any(run.wrote for run in runs):
            self.wrote = True
            if any(run.rule.stepwise for run in runs):
                self._refresh(store, runs)
        with self.lock:
            changed = self._joined([run.record() for run in runs])
            if self.manner.dry or self.away:
                return
            try:
                store.record_runs(changed)
                if self.memory:
                    self.memory.add(runs)
            except DetectorError as error:
                self._warn(changed, f"what is done could not be recorded: {error.message}")

    def _refresh(self, store: Store, runs: Sequence[Run]) -> None:
        try:
            store.refresh()
        except StoreError as error:
            for run in runs:
                run.warn(f"the alerts are written but not yet visible: {error.message}")

    def _probe(self, store: Store, run: Run) -> None:
        """Where the store is away, what failed this run is what keeps the rest from being asked."""
        try:
            store.backfilled([run.rule.rule_id])
        except StoreError:
            self.away = self.ended = run.error

    def _joined(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """Take `records` in; those that are new or have grown are returned."""
        changed = []
        for record in records:
            before = self.records.get(record.rule_id, [])
            after = pieces.joined([*before, record])
            self.records[record.rule_id] = after
            changed += [one for one in after if one not in before]
        return changed

    def _warn(self, changed: Sequence[RunRecord], said: str) -> None:
        for rule_id in {record.rule_id for record in changed}:
            self.records[rule_id] = [
                pieces.warned(one, said) if one in changed else one for one in self.records[rule_id]
            ]

    def _watch(self, piece: Piece, runs: Sequence[Run]) -> None:
        share = sum(_share(run) for run in runs) / len(runs)
        self.seen[piece] = share, sum(run.created + run.existing for run in runs)
        shares, found = zip(*self.seen.values(), strict=True)
        self.manner.progress.advance(sum(shares) / len(shares), f"{sum(found):,} alerts")


def _share(run: Run) -> float:
    """How far through its window a run has got, by the time of its latest match."""
    if run.done:
        return 1.0
    if run.reached is None:
        return 0.0
    return (run.reached - run.window.start) / (run.window.end - run.window.start)
