"""What the store knows of a rule in, how the rule is doing out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from detector.cli import show
from detector.model import Checkpoint, Gap, Leases, Rule
from detector.run import schedule
from detector.store.sources import Source, View
from detector.windows import on_grid

Health: TypeAlias = Literal["fine", "silent", "never ran", "late", "failing"]
"""`late` and `failing` make a health check fail, `never ran` where nothing runs.

`silent` is a warning, since quiet is no fault.
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What was read for all rules, by rule id; views are absent where they could not be asked."""

    now: datetime
    silent_after: timedelta
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    letters: Mapping[str, int] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    missing: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """How a rule is doing.

    `behind` is how long ago the last covered moment is, `due` when it runs next, `waiting` what is
    to be caught up with, `silent` the sources that bring nothing any more.
    """

    rule: Rule
    health: Health
    behind: timedelta | None
    due: datetime | None
    run: Mapping[str, Any]
    waiting: timedelta
    windows: int
    gaps: int
    letters: int
    view: View | None
    silent: tuple[Source, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]


def judge(rule: Rule, known: Known) -> State:
    """How `rule` is doing at `known.now`."""
    checkpoint = known.checkpoints.get(rule.rule_id)
    run = known.runs.get(rule.rule_id, {})
    view = known.views.get(rule.rule_id)
    silent = tuple(one for one in (view.sources if view else ()) if _is_silent(one, known))
    missing = tuple(known.missing.get(rule.rule_id, ()))
    letters = known.letters.get(rule.rule_id, 0)
    behind = max(known.now - checkpoint.end, timedelta(0)) if checkpoint else None
    waiting = checkpoint.waiting if checkpoint else ()
    return State(
        rule=rule,
        health=_health(rule, behind, run, silent=bool(silent)),
        behind=behind,
        due=on_grid(checkpoint.end, rule.interval) + rule.interval if checkpoint else None,
        run=run,
        waiting=sum((window.end - window.start for window in waiting), timedelta(0)),
        windows=len(waiting),
        gaps=sum(gap.rule_id == rule.rule_id for gap in known.gaps),
        letters=letters,
        view=view,
        silent=silent,
        missing=missing,
        warnings=(*_of_run(run), *_warnings(rule, view, silent, missing, letters)),
    )


def unattended(states: Sequence[State], leases: Leases) -> int:
    """How many rules never ran and are not about to: nobody runs any, or none of them ever ran."""
    running = any(member.shards for member in leases.members)
    began = any(state.behind is not None for state in states)
    return 0 if running and began else sum(state.health == "never ran" for state in states)


def _health(
    rule: Rule, behind: timedelta | None, run: Mapping[str, Any], *, silent: bool
) -> Health:
    if run.get("status") == "failed":
        return "failing"
    if behind is None:
        return "never ran"
    if behind > 2 * rule.interval + rule.delay:
        return "late"
    return "silent" if silent else "fine"


def _of_run(run: Mapping[str, Any]) -> list[str]:
    warned = [str(warning) for warning in run.get("warnings") or ()]
    if not run.get("error"):
        return warned
    how = "failed" if run.get("status") == "failed" else "did not see its whole window"
    return [f"the last run {how}: {run['error']}", *warned]


def _is_silent(source: Source, known: Known) -> bool:
    """A source that never brought anything is none that fell silent, nor one half asked."""
    if source.error or source.newest is None:
        return False
    return known.now - source.newest > known.silent_after


def _warnings(
    rule: Rule, view: View | None, silent: Sequence[Source], missing: Sequence[str], letters: int
) -> list[str]:
    said = []
    if letters:
        said.append(f"{letters:,} matches could not become alerts and are kept as dead letters")
    if missing:
        said.append(f"required fields that no index has: {', '.join(missing)}")
    if view is None:
        return said
    said += [f"{one.pattern} cannot be searched: {one.error}" for one in view.sources if one.error]
    said += [
        f"nothing new in {one.pattern} since {show.when(one.newest)}"
        for one in silent
        if one.newest
    ]
    if view.newest is None and not any(one.error for one in view.sources):
        said.append(f"no documents in {', '.join(one.pattern for one in view.sources)}")
    reach = schedule.lateness(rule)
    if view.late is not None and view.late > reach:
        said.append(
            f"documents come up to {span(view.late)} after their time, the look-back overlap is "
            f"{span(reach)}: let `from` reach further back, or switch on `late_sweep`"
        )
    return said


def span(length: timedelta) -> str:
    """A duration in its largest unit and the one below, such as `2 h 5 m`."""
    seconds = round(abs(length).total_seconds())
    sizes = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    first = next((n for n, (_, size) in enumerate(sizes) if seconds >= size), len(sizes) - 1)
    parts: list[str] = []
    for unit, size in sizes[first : first + 2]:
        count, seconds = divmod(seconds, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
    return ("-" if length < timedelta(0) else "") + " ".join(parts)
