"""Many detections driven side by side: one search request and one write per round, for all of them.

Each round brings every run to its next question. Matches found on the way are written before the
run goes on, so that memory holds one page a rule. What goes wrong with one rule ends that rule's
run only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from detector import alerts
from detector.detect import detect
from detector.detect.suppressing import by_place
from detector.errors import DetectorError, Rejected, StoreError, TimedOut, Unavailable
from detector.model import (
    Alert,
    Ask,
    Change,
    Detection,
    Execution,
    Failure,
    Found,
    Gap,
    Match,
    Page,
    Rule,
    RunRecord,
    Status,
    Update,
    Window,
)
from detector.run import schedule
from detector.run.letters import Letters
from detector.run.schedule import Kind
from detector.store.base import Store

STOPPED = "stopped before it was finished"
Fault = Literal["own", "refused", "slow"]
"""Why a run failed, where it was the rule: refused and slow may be the cluster as well."""
SAID = 20
"""Different warnings that are kept of a run: some tell of a document each."""


@dataclass(slots=True)
class Budget:
    """How many alerts a rule may still create in this turn, and what it found beyond them.

    `left` and `limit` None is without limit. Up to `bearable` matches beyond the limit wait for the
    next turn, more are a flood; where it is None, nothing waits: the rest is dropped, as Kibana
    does.
    """

    left: int | None
    limit: int | None = None
    bearable: int | None = 0
    beyond: int = 0

    def spend(self, count: int) -> None:
        if self.left is not None:
            self.left -= count

    def allows(self, count: int) -> int:
        return count if self.left is None else min(count, self.left)

    @property
    def truncates(self) -> bool:
        return self.bearable is None

    @property
    def flooded(self) -> bool:
        return self.bearable is not None and self.beyond > self.bearable

    @property
    def closed(self) -> bool:
        """Whether reading on serves nothing: no alert may be created, nothing is to be counted."""
        return self.flooded or (self.left == 0 and self.truncates)


@dataclass(slots=True, eq=False)
class Run:
    """One rule over one window while it is being run."""

    rule: Rule
    window: Window
    kind: Kind
    execution: Execution
    budget: Budget
    detection: Detection
    step: Ask | Found | None = None
    reply: tuple[Page, ...] | None = None
    done: bool = False
    error: str | None = None
    incomplete: str | None = None
    hole: str | None = None
    stopped_at: datetime | None = None
    reached: datetime | None = None
    matches: int = 0
    created: int = 0
    existing: int = 0
    wrote: bool = False
    search_ms: int = 0
    write_ms: int = 0
    warnings: list[str] = field(default_factory=list)
    letters: Letters = field(default_factory=Letters)
    fault: Fault | None = None
    differing: int = 0
    such_as: str | None = None

    def advance(self) -> None:
        """Go on to the next question or the next matches."""
        reply, self.reply = self.reply, None
        try:
            self.step = self.detection.send(reply)
        except StopIteration:
            self.step, self.done = None, True
        except Exception as error:  # noqa: BLE001 - a rule's fault ends its own run, not the cycle
            self.fault = None if isinstance(error, Unavailable) else "own"
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End this run: nothing of it is recorded as covered."""
        said = error.message if isinstance(error, DetectorError) else repr(error)
        self.error = self.error or said
        self.stop()

    def stop(self) -> None:
        self.detection.close()
        self.step, self.done = None, True

    def warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < SAID:
            self.warnings.append(text)

    @property
    def covered(self) -> bool:
        """Whether the window may be recorded as covered, but for what is remaining."""
        return self.error is None and self.incomplete is None

    @property
    def remaining(self) -> Window | None:
        """What a cap left undone. Its start is inclusive: ids absorb what is seen again."""
        if self.stopped_at is None or self.budget.truncates:
            return None
        return Window(self.stopped_at, self.window.end)

    def hold(self, beyond: Sequence[Alert]) -> None:
        """Remember that the cap keeps these back. What follows them is only counted."""
        self.budget.beyond += len(beyond)
        if self.stopped_at is None:
            self.stopped_at = beyond[0].time
            since = self.stopped_at.isoformat(timespec="milliseconds")
            follows = (
                f"those from {since} on were not created (on_limit: truncate)"
                if self.budget.truncates
                else f"the rest of the window, from {since} on, follows in the next run"
            )
            self.warn(f"reached max_signals ({self.budget.limit}); {follows}")

    @property
    def status(self) -> Status:
        if self.error is not None:
            return "failed"
        return "partial failure" if self.warnings or self.incomplete else "succeeded"

    def record(self, given_up: Sequence[Gap] = ()) -> RunRecord:
        """What there is to remember of this run; `given_up` is what was left out on purpose."""
        if self.differing:
            self.warn(
                f"{self.differing} documents share the identity of another and differ in "
                f"content, such as {self.such_as}"
            )
        if self.kind == "late" and self.created:
            self.warn(
                f"{self.created} alerts for events that became searchable after the look-back had "
                f"passed them; `from` should reach further back"
            )
        for text in self.letters.warnings():
            self.warn(text)
        refused = [Gap(self.rule.rule_id, self.window, self.hole)] if self.hole else []
        return RunRecord(
            uuid=self.execution.uuid,
            rule_id=self.rule.rule_id,
            name=self.rule.name,
            window=self.window,
            started=self.execution.time,
            status=self.status,
            kind=self.kind,
            matches=self.matches,
            alerts_created=self.created,
            alerts_existing=self.existing,
            differing=self.differing,
            warnings=tuple(self.warnings),
            error=self.error or self.incomplete,
            gaps=(*refused, *given_up),
            search_ms=self.search_ms,
            write_ms=self.write_ms,
            rule_hash=self.rule.hash,
            lateness_ms=schedule.lateness(self.rule) // timedelta(milliseconds=1),
            rule_commit=self.rule.commit,
        )


