"""A cycle: due rules once, live windows first, then what waits, each recorded when done."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count, islice
from typing import TypeAlias

from detector.alerts import placement
from detector.errors import DetectorError, StoreError
from detector.model import Checkpoint, Execution, Gap, Rule, RunRecord, Window
from detector.run import floods, lockstep, schedule
from detector.run.backoff import Backoff
from detector.run.lockstep import Budget, Run
from detector.run.progress import Progress, Silent
from detector.run.schedule import CatchUp, Kind, Outcome, Plan, Sweep
from detector.store.base import Store

CONFLICTS = 10
MOST_FAILURES = 3
TOO_OLD = "older than the catch-up limit"

Held: TypeAlias = dict[Rule, list[Run]]
"""The runs of this turn that a cap has left undone in part, by rule."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every run of an engine: where alerts go and how much a turn may do.

    `identity` maps index patterns to the fields that make two documents the same event;
    `max_signals` overrides the rules' own cap. More than `flood` times the cap waiting is a flood;
    with `truncate` nothing waits: what exceeds the cap is dropped. Without `sweep`, what becomes
    searchable later than the look-back is not found.
    """

    space: str = "default"
    identity: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kibana_url: str | None = None
    max_signals: int | None = None
    flood: int = 20
    truncate: bool = False
    catch_up: CatchUp = field(default_factory=CatchUp)
    sweep: Sweep | None = None

    def execution(
        self, now: datetime, intended: datetime, kind: Kind = "live", *, shadow: bool = False
    ) -> Execution:
        """One run's; that of a `shadow` rule has a space of its own, and with it its alerts."""
        return Execution(
            uuid=str(uuid.uuid4()),
            space=placement.shadow(self.space) if shadow else self.space,
            time=now,
            intended=intended,
            manual=kind == "backfill",
            late=kind == "late",
            identity=self.identity,
            kibana_url=self.kibana_url,
        )

    def budget(self, rule: Rule) -> Budget:
        cap = self.max_signals or rule.max_signals
        return Budget(cap, cap, None if self.truncate else cap * self.flood)


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle or a backfill did; `duration_ms` is from first question to last record."""

    now: datetime
    rules: int
    runs: tuple[RunRecord, ...]
    duration_ms: int

    @property
    def alerts_created(self) -> int:
        return sum(run.alerts_created for run in self.runs)

    @property
    def alerts_existing(self) -> int:
        return sum(run.alerts_existing for run in self.runs)

    @property
    def failed(self) -> bool:
        """Whether some window was not seen whole."""
        return any(run.status == "failed" or run.error or run.gaps for run in self.runs)


def runnable(rules: Sequence[Rule]) -> list[Rule]:
    """The rules that are enabled and supported."""
    return [rule for rule in rules if rule.enabled and not rule.unsupported]


def run(  # noqa: PLR0913 - what a caller keeps between cycles is named, not bundled
    store: Store,
    rules: Sequence[Rule],
    now: datetime,
    terms: Terms,
    *,
    clock: Callable[[], datetime],
    ends: Callable[[Rule], datetime] | None = None,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
    begun: dict[str, Checkpoint] | None = None,
    backoff: Backoff | None = None,
    hurried: Callable[[], bool] = lambda: False,
    unfinished: dict[Rule, Budget] | None = None,
) -> Report:
    """Run every rule of `rules` that can run, once; never raises for one rule's fault.

    `ends` is where a rule's live window ends (the daemon's grid); by default `now`. `clock` gives
    the time alerts are written at; no window ends beyond it. `stopping` is
    asked between rounds: what has not ended by then covers nothing. `begun` is kept by whoever
    calls again: where rules began that nothing could be recorded of yet; so is `backoff`: which
    rules have failed by their own fault, and sit this turn out. When `hurried` turns true, no more
    of the past is asked in this turn: some live window is due. `unfinished` is told who has more
    of the past to ask, for `go_on`. Raises `StoreError` when the checkpoints cannot be read.
    """
    began = time.monotonic()
    backoff = backoff or Backoff()
    cycle = _Cycle(store, terms, clock, progress or Silent(), stopping, backoff, hurried)
    due = backoff.due(runnable(rules))
    latest = clock()
    until = {rule: min(ends(rule) if ends else now, latest) for rule in due}
    first = {} if begun is None else begun
    for rule in due:
        first.setdefault(rule.rule_id, schedule.first(rule, until[rule]))
    found = store.checkpoints([rule.rule_id for rule in due])
    checkpoints = {id_: cycle.believed(one) for id_, one in found.items()}
    checkpoints |= cycle.enter([first[rule.rule_id] for rule in due], checkpoints)
    plans = {
        rule: schedule.due(
            rule, checkpoints[rule.rule_id], until[rule], terms.catch_up, terms.sweep
        )
        for rule in due
    }
    left = cycle.turn(plans, checkpoints, {rule: terms.budget(rule) for rule in due})
    if unfinished is not None:
        for rule in due:
            unfinished.pop(rule, None)
        unfinished |= left
    return cycle.report(now, len(due), began)


def go_on(
    store: Store,
    unfinished: dict[Rule, Budget],
    terms: Terms,
    *,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool],
    backoff: Backoff,
    hurried: Callable[[], bool],
) -> Report:
    """Ask more of the past of rules that had to make way for live windows, within their caps.

    `unfinished` is changed to those that have still more. Raises `StoreError` when the checkpoints
    cannot be read.
    """
    began = time.monotonic()
    cycle = _Cycle(store, terms, clock, Silent(), stopping, backoff, hurried)
    budgets = dict(unfinished)
    unfinished.clear()
    found = store.checkpoints([rule.rule_id for rule in budgets])
    checkpoints = {id_: cycle.believed(one) for id_, one in found.items()}
    plans = {
        rule: schedule.past(rule, checkpoints[rule.rule_id], terms.catch_up, terms.sweep)
        for rule in budgets
        if rule.rule_id in checkpoints
    }
    unfinished |= cycle.turn(plans, checkpoints, budgets, live=False)
    return cycle.report(clock(), len(plans), began)


@dataclass(slots=True)
class _Cycle:
    store: Store
    terms: Terms
    clock: Callable[[], datetime]
    progress: Progress
    stopping: Callable[[], bool]
    backoff: Backoff
    hurried: Callable[[], bool] = lambda: False
    records: list[RunRecord] = field(default_factory=list)

    def believed(self, checkpoint: Checkpoint) -> Checkpoint:
        return schedule.believed(checkpoint, self.clock(), self.terms.catch_up.limit)

    def enter(
        self, first: Sequence[Checkpoint], known: dict[str, Checkpoint]
    ) -> dict[str, Checkpoint]:
        """Note where rules that never ran begin, before anything can fail."""
        new = {one.rule_id: one for one in first if one.rule_id not in known}
        if not new:
            return {}
        try:
            saved = self.store.save_checkpoints(new.values())
            return new | saved | self.store.checkpoints(list(new.keys() - saved.keys()))
        except StoreError:
            return new  # what is found is alerted all the same; saving it says what fails

    def report(self, now: datetime, rules: int, began: float) -> Report:
        return Report(now, rules, tuple(self.records), int((time.monotonic() - began) * 1000))

    def turn(
        self,
        plans: dict[Rule, Plan],
        checkpoints: dict[str, Checkpoint],
        budgets: dict[Rule, Budget],
        *,
        live: bool = True,
    ) -> dict[Rule, Budget]:
        """Live windows of all rules together, then the n-th of what else each has to ask.

        Who had to make way for other live windows is returned, with what is left of its cap.
        """
        latest = dict(checkpoints)
        held: Held = {rule: [] for rule in plans}
        backlog = {rule: self._backlog(rule, plan) for rule, plan in plans.items()}
        runs = list(
            self._live(plans, checkpoints, budgets)
            if live
            else self._waiting(list(plans), backlog, budgets)
        )
        failures: Counter[Rule] = Counter()
        past = count(0 if live else 1)  # one piece of it is asked in any case
        while runs and not (next(past) > 1 and self.hurried()):
            for group in self._groups(runs):
                self._drive(group)
                self._hold(group, held)
                self._judge(group, runs)
                self._settle(group, plans, held, latest)
            if self.stopping():
                return {}
            for run in runs:
                if not run.covered and run.kind != "live":
                    failures[run.rule] += 1
                    self.backoff.stuck(run.rule, run.window)
            runs = list(self._waiting(_going_on(runs, failures), backlog, budgets))
        return {run.rule: budgets[run.rule] for run in runs if budgets[run.rule].left}

    def _live(
        self,
        plans: dict[Rule, Plan],
        checkpoints: dict[str, Checkpoint],
        budgets: dict[Rule, Budget],
    ) -> Iterator[Run]:
        for rule, plan in plans.items():
            run = self._begin(rule, plan.live, "live", budgets[rule])
            _warn_of_change(run, plan, checkpoints[rule.rule_id])
            yield run

    def _groups(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Who is not suspected of being slow or broken does not wait for who is.

        Nor does anyone for queries of ES|QL, each of which is a request of its own.
        """
        groups: tuple[list[Run], ...] = ([], [], [])
        for run in runs:
            alone = 1 if run.rule.type == "esql" else 0
            groups[2 if self.backoff.suspected(run.rule) else alone].append(run)
        return [group for group in groups if group]

    def _judge(self, group: Sequence[Run], runs: Sequence[Run]) -> None:
        """Whose fault it was: when nobody is answered, or not in time, it is the cluster's."""
        answered = any(run.done and run.covered for run in runs)
        for run in group:
            told_apart = answered or (run.fault == "refused" and len(runs) == 1)
            if run.fault == "own" or (run.fault is not None and told_apart):
                turns = self.backoff.failed(run.rule)
                run.warn(f"not asked again for {turns} {'turn' if turns == 1 else 'turns'}")
            elif run.covered:
                self.backoff.succeeded(run.rule)

    def _backlog(self, rule: Rule, plan: Plan) -> Iterator[tuple[Kind, Window]]:
        stuck = self.backoff.stuck_among(rule, (*plan.backlog, *plan.late))
        for window in sorted(plan.backlog, key=stuck.__contains__):
            yield "catch-up", window
        for window in sorted(plan.late, key=stuck.__contains__):
            yield "late", window

    def _waiting(
        self,
        rules: Sequence[Rule],
        backlog: dict[Rule, Iterator[tuple[Kind, Window]]],
        budgets: dict[Rule, Budget],
    ) -> Iterator[Run]:
        for rule in rules:
            for kind, window in islice(backlog[rule], 1):
                yield self._begin(rule, window, kind, budgets[rule])

    def _begin(self, rule: Rule, window: Window, kind: Kind, budget: Budget) -> Run:
        execution = self.terms.execution(self.clock(), window.end, kind, shadow=rule.shadow)
        return lockstep.begin(rule, window, kind, execution, budget)

    def _drive(self, runs: Sequence[Run]) -> None:
        def watch(runs: Sequence[Run]) -> None:
            done = sum(run.done for run in runs)
            self.progress.advance(done / len(runs), f"{done} of {len(runs)} rules")

        lockstep.drive(self.store, runs, watch=watch, stopping=self.stopping)
        if any(run.wrote for run in runs):
            try:
                self.store.refresh()
            except StoreError as error:
                for run in runs:
                    run.warn(f"the alerts are written but not yet visible: {error.message}")

    def _hold(self, runs: Sequence[Run], held: Held) -> None:
        """Keep what caps left undone in this turn; where it is a flood, say so by an alert."""
        for run in runs:
            if not run.covered or run.remaining is None:
                continue
            held[run.rule].append(run)
            if run.budget.flooded:
                try:
                    floods.tell(self.store, run, held[run.rule])
                except DetectorError as error:
                    run.fail(error)

    def _settle(
        self,
        runs: Sequence[Run],
        plans: dict[Rule, Plan],
        held: Held,
        latest: dict[str, Checkpoint],
    ) -> None:
        """Save the checkpoints of what is covered, then remember every run.

        What is given up is recorded first: a checkpoint that has forgotten it must not be all there
        is.
        """
        gaps = {run: _gaps(run, plans[run.rule], held[run.rule]) for run in runs}
        self._record_gaps(runs, gaps)
        outcomes = {
            run.rule.rule_id: _outcome(run, plans[run.rule], gaps[run])
            for run in runs
            if run.covered
        }
        try:
            self._save(outcomes, latest)
        except DetectorError as error:
            for run in runs:
                run.error = run.error or f"the checkpoint could not be saved: {error.message}"
        records = [run.record(gaps[run]) for run in runs]
        try:
            self.store.record_runs(records)
        except DetectorError as error:
            for run in runs:
                run.warn(f"the run record could not be written: {error.message}")
            records = [run.record(gaps[run]) for run in runs]
        self.records += records
        for record in records:
            self.progress.finished(record)

    def _record_gaps(self, runs: Sequence[Run], gaps: dict[Run, list[Gap]]) -> None:
        telling = [run for run in runs if run.covered and (gaps[run] or run.hole)]
        if not telling:
            return
        try:
            self.store.record_runs([run.record(gaps[run]) for run in telling])
        except DetectorError as error:
            for run in telling:
                run.error = f"what is not covered could not be recorded: {error.message}"

    def _save(self, outcomes: dict[str, Outcome], latest: dict[str, Checkpoint]) -> None:
        """Compare and set: where another daemon was quicker, apply the outcome to what it saved."""
        pending = dict(outcomes)
        for attempt in range(CONFLICTS):
            saved = [
                schedule.advance(latest.get(rule_id), rule_id, outcome, contested=attempt > 0)
                for rule_id, outcome in pending.items()
            ]
            done = self.store.save_checkpoints(saved)
            latest |= done
            if done.keys() >= pending.keys():
                return
            found = self.store.checkpoints(list(pending.keys() - done.keys()))
            mine = {one.rule_id for one in saved if _same(one, found.get(one.rule_id))}
            latest |= {rule_id: self.believed(one) for rule_id, one in found.items()}
            pending = {rule_id: pending[rule_id] for rule_id in pending.keys() - done.keys() - mine}
            if not pending:
                return
        raise StoreError("other daemons keep changing the same checkpoints")


