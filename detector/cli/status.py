"""`detector status`: whether every rule is watching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import typer

from detector.cli import options, reports, show, wiring
from detector.model import Checkpoint, Gap, Rule
from detector.run import cycle, schedule
from detector.store import gaps, history

COLOURS = {"fine": "green", "never ran": "yellow", "late": "bold red", "failing": "bold red"}


@dataclass(frozen=True, slots=True)
class State:
    """How a rule is doing: `behind` is how long ago the last covered moment is."""

    rule: Rule
    health: str
    behind: timedelta | None
    run: dict[str, Any]
    waiting: int
    gaps: int
    due: datetime | None


def status(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show how each rule is doing: last run, how far behind, what waits, gaps, next run.

    Exit code 1 when a rule is late or failing, so that it serves as a health check. A rule is late
    when more than two of its intervals lie behind the last moment it has covered.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = cycle.runnable(wiring.usable_rules(common, configured, quiet=True))
    with wiring.store(common, configured) as store:
        now = wiring.clock(store, chosen)()
        ids = [rule.rule_id for rule in chosen]
        checkpoints = store.checkpoints(ids)
        open_gaps = gaps.unfilled(store)
        runs = history.latest(store, ids)
    states = [
        _state(rule, checkpoints.get(rule.rule_id), runs.get(rule.rule_id, {}), open_gaps, now)
        for rule in chosen
    ]
    bad = [state for state in states if state.health in {"late", "failing"}]
    if common.json:
        show.document({"now": reports.iso(now), "rules": [_json(state) for state in states]})
    else:
        columns = ("", "behind", "last run", "matches", "ms", "waiting", "gaps", "next", "rule")
        show.out().print(show.table(columns, map(_row, states)))
        show.say(f"{len(states)} rules, {len(bad)} late or failing", "bold red" if bad else "green")
    if bad:
        raise typer.Exit(1)


def _state(
    rule: Rule,
    checkpoint: Checkpoint | None,
    run: dict[str, Any],
    open_gaps: Sequence[Gap],
    now: datetime,
) -> State:
    holes = sum(gap.rule_id == rule.rule_id for gap in open_gaps)
    if checkpoint is None:
        return State(rule, "never ran", None, run, 0, holes, None)
    behind = max(now - checkpoint.end, timedelta(0))
    health = "late" if behind > 2 * rule.interval + rule.delay else "fine"
    if run.get("status") == "failed":
        health = "failing"
    due = schedule.on_grid(checkpoint.end, rule.interval) + rule.interval
    return State(rule, health, behind, run, len(checkpoint.waiting), holes, due)


def _row(state: State) -> tuple[object, ...]:
    run = state.run
    return (
        show.styled(state.health, COLOURS[state.health]),
        "" if state.behind is None else f"{state.behind.total_seconds():.0f} s",
        str(run.get("started", ""))[:19].replace("T", " "),
        run.get("matches", 0),
        run.get("search_ms", 0) + run.get("write_ms", 0),
        state.waiting,
        state.gaps,
        "" if state.due is None else show.when(state.due),
        state.rule.name,
    )


def _json(state: State) -> dict[str, Any]:
    run = state.run
    return {
        "rule_id": state.rule.rule_id,
        "name": state.rule.name,
        "health": state.health,
        "behind_s": None if state.behind is None else round(state.behind.total_seconds(), 3),
        "last_run": {
            key: run.get(key)
            for key in (
                "started",
                "status",
                "matches",
                "search_ms",
                "write_ms",
                "warnings",
                "error",
            )
        }
        if run
        else None,
        "waiting": state.waiting,
        "gaps": state.gaps,
        "next_run": None if state.due is None else reports.iso(state.due),
    }


app = options.app(status)
