"""Rule, checkpoint and now in, windows out: pure arithmetic on one grid.

The grid is the multiples of a rule's interval since the epoch, so that the daemon, catching up and
backfill cut time at the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from detector.model import Checkpoint, Rule, Window
from detector.windows import cut, merged, on_grid, without

Kind: TypeAlias = Literal["live", "catch-up", "late", "backfill"]

JITTER = timedelta(seconds=5)
REMEMBERED = timedelta(days=30)
"""How long floods are remembered: longer than any look-back."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How downtime is made up for: as far back as `limit`, in windows of at most `chunk`."""

    limit: timedelta = timedelta(hours=24)
    chunk: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sweep:
    """How often the past is asked again for what became searchable late, and how far back."""

    every: timedelta
    reach: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """What one turn of a rule runs: the live window, then what waits, then what is swept.

    Each oldest first. `opened` is what lies between what is covered and the live window; it waits
    from the moment the live window is recorded, and `sweep` is due for sweeping from then on.
    `too_old` is not caught up with any more.
    """

    live: Window
    backlog: tuple[Window, ...] = ()
    late: tuple[Window, ...] = ()
    opened: tuple[Window, ...] = ()
    sweep: tuple[Window, ...] = ()
    too_old: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A window that has been run; what of it is `remaining`, what its plan opened.

    `given_up` no longer waits: it is recorded as gaps, and no look-back goes into those of them
    that were `flooded`.
    """

    window: Window
    kind: Kind
    remaining: Window | None = None
    opened: tuple[Window, ...] = ()
    sweep: tuple[Window, ...] = ()
    given_up: tuple[Window, ...] = ()
    flooded: tuple[Window, ...] = ()
    rule_hash: str = ""


def live_window(rule: Rule, now: datetime) -> Window:
    """The window a rule asks for when nothing is known of it: `from` to `to`, seen from `now`.

    A stepwise rule's is the last slot: its detection looks from there as far back as `from` says.
    """
    if rule.stepwise:
        return Window(_whole_ms(now - rule.interval), _whole_ms(now))
    return Window(_whole_ms(now - rule.lookback), _whole_ms(now - rule.delay))


def due(
    rule: Rule,
    checkpoint: Checkpoint | None,
    now: datetime,
    catch_up: CatchUp | None = None,
    sweep: Sweep | None = None,
) -> Plan:
    """The windows that leave no moment since the last recorded end uncovered.

    The next window starts at that end less the look-back overlap (what `from` reaches beyond the
    interval), so that an event which became searchable late is still seen. A delay of less than an
    interval stretches the live window; a longer one waits until the live window has run. A
    look-back leaves out what waits already: it is read there, once.
    """
    catch_up = catch_up or CatchUp()
    whole = live_window(rule, now)
    if checkpoint is None:
        return Plan(whole)
    resume = checkpoint.end - overlap(rule)
    late = resume < whole.start - rule.interval
    span = Window(min(resume, whole.start), whole.end)
    live, opened = _latest(without([span], (*checkpoint.waiting, *checkpoint.flooded)), whole, late)
    horizon = min(_whole_ms(now - catch_up.limit), whole.start - rule.interval)
    too_old = (
        *_before(horizon, opened),
        *_before(horizon - catch_up.limit, checkpoint.waiting),
    )
    plan = Plan(live, opened=opened, too_old=too_old)
    plan = replace(plan, sweep=_swept(checkpoint, plan, now, sweep, rule.delay))
    return _with_past(rule, checkpoint, plan, catch_up.chunk, sweep)


def past(rule: Rule, checkpoint: Checkpoint, catch_up: CatchUp, sweep: Sweep | None) -> Plan:
    """What there is to ask beside live windows: what waits, what is being swept."""
    plan = Plan(Window(checkpoint.end, checkpoint.end))
    return _with_past(rule, checkpoint, plan, catch_up.chunk, sweep)


def _with_past(
    rule: Rule, checkpoint: Checkpoint, plan: Plan, chunk: timedelta, sweep: Sweep | None
) -> Plan:
    step = coarse(chunk, rule)
    waiting = without(merged((*checkpoint.waiting, *plan.opened)), plan.too_old)
    again = merged((*checkpoint.sweeping, *plan.sweep)) if sweep else ()
    return replace(
        plan,
        backlog=tuple(piece for window in waiting for piece in cut(window, step)),
        late=tuple(piece for window in again for piece in cut(window, step)),
    )


def _before(horizon: datetime, windows: Iterable[Window]) -> tuple[Window, ...]:
    """What of `windows` lies before `horizon`.

    Of what was caught up with in time when it was noticed, only what has waited as long again.
    """
    return tuple(Window(w.start, min(w.end, horizon)) for w in windows if w.start < horizon)


def _latest(
    pieces: Sequence[Window], whole: Window, late: bool
) -> tuple[Window, tuple[Window, ...]]:
    """The live window, which ends where `whole` does, and what else of `pieces` is to be opened.

    When late, the live window is no longer than `whole`; there may be nothing left of it.
    """
    live, opened = Window(whole.end, whole.end), list(pieces)
    if opened and opened[-1].end == whole.end:
        live = opened.pop()
    if late and live.start < whole.start:
        opened.append(Window(live.start, whole.start))
        live = Window(whole.start, whole.end)
    return live, tuple(opened)


def _swept(
    checkpoint: Checkpoint, plan: Plan, now: datetime, sweep: Sweep | None, delay: timedelta
) -> tuple[Window, ...]:
    """What to ask again for events that became searchable after every look-back had passed them.

    Nothing but on the first run of each `every`; windows end `delay` before they run. It lies
    before the live window and leaves out what waits, what is a gap, and the time before the rule's
    first run.
    """
    if sweep is None:
        return ()
    covered = checkpoint.end + delay
    if on_grid(covered, sweep.every) == on_grid(now, sweep.every):
        return ()
    start = _whole_ms(now - sweep.reach)
    start = start if checkpoint.since is None else max(start, checkpoint.since)
    holes = (*checkpoint.waiting, *checkpoint.flooded, *plan.opened, *plan.too_old)
    return without([Window(start, plan.live.start)], holes)


def first(rule: Rule, now: datetime) -> Checkpoint:
    """Where a rule that never ran begins: should its first run fail, the next one starts there."""
    start = live_window(rule, now).start
    return Checkpoint(rule.rule_id, start + overlap(rule), since=start, rule_hash=rule.hash)


def believed(checkpoint: Checkpoint, now: datetime, limit: timedelta) -> Checkpoint:
    """An end that lies ahead of the cluster's `now` was recorded by a fast clock: pulled back.

    How much of what it says is true cannot be known, so everything up to `limit` ago is asked
    again; but clocks that are read over a network differ by a little.
    """
    if checkpoint.end <= now:
        return checkpoint
    end = now - JITTER if checkpoint.end - now <= JITTER else now - limit
    return replace(checkpoint, end=end if checkpoint.since is None else max(end, checkpoint.since))


def coarse(step: timedelta, rule: Rule) -> timedelta:
    """`step`, or the next longer that cuts a stepwise rule's time only where its slots end."""
    return -(-step // rule.interval) * rule.interval if rule.stepwise else step


def advance(
    checkpoint: Checkpoint | None, rule_id: str, outcome: Outcome, *, contested: bool = False
) -> Checkpoint:
    """The checkpoint after `outcome`.

    When `contested`, another daemon has saved one since this window was read. What waits there may
    have been found waiting later than this window was asked, so nothing of it counts as done.
    """
    old = checkpoint or Checkpoint(rule_id, outcome.window.start)
    done_end = outcome.remaining.start if outcome.remaining else outcome.window.end
    done = [] if contested else [Window(outcome.window.start, done_end)]
    left = [outcome.remaining] if outcome.remaining else []
    late = outcome.kind == "late"
    waiting = (*without((*old.waiting, *outcome.opened), () if late else done), *left * (not late))
    sweeping = (*without((*old.sweeping, *outcome.sweep), done if late else ()), *left * late)
    return replace(
        old,
        end=max(old.end, outcome.window.end) if outcome.kind == "live" else old.end,
        waiting=merged(without(waiting, outcome.given_up)),
        sweeping=merged(without(sweeping, outcome.given_up)),
        flooded=_remembered((*old.flooded, *outcome.flooded), outcome.window.end),
        rule_hash=outcome.rule_hash or old.rule_hash,
    )


def _remembered(flooded: Iterable[Window], now: datetime) -> tuple[Window, ...]:
    """What some look-back or sweep may still reach."""
    return tuple(window for window in merged(flooded) if window.end > now - REMEMBERED)


def lateness(rule: Rule) -> timedelta:
    """How long after its time an event may become searchable and still be found by a live run."""
    return _beyond(rule) + rule.delay


def overlap(rule: Rule) -> timedelta:
    """How far a window reaches into what is covered, for events that became searchable late.

    A stepwise rule's slots do not overlap: what is seen from their ends does.
    """
    return timedelta(0) if rule.stepwise else _beyond(rule)


def _beyond(rule: Rule) -> timedelta:
    """How far `from` reaches beyond the interval: what a late event has to become searchable."""
    return max(rule.lookback - rule.delay - rule.interval, timedelta(0))


def _whole_ms(time: datetime) -> datetime:
    """Elasticsearch's `date` holds milliseconds: bounds between them would be cut there, unseen."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
