"""`detector status`: whether every rule is watching, and has something to watch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from detector.cli import able, costs, daemons, health, options, reports, show, wiring
from detector.cli.health import Known, State
from detector.errors import StoreError
from detector.model import Leases, Rule
from detector.run import cycle
from detector.settings import Settings
from detector.store import gaps, history, sources
from detector.store.sources import View

if TYPE_CHECKING:
    from detector.store.elastic import ElasticStore

COLOURS = {
    "fine": "green",
    "silent": "yellow",
    "never ran": "yellow",
    "late": "bold red",
    "failing": "bold red",
}
COLUMNS = (
    "", "behind", "last run", "ended", "matches", "search ms", "write ms", "waiting", "gaps",
    "newest", "delay", "next", "rule",
)  # fmt: skip
OF_RUN = (
    "started",
    "status",
    "kind",
    "matches",
    "alerts_created",
    "search_ms",
    "write_ms",
    "warnings",
    "error",
    "rule_hash",
    "rule_commit",
)
FEW = 3
"""Rules that are named where many share a warning."""

Top: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        min=1,
        help="Instead, the N rules whose runs took longest in the last 24 hours.",
    ),
]


def status(
    ctx: typer.Context,
    top: Top = None,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show how each rule is doing: last run, how far behind, what waits, gaps, next run.

    Shows as well what it has to watch: the newest document of its sources, how late documents come,
    required fields that are not there. Exit code 1 when a rule is late or failing or its file is
    broken, so that it serves as a health check. A rule is late when more than two of its intervals
    lie behind the last moment it has covered, or when it never ran and no daemon runs. With `--top`
    rules are ranked by what they cost, and the exit code is 0.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    loaded = wiring.read_rules(common, configured)
    broken = sum(problem.level == "error" for problem in loaded.problems)
    chosen = cycle.runnable(wiring.usable(loaded, quiet=True))
    with wiring.store(common, configured) as store:
        if top:
            costs.rank(store, wiring.clock(store, chosen)(), top, json=common.json)
            return
        chosen = cycle.runnable(able.there(store, chosen))
        known, blind = _read(store, chosen, configured)
        leases = daemons.read(store)
    states = [health.judge(rule, known) for rule in chosen]
    counts = Counter(state.health for state in states)
    counts["late"] += health.unattended(states, leases)
    if common.json:
        document = _document(known.now, states, counts, blind)
        show.document(document | {"broken": broken, "leases": daemons.document(leases)})
    else:
        _show(states, known.now, leases)
        _say(states, counts, blind, broken)
    if counts["late"] or counts["failing"] or broken:
        raise typer.Exit(1)


def _show(states: Sequence[State], now: datetime, leases: Leases) -> None:
    rows = [_row(state, now) for state in states]
    show.out().print(show.listed(COLUMNS, rows, show.out().width))
    for line in daemons.lines(leases):
        show.say(show.clean(line))


def _read(
    store: ElasticStore, rules: Sequence[Rule], configured: Settings
) -> tuple[Known, str | None]:
    """What is known; and why the sources could not be asked, if so."""
    now = wiring.clock(store, rules)()
    ids = [rule.rule_id for rule in rules]
    checkpoints = store.checkpoints(ids)
    views: dict[str, View] = {}
    missing: dict[str, tuple[str, ...]] = {}
    blind = None
    try:
        views = sources.views(store, rules, now, configured.exclude_tiers)
        missing = sources.missing_fields(store, rules)
    except StoreError as error:
        blind = f"the rules' sources cannot be asked: {error.message}"
    known = Known(
        now=now,
        silent_after=configured.silent_after,
        checkpoints=checkpoints,
        runs=history.latest(store, ids),
        gaps=gaps.unfilled(store),
        letters=history.dead_letters(store),
        views=views,
        missing=missing,
    )
    return known, blind


def _say(
    states: Sequence[State], counts: Counter[health.Health], blind: str | None, broken: int
) -> None:
    """Warnings, each once with the rules it is about; then the sum of it."""
    about: dict[str, list[str]] = defaultdict(list)
    for state in states:
        for warning in state.warnings:
            about[warning].append(state.rule.name)
    if blind:
        show.say(f"warning: {show.clean(blind)}", "yellow")
    for warning, names in about.items():
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        whose = ", ".join(names[:FEW]) + more
        show.say(f"warning: {show.clean(warning)} ({show.clean(whose)})", "yellow")
    bad = counts["late"] + counts["failing"]
    text = f"{len(states)} rules, {bad} late or failing"
    if counts["silent"]:
        text += f", {counts['silent']} with a silent source"
    if broken:
        text += f", {broken} problems in rule files"
    show.say(
        text, "bold red" if bad or broken else "yellow" if counts["silent"] or blind else "green"
    )


def _row(state: State, now: datetime) -> tuple[object, ...]:
    run, view = state.run, state.view
    newest = view.newest if view else None
    delays = view.delays if view else None
    return (
        show.styled(state.health, COLOURS[state.health]),
        "" if state.behind is None else health.span(state.behind),
        str(run.get("started", ""))[:19].replace("T", " "),
        show.styled(run.get("status", "")),
        run.get("matches", 0),
        run.get("search_ms", 0),
        run.get("write_ms", 0),
        health.span(state.waiting) if state.windows else "",
        state.gaps,
        "" if newest is None else f"{health.span(now - newest)} ago",
        "" if delays is None else health.span(delays.longest),
        "" if state.due is None else show.when(state.due),
        state.rule.name,
    )


def _document(
    now: datetime, states: Sequence[State], counts: Counter[health.Health], blind: str | None
) -> dict[str, Any]:
    return {
        "now": reports.iso(now),
        "late": counts["late"],
        "failing": counts["failing"],
        "silent": counts["silent"],
        "warnings": [blind] if blind else [],
        "rules": [_json(state, now) for state in states],
    }


def _json(state: State, now: datetime) -> dict[str, Any]:
    return {
        "rule_id": state.rule.rule_id,
        "name": state.rule.name,
        "health": state.health,
        "behind_s": _seconds(state.behind),
        "last_run": {key: state.run.get(key) for key in OF_RUN} if state.run else None,
        "waiting": state.windows,
        "waiting_s": _seconds(state.waiting),
        "gaps": state.gaps,
        "dead_letters": state.letters,
        "next_run": _iso(state.due),
        "rule_hash": state.rule.hash,
        "rule_commit": state.rule.commit or None,
        **_seen(state.view, now),
        "silent": [source.pattern for source in state.silent],
        "missing_fields": list(state.missing),
        "warnings": list(state.warnings),
    }


def _seen(view: View | None, now: datetime) -> dict[str, Any]:
    if view is None:
        return {"newest": None, "sources": [], "lag": None}
    delays = view.delays
    return {
        "newest": _iso(view.newest),
        "sources": [
            {"pattern": source.pattern, "newest": _iso(source.newest), "error": source.error}
            for source in view.sources
        ],
        "lag": {
            "event_to_ingested_median_s": _seconds(delays.median if delays else None),
            "event_to_ingested_max_s": _seconds(delays.longest if delays else None),
            "ingested_to_now_s": _seconds(now - view.ingested if view.ingested else None),
            "late_max_s": _seconds(view.late),
        },
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else reports.iso(time)


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 3)


app = options.app(status)
