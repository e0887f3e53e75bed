"""Rule, checkpoint and now in, windows out: pure arithmetic on one grid.

The grid is the multiples of a rule's interval since the epoch, so that the daemon, catching up and
backfill cut time at the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from detector.model import Checkpoint, Rule, Window
from detector.windows import merged, without

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """What one turn of a rule runs: the live window, then what waits, oldest first.

    `opened` is what lies between what is covered and the live window; it waits from the moment the
    live window is recorded. `gap` is too old to be caught up with.
    """

    live: Window
    backlog: tuple[Window, ...] = ()
    opened: Window | None = None
    gap: Window | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A window that has been run; what of it is `remaining`, what its plan opened.

    `given_up` no longer waits: it is recorded as gaps. Nothing before `floor` is looked back at.
    """

    window: Window
    live: bool
    remaining: Window | None = None
    opened: Window | None = None
    given_up: tuple[Window, ...] = ()
    floor: datetime | None = None


def on_grid(time: datetime, interval: timedelta) -> datetime:
    """The latest multiple of `interval` since the epoch that is not after `time`."""
    return EPOCH + (time - EPOCH) // interval * interval


def live_window(rule: Rule, now: datetime) -> Window:
    """The window a rule asks for when nothing is known of it: `from` to `to`, seen from `now`."""
    return Window(_whole_ms(now - rule.lookback), _whole_ms(now - rule.delay))


def due(
    rule: Rule, checkpoint: Checkpoint | None, now: datetime, catch_up: CatchUp | None = None
) -> Plan:
    """The windows that leave no moment since the last recorded end uncovered.

    The next window starts at that end less the look-back overlap (what `from` reaches beyond the
    interval), so that an event which became searchable late is still seen. A delay of less than an
    interval stretches the live window; a longer one waits until the live window has run. So does a
    look-back into what is waiting already: it is read there, once.
    """
    catch_up = catch_up or CatchUp()
    live = live_window(rule, now)
    if checkpoint is None:
        return Plan(live)
    resume = checkpoint.end - overlap(rule)
    late = resume < live.start - rule.interval
    oldest = min(resume, live.start)
    if checkpoint.floor is not None:
        oldest = min(max(oldest, checkpoint.floor), live.end)
    busy = [window.end for window in checkpoint.waiting if oldest < window.end <= live.end]
    start = max([live.start if late else oldest, oldest, *busy])
    opened = Window(oldest, start) if oldest < start else None
    live = Window(start, live.end)
    horizon = _whole_ms(now - catch_up.limit)
    waiting = merged((*checkpoint.waiting, *([opened] if opened else [])))
    reachable = [Window(max(w.start, horizon), w.end) for w in waiting if w.end > horizon]
    return Plan(
        live=live,
        backlog=tuple(piece for window in reachable for piece in cut(window, catch_up.chunk)),
        opened=opened,
        gap=_before(horizon, waiting),
    )


def swept(
    checkpoint: Checkpoint | None, plan: Plan, now: datetime, sweep: Sweep | None
) -> tuple[Window, ...]:
    """What to ask again for events that became searchable after every look-back had passed them.

    Nothing but on the first run of each `every`. It lies before the live window and leaves out what
    waits, what is a gap, and the time before the rule's first run.
    """
    if sweep is None or checkpoint is None:
        return ()
    if on_grid(checkpoint.end, sweep.every) == on_grid(now, sweep.every):
        return ()
    bounds = [bound for bound in (checkpoint.since, checkpoint.floor) if bound is not None]
    start = max([_whole_ms(now - sweep.reach), *bounds])
    if start >= plan.live.start:
        return ()
    holes = (*checkpoint.waiting, *(window for window in (plan.opened, plan.gap) if window))
    return tuple(without([Window(start, plan.live.start)], holes))


def first(rule: Rule, now: datetime) -> Checkpoint:
    """Where a rule that never ran begins: should its first run fail, the next one starts there."""
    start = live_window(rule, now).start
    return Checkpoint(rule.rule_id, start + overlap(rule), since=start)


def believed(checkpoint: Checkpoint, now: datetime) -> Checkpoint:
    """An end that lies ahead of the cluster's `now` was recorded by a fast clock: pulled back."""
    return checkpoint if checkpoint.end <= now else replace(checkpoint, end=now)


def cut(window: Window, interval: timedelta) -> Iterator[Window]:
    """`window` in pieces that end on the grid of `interval`, oldest first."""
    start = window.start
    while start < window.end:
        end = min(on_grid(start, interval) + interval, window.end)
        yield Window(start, end)
        start = end


def advance(checkpoint: Checkpoint | None, rule_id: str, outcome: Outcome) -> Checkpoint:
    """The checkpoint after `outcome`, whatever another daemon has saved in the meantime."""
    old = checkpoint or Checkpoint(rule_id, outcome.window.start)
    waiting = list(old.waiting)
    if outcome.live and outcome.opened:
        waiting.append(outcome.opened)
    done_end = outcome.remaining.start if outcome.remaining else outcome.window.end
    waiting = list(without(waiting, [Window(outcome.window.start, done_end)]))
    if outcome.remaining:
        waiting.append(outcome.remaining)
    return replace(
        old,
        end=max(old.end, outcome.window.end) if outcome.live else old.end,
        waiting=merged(without(waiting, outcome.given_up)),
        floor=max((at for at in (old.floor, outcome.floor) if at), default=None),
    )


def overlap(rule: Rule) -> timedelta:
    """How far `from` reaches beyond the interval: what a late event has to become searchable."""
    return max(rule.lookback - rule.delay - rule.interval, timedelta(0))


def _whole_ms(time: datetime) -> datetime:
    """Elasticsearch's `date` holds milliseconds: bounds between them would be cut there, unseen."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _before(horizon: datetime, waiting: Iterable[Window]) -> Window | None:
    old = [window for window in waiting if window.start < horizon]
    if not old:
        return None
    return Window(old[0].start, min(max(window.end for window in old), horizon))
