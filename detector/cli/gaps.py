"""`detector gaps`: what no run has covered, and making up for it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from detector.cli import able, options, reports, show, stopping, waiting, wiring
from detector.model import Gap, Rule, Window
from detector.run import backfill
from detector.run.backfill import WORKERS, Manner, Report
from detector.run.cycle import runnable
from detector.store import gaps as recorded
from detector.windows import without

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
        show.document({"gaps": [reports.gap(gap) for gap in found]})
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
    rule: options.Chosen = None,
    workers: options.Workers = WORKERS,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run a backfill over every gap, without a cap. Exit code 1 when some could not be covered.

    One that was stopped leaves what it has filled filled.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = runnable(wiring.usable_rules(common, configured, rule or (), quiet=True))
    with (
        wiring.store(common, configured, patience=wiring.LONG) as store,
        waiting.bar("filling gaps") as bar,
        stopping.asked() as asked,
    ):
        terms, clock = wiring.terms(configured), wiring.clock(store, chosen)
        chosen = runnable(able.there(store, chosen))
        ids = {one.rule_id for one in chosen}
        found = [gap for gap in recorded.unfilled(store) if gap.rule_id in ids or not rule]
        manner = Manner(workers=workers, progress=bar, stopping=asked)
        report = backfill.fill(store, _wanted(chosen, found), terms, clock=clock, manner=manner)
    filled = [gap for gap in found if gap.rule_id in ids and not _touched(gap, report.uncovered)]
    _show(found, filled, report, common)
    for unknown in sorted({gap.rule_id for gap in found} - ids):
        show.say(f"rule {show.clean(unknown)} is not among the rules; its gaps stay", "yellow")
    if len(filled) < len(found):
        raise typer.Exit(1)


def _wanted(rules: Sequence[Rule], gaps: Sequence[Gap]) -> dict[Rule, list[Window]]:
    spans = {rule: [gap.window for gap in gaps if gap.rule_id == rule.rule_id] for rule in rules}
    return {rule: windows for rule, windows in spans.items() if windows}


def _touched(gap: Gap, uncovered: Sequence[Gap]) -> bool:
    holes = [other.window for other in uncovered if other.rule_id == gap.rule_id]
    return without([gap.window], holes) != (gap.window,)


def _show(
    found: Sequence[Gap], filled: Sequence[Gap], report: Report, common: options.Common
) -> None:
    if common.json:
        show.document(
            {
                "gaps": [reports.gap(gap) for gap in found],
                "filled": len(filled),
                "alerts_created": report.alerts_created,
                "uncovered": [reports.gap(gap) for gap in report.uncovered],
            }
        )
        return
    for line in reports.uncovered(report):
        show.say(line, "bold red")
    show.say(f"{len(filled)} of {len(found)} gaps filled, {report.alerts_created:,} alerts created")


def _row(gap: Gap) -> tuple[str, str, str, str]:
    window = gap.window
    return show.when(window.start), show.when(window.end), gap.rule_id, gap.reason