def begin(rule: Rule, window: Window, kind: Kind, execution: Execution, budget: Budget) -> Run:
    """A run that has not asked anything yet; one of a rule that cannot run fails when it does."""
    try:
        fields = alerts.needed_fields(rule, execution.identity)
        detection = detect(rule, window, fields, partial(_name, rule, execution))
    except Exception as error:  # noqa: BLE001 - a rule's fault ends its own run, not the cycle
        detection = _failing(error)
    said = list(rule.warnings)
    return Run(rule, window, kind, execution, budget, detection, warnings=said)


def _name(rule: Rule, execution: Execution, match: Match) -> str | None:
    try:
        looped = alerts.looped(match, rule, execution)
        return None if looped else alerts.alert_id(match, rule, execution)
    except Exception:  # noqa: BLE001 - no alert can be made of it: whoever builds it says so
        return by_place(match)


def _failing(error: Exception) -> Detection:
    raise error
    yield


def drive(
    store: Store,
    runs: Sequence[Run],
    *,
    dry: bool = False,
    watch: Callable[[Sequence[Run]], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Bring all `runs` to their end. With `dry`, count what would be created and write nothing.

    `watch` is shown the runs after each round. When `stopping` turns true, the runs that have not
    ended fail and cover nothing.
    """
    active = list(runs)
    try:
        while active:
            _to_questions(store, active, dry=dry)
            active = [run for run in active if not run.done]
            if active and stopping():
                for run in active:
                    run.fail(StoreError(STOPPED))
                break
            _ask(store, active)
            watch(runs)
    finally:
        store.release()


def _to_questions(store: Store, active: Iterable[Run], *, dry: bool) -> None:
    moving = list(active)
    while moving:
        for run in moving:
            run.advance()
        moving = [run for run in moving if isinstance(run.step, Found)]
        if moving:
            _write(store, moving, dry=dry)
            moving = [run for run in moving if not run.done]
    if not dry:
        for run in active:
            _bury(store, run)


def _bury(store: Store, run: Run) -> None:
    """Keep what no alert can be made of, before the run may count as covered."""
    if not run.letters.waiting:
        return
    try:
        store.bury(run.letters.take(run.rule, run.execution))
    except StoreError as error:
        run.fail(error)
    if run.letters.too_many:
        run.fault = "own"
        run.fail(Rejected(f"too many matches cannot be made alerts: {run.letters.first}"))


def _ask(store: Store, asking: Sequence[Run]) -> None:
    questions = [(run, run.step.searches) for run in asking if isinstance(run.step, Ask)]
    answers = iter(store.search([search for _, searches in questions for search in searches]))
    for run, searches in questions:
        pages = []
        for answer in [next(answers) for _ in searches]:
            if isinstance(answer, Failure):
                run.fault = _fault(answer.error)
                run.fail(answer.error)
                continue
            pages.append(answer)
            _note(run, answer)
        run.reply = tuple(pages)
    for run in asking:
        if run.error:
            run.reply = None


def _fault(error: StoreError) -> Fault | None:
    if isinstance(error, TimedOut):
        return "slow"
    return "refused" if isinstance(error, Rejected) else None


def _note(run: Run, page: Page) -> None:
    run.search_ms += page.took_ms
    if page.timed_out:
        run.fault = "slow"
    if page.incomplete and page.transient:
        run.incomplete = page.incomplete
    elif page.incomplete:
        run.hole = page.incomplete
        run.warn(page.incomplete)
    if page.warning:
        run.warn(page.warning)
    for document, reason in page.unread:
        run.letters.add(Match((document,), document.time), reason)


def _write(store: Store, runs: Sequence[Run], *, dry: bool) -> None:
    found = {run: _build(run) for run in runs}
    try:
        known = store.known([id_ for built in found.values() for id_ in built])
        found = _without_buried(store, found, known)
        fresh = {run: _within_budget(run, built, known) for run, built in found.items()}
        if not dry:
            _create_all(store, fresh)
    except StoreError as error:
        for run in runs:
            run.fail(error)
        return
    if not dry:
        for run in runs:
            _change(store, run, [one for one in found[run].values() if one.id in known])
    for run, built in fresh.items():
        if dry:
            run.created += len(built)
            run.budget.spend(len(built))
        if run.stopped_at and run.budget.closed:
            run.stop()


def _without_buried(
    store: Store, found: dict[Run, dict[str, Alert]], known: frozenset[str]
) -> dict[Run, dict[str, Alert]]:
    """Without what an earlier run could not write for good; a backfill tries it once more."""
    tried = {run: built for run, built in found.items() if run.kind != "backfill"}
    unknown = [id_ for built in tried.values() for id_ in built if id_ not in known]
    buried = store.buried(unknown) if unknown else frozenset()
    if not buried:
        return found
    for run, built in tried.items():
        run.letters.earlier += sum(id_ in buried for id_ in built)
    return {
        run: built if run not in tried else {i: a for i, a in built.items() if i not in buried}
        for run, built in found.items()
    }


def _build(run: Run) -> dict[str, Alert]:
    """The alerts of a batch by id; of copies the first in time order becomes the alert."""
    found = run.step if isinstance(run.step, Found) else Found()
    for text in filter(None, (*found.warnings, found.hole)):
        run.warn(text)
    run.hole = found.hole or run.hole
    run.matches += found.suppressed
    built: dict[str, Alert] = {}
    origin: dict[str, Match] = {}
    for match in found.matches:
        try:
            if alerts.looped(match, run.rule, run.execution):
                continue
            run.matches += 1
            alert = alerts.build(match, run.rule, run.execution)
            first = origin.setdefault(alert.id, match)
            differs = first is not match and not alerts.same_content(first, match)
        except Exception as error:  # noqa: BLE001 - one document must not silence the others
            run.letters.add(match, f"no alert can be made of it: {error!r}"[:1_000])
            continue
        built.setdefault(alert.id, alert)
        if differs:
            copy = match.documents[0]
            run.differing += 1
            run.such_as = run.such_as or f"{copy.index}/{copy.id}"
    if found.matches:
        run.reached = found.matches[-1].time
    return built


def _within_budget(run: Run, built: dict[str, Alert], known: frozenset[str]) -> list[Alert]:
    """Those to create now; what is beyond the budget is held back and counted."""
    fresh = [alert for id_, alert in built.items() if id_ not in known]
    run.existing += len(built) - len(fresh)
    allowed = run.budget.allows(len(fresh))
    if allowed < len(fresh):
        run.hold(fresh[allowed:])
    return fresh[:allowed]


def _create_all(store: Store, fresh: dict[Run, list[Alert]]) -> None:
    """All together; where the store will not take them so, one rule's must not keep back others."""
    try:
        _create(store, fresh)
    except Rejected:
        for run, built in fresh.items():
            try:
                _create(store, {run: built})
            except StoreError as error:
                run.fail(error)


def _create(store: Store, fresh: dict[Run, list[Alert]]) -> None:
    _create_blocks(store, fresh)
    together = [alert for run, built in fresh.items() if not run.error for alert in built]
    if not together:
        return
    began = time.monotonic()
    written = store.write_alerts(together)
    took = int((time.monotonic() - began) * 1000)
    for run, built in fresh.items():
        if run.error:
            continue
        created = sum(alert.id in written.created for alert in built)
        run.created += created
        run.existing += sum(alert.id in written.existing for alert in built)
        run.budget.spend(created + sum(alert.id in written.refused for alert in built))
        run.write_ms += took * len(built) // len(together)
        run.wrote |= bool(built)
        for alert in built:
            if reason := written.held.get(alert.id):
                run.fail(Unavailable(f"an alert cannot be written for now: {reason}"))
            if reason := written.refused.get(alert.id):
                run.letters.note(reason)
                _tell_of_suppressed(run, alert)


def _tell_of_suppressed(run: Run, refused: Alert) -> None:
    if refused.alike and refused.alike.count > 1:
        run.warn(f"{refused.alike.count - 1} matches are suppressed into an alert that was refused")


def _change(store: Store, run: Run, existing: Sequence[Alert]) -> None:
    """Let alerts that were there before say how much they stand for by now."""
    found = run.step if isinstance(run.step, Found) else Found()
    stand = [Update(one.id, one.index, one.alike) for one in existing if one.alike]
    now = run.execution.time
    changes = [
        Change(one.id, one.index, alerts.changed(one.alike, now))
        for one in (*found.updates, *stand)
    ]
    if not changes or run.error:
        return
    began = time.monotonic()
    try:
        store.change_alerts(changes)
    except StoreError as error:
        run.fail(error)
    run.write_ms += int((time.monotonic() - began) * 1000)
    run.wrote = True


def _create_blocks(store: Store, fresh: dict[Run, list[Alert]]) -> None:
    """Before the alerts they belong to: once an alert exists, nobody writes its blocks."""
    blocks = {run: [one for alert in built for one in alert.blocks] for run, built in fresh.items()}
    together = [block for several in blocks.values() for block in several]
    if not together:
        return
    written = store.write_alerts(together)
    for run, several in blocks.items():
        for block in several:
            if reason := written.held.get(block.id):
                run.fail(Unavailable(f"a building block cannot be written for now: {reason}"))
            if reason := written.refused.get(block.id):
                run.letters.note(reason)
