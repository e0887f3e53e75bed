"""`detector gaps`: what no run has covered, and making up for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from detector.cli import options, reports, show, waiting, wiring
from detector.model import Gap, Rule, RunRecord
from detector.run import backfill
from detector.store import gaps as recorded

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="List and fill the spans that no run has covered. Without a subcommand, lists them.",
)


@app.callback()
def begin(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """List gaps where no subcommand is named."""
    ctx.find_root().obj = options.common(ctx, config, rules, url, json=json)
    if ctx.invoked_subcommand is None:
        list_(ctx)


@app.command("list")
@options.guarded
def list_(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """List what no run has covered, and why. Exit code 1 when there is anything."""
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    with wiring.store(common, configured) as store:
        found = recorded.unfilled(store)
    if common.json:
        show.document({"gaps": [_json(gap) for gap in found]})
    elif found:
        show.out().print(show.table(("from", "to", "rule", "why"), map(_row, found)))
    else:
        show.say("no gaps", "green")
    if found:
        raise typer.Exit(1)


@app.command("fill")
@options.guarded
def fill(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run a backfill over every gap. Exit code 1 when some could not be covered."""
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    known = {rule.rule_id: rule for rule in wiring.usable_rules(common, configured, quiet=True)}
    done: list[RunRecord] = []
    with wiring.store(common, configured) as store, waiting.bar("filling gaps") as bar:
        terms, clock = wiring.terms(configured), wiring.clock(store, list(known.values()))
        found = recorded.unfilled(store)
        for number, gap in enumerate(found):
            bar.advance(number / len(found), reports.iso(gap.window.start))
            if gap.rule_id in known:
                report = backfill.run(store, [known[gap.rule_id]], gap.window, terms, clock=clock)
                done += report.runs
    _show(found, done, known, common)
    if any(record.error or record.gaps for record in done) or len(done) < len(found):
        raise typer.Exit(1)


def _show(
    found: Sequence[Gap],
    done: Sequence[RunRecord],
    known: dict[str, Rule],
    common: options.Common,
) -> None:
    created = sum(record.alerts_created for record in done)
    for rule_id in sorted({gap.rule_id for gap in found} - set(known)):
        show.say(f"rule {show.clean(rule_id)} is not among the rules; its gaps stay", "yellow")
    if common.json:
        gaps = [_json(gap) for gap in found]
        show.document({"gaps": gaps, "filled": len(done), "alerts_created": created})
        return
    for record in done:
        if said := record.error or "; ".join(gap.reason for gap in record.gaps):
            show.say(f"not covered: {show.clean(record.name)}: {show.clean(said)}", "bold red")
    show.say(f"{len(done)} of {len(found)} gaps run, {created:,} alerts created")


def _row(gap: Gap) -> tuple[str, str, str, str]:
    window = gap.window
    return show.when(window.start), show.when(window.end), gap.rule_id, gap.reason


def _json(gap: Gap) -> dict[str, Any]:
    return {
        "rule_id": gap.rule_id,
        "start": reports.iso(gap.window.start),
        "end": reports.iso(gap.window.end),
        "reason": gap.reason,
    }
