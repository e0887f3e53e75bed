"""`detector once`: one cycle of all rules, now."""

from __future__ import annotations

from typing import Annotated

import typer

from detector.cli import able, options, reports, show, times, waiting, wiring
from detector.run import cycle
from detector.run.cycle import Report
from detector.settings import Settings


def once(
    ctx: typer.Context,
    rule: options.Chosen = None,
    now: Annotated[
        str,
        typer.Option("--now", metavar="TIME", help="Where windows end, such as `now-1h`."),
    ] = "now",
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run one cycle of all rules and end: for cron, CI, or a look.

    Each rule continues where its last recorded run ended. Exit code 1 when a run failed or could
    not see all of its window.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = wiring.usable_rules(common, configured, rule or (), quiet=common.json)
    times.parse(now, wiring.now(), "--now")  # before a cluster is asked for its time
    with wiring.store(common, configured) as store, waiting.bar("running rules") as bar:
        clock, chosen = wiring.clock(store, chosen), able.there(store, chosen)
        at = times.parse(now, clock(), "--now")
        report = cycle.run(store, chosen, at, wiring.terms(configured), clock=clock, progress=bar)
    if common.json:
        show.document(reports.as_json(report))
    else:
        show.out().print(reports.runs(report))
        show.say(reports.summary(report))
    if not rule and now == "now":
        _beat(report, configured)
    if report.failed:
        raise typer.Exit(1)


def _beat(report: Report, configured: Settings) -> None:
    """A cycle of cron's is one as well; one of some rules, or of another time, is a look."""
    if configured.heartbeat_url is None:
        return
    from detector.cli.heartbeat import Heartbeat  # noqa: PLC0415 - with the daemon's libraries

    beat = Heartbeat(
        configured.heartbeat_url.get_secret_value(), lambda said: show.say(said, "yellow"), tuple
    )
    beat.cycle_finished(report)
    beat.close()


app = options.app(once)
