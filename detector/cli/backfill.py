"""`detector backfill`: the alerts of a time range."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from detector.cli import able, options, reports, show, stopping, times, waiting, wiring
from detector.errors import SettingsError
from detector.model import Window
from detector.run import backfill as run_backfill
from detector.run.backfill import WORKERS, Manner, Report


def backfill(
    ctx: typer.Context,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Start of the range, such as `now-7d`.")
    ],
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="End of the range, not included.")
    ] = "now",
    rule: options.Chosen = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would alert; write nothing.")
    ] = False,
    workers: options.Workers = WORKERS,
    again: Annotated[
        bool,
        typer.Option("--again", help="Ask for what an unfinished backfill has covered as well."),
    ] = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run all rules over a time range: what would have alerted becomes alerts.

    No cap applies, no daemon's checkpoint moves, and what has already alerted is not alerted again,
    so that it may be repeated at will. One that was stopped goes on where it was when it is given
    again. Exit code 1, and the ranges, when some were not covered.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    window = _window(start, end, wiring.now())
    chosen = wiring.usable_rules(common, configured, rule or (), quiet=common.json)
    with (
        wiring.store(common, configured, patience=wiring.LONG) as store,
        waiting.bar("searching") as bar,
        stopping.asked() as asked,
    ):
        clock, chosen = wiring.clock(store, chosen), able.there(store, chosen)
        manner = Manner(dry=dry_run, workers=workers, progress=bar, stopping=asked)
        report = run_backfill.run(
            store, chosen, window, wiring.terms(configured), clock=clock, manner=manner, again=again
        )
    _show(report, common, dry=dry_run)
    if report.failed:
        raise typer.Exit(1)


def _window(start: str, end: str, now: datetime) -> Window:
    window = Window(times.parse(start, now, "--from"), times.parse(end, now, "--to"))
    if window.end > now:
        show.say("warning: --to lies in the future; the range ends now")
        window = Window(window.start, now)
    if window.start >= window.end:
        raise SettingsError(
            f"the range is empty: {reports.iso(window.start)} to {reports.iso(window.end)}",
            hint="--from comes before --to",
        )
    return window


def _show(report: Report, common: options.Common, *, dry: bool) -> None:
    if common.json:
        show.document(reports.of_backfill(report) | {"dry_run": dry})
        return
    show.out().print(reports.runs(report))
    said = reports.summary(report)
    show.say(said.replace("alerts created", "alerts would be created") if dry else said)
    for line in reports.uncovered(report):
        show.say(line, "bold red")
    if report.uncovered and not dry:
        show.say("the same command asks for these ranges alone", "cyan")


app = options.app(backfill)
