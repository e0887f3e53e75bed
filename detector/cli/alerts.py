"""`detector alerts`: reading what was alerted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from detector.cli import options, show, times, wiring
from detector.errors import SettingsError
from detector.store import reading
from detector.store.elastic import ElasticStore
from detector.store.reading import Wanted

POLL = 2.0
LEVELS = ("low", "medium", "high", "critical")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="List, follow and show alerts. Without a subcommand, lists those of the last day.",
)


@app.callback()
def begin(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """List alerts where no subcommand is named."""
    root = ctx.find_root()
    root.obj = options.common(ctx, config, rules, url, json=json)
    if ctx.invoked_subcommand is None:
        list_(ctx, follow=follow)


@app.command("list")
@options.guarded
def list_(
    ctx: typer.Context,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Written since, such as `now-1h`.")
    ] = "now-24h",
    severity: Annotated[
        list[str] | None,
        typer.Option("--severity", help="Only these: low, medium, high, critical."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Only those of this rule: id or name.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """List alerts, newest first; with `--follow`, oldest first and on with new ones as they come.

    With `--json` one alert a line.
    """
    common = options.common(ctx, config, rules, url, json=json)
    for level in severity or ():
        if level not in LEVELS:
            raise SettingsError(f"`{level}` is no severity", hint=", ".join(LEVELS))
    configured = wiring.read_settings(common)
    wanted = Wanted(times.parse(since, wiring.now(), "--since"), severity or (), rule or ())
    with wiring.store(common, configured) as store:
        if follow:
            _follow(store, wanted, common)
        else:
            _print(reading.newest(store, wanted, limit), common)


@app.command("show")
@options.guarded
def show_(
    ctx: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The alert's id, or how it begins.")],
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show one alert whole, as JSON."""
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    with wiring.store(common, configured) as store:
        found = reading.one(store, id_)
    if found is None:
        show.say(f"no single alert has an id that begins with {show.clean(id_)}", "bold red")
        raise typer.Exit(1)
    show.document(found)


def _follow(store: ElasticStore, wanted: Wanted, common: options.Common) -> None:
    follower = reading.Follower(store, wanted)
    while True:
        if found := follower.fresh():
            _print(found, common)
        time.sleep(POLL)


def _print(found: Sequence[dict[str, Any]], common: options.Common) -> None:
    if common.json:
        for alert in found:
            show.line(alert)
    elif found:
        console = show.out()
        console.print(show.alerts(found, console.width))
    else:
        show.say("no alerts")