def _outcome(run: Run, plan: Plan, gaps: Sequence[Gap]) -> Outcome:
    live = run.kind == "live"
    return Outcome(
        window=run.window,
        kind=run.kind,
        remaining=run.remaining,
        opened=plan.opened if live else (),
        sweep=plan.sweep if live else (),
        given_up=tuple(gap.window for gap in gaps),
        flooded=tuple(gap.window for gap in gaps if gap.reason == floods.REASON),
        rule_hash=run.rule.hash,
    )


def _same(saved: Checkpoint, found: Checkpoint | None) -> bool:
    """Whether it was this that was saved, though the answer was lost."""
    return found is not None and replace(found, version=saved.version) == saved


def _going_on(runs: Sequence[Run], failures: Counter[Rule]) -> list[Rule]:
    """Who has more to ask: a piece of the past that fails must not keep back those behind it."""
    return [
        run.rule
        for run in runs
        if not run.budget.closed
        and (run.covered or (run.kind != "live" and failures[run.rule] < MOST_FAILURES))
    ]


def _warn_of_change(run: Run, plan: Plan, checkpoint: Checkpoint) -> None:
    if plan.backlog and checkpoint.rule_hash not in {"", run.rule.hash}:
        run.warn("the rule has changed: what waits since before is asked with its new query")


def _gaps(run: Run, plan: Plan, held: Sequence[Run]) -> list[Gap]:
    """What waits no longer once this run is recorded: too old, or too much."""
    if not run.covered:
        return []
    rule_id, given_up = run.rule.rule_id, []
    if run.kind == "live":
        given_up += [Gap(rule_id, window, TOO_OLD) for window in plan.too_old]
    if run.budget.flooded:
        undone = [one.remaining for one in held if one.remaining]
        given_up += [Gap(rule_id, window, floods.REASON) for window in undone]
    return given_up
