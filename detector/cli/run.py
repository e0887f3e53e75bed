"""`detector run`: the daemon."""

from __future__ import annotations

import json as jsons
import signal
import sys
from datetime import timedelta

import typer

from detector import __version__
from detector.cli import options, reports, show, wiring
from detector.model import RunRecord
from detector.run.cycle import Report
from detector.run.daemon import Daemon
from detector.settings import Log

GRACE = timedelta(seconds=8)
LEVELS = ("debug", "info", "warning", "error")


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
    with wiring.store(common, configured, patience=wiring.LONG) as store:
        clock = wiring.clock(store, chosen)
        daemon = Daemon(store, chosen, wiring.terms(configured), log, clock=clock)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        log.write("info", f"watching with {len(daemon.rules)} rules", rules=len(daemon.rules))
        daemon.run(GRACE)
        log.write("info", "stopped")


class Logger:
    """Tells of cycles: a line each, for people or for machines (ECS field names)."""

    def __init__(self, log: Log, *, json: bool = False) -> None:
        self._least = LEVELS.index(log.level)
        self._json = json or log.format == "json"
        if log.format == "auto" and not sys.stderr.isatty():
            self._json = True

    def cycle_finished(self, report: Report) -> None:
        level = "error" if report.failed else "info"
        self.write(
            level,
            reports.summary(report),
            alerts_created=report.alerts_created,
            alerts_existing=report.alerts_existing,
            duration_ms=report.duration_ms,
        )
        for record in report.runs:
            self._of_run(record)

    def cycle_failed(self, error: Exception) -> None:
        self.write("error", f"the cycle failed: {error}")

    def _of_run(self, record: RunRecord) -> None:
        about = {"rule_id": record.rule_id, "rule": record.name}
        if record.error:
            self.write("error", f"{record.name}: {record.error}", **about)
        for warning in record.warnings:
            self.write("warning", f"{record.name}: {warning}", **about)

    def write(self, level: str, message: str, **about: object) -> None:
        if LEVELS.index(level) < self._least:
            return
        now = reports.iso(wiring.now())
        if not self._json:
            style = {"error": "bold red", "warning": "yellow"}.get(level)
            show.say(f"{now}  {level:<7}  {show.clean(message)}", style)
            return
        line = {
            "@timestamp": now,
            "log.level": level,
            "message": message,
            "ecs.version": "9.0.0",
            "service.name": "detector",
            "service.version": __version__,
            "detector": about,
        }
        sys.stderr.write(jsons.dumps(line) + "\n")
        sys.stderr.flush()


app = options.app(run)
