"""`detector run`: the daemon."""

from __future__ import annotations

import signal
from datetime import timedelta

import typer

from detector.cli import heartbeat, options, wiring
from detector.cli.log import Logger
from detector.run.daemon import Daemon, Fixed

GRACE = timedelta(seconds=8)


def run(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run every rule at its own interval until told to stop.

    Logs go to standard error: text on a terminal, JSON elsewhere or with `--json`. SIGTERM and
    Ctrl-C let the cycle in hand finish for up to 8 seconds; what it did not finish is done again
    after a restart, without doubles.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = wiring.usable_rules(common, configured)
    log = Logger(configured.log, json=common.json)
    with (
        wiring.store(common, configured, patience=wiring.LONG) as store,
        heartbeat.beside(
            log,
            configured.heartbeat_url,
            lambda said: log.write("warning", said),
            lambda: daemon.watched(),  # noqa: PLW0108 - it is made below
        ) as listener,
    ):
        clock = wiring.clock(store, chosen)
        daemon = Daemon(store, Fixed(chosen), wiring.terms(configured), listener, clock=clock)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        log.write("info", f"watching with {len(daemon.rules)} rules", rules=len(daemon.rules))
        daemon.run(GRACE)
        log.write("info", "stopped")


app = options.app(run)
