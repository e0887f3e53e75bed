"""`detector run`: the daemon."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from detector import rulefile
from detector.cli import clocks, daemons, heartbeat, neighbours, options, wiring
from detector.cli.able import Able, AbleRules
from detector.cli.log import Logger
from detector.cli.reloading import RuleFiles
from detector.errors import DetectorError
from detector.run.daemon import Daemon
from detector.run.holder import Holder, Standing

if TYPE_CHECKING:
    from detector.settings import Settings
    from detector.store.elastic import ElasticStore

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
    after a restart, without doubles. Changed rule files are taken up within seconds; SIGHUP reads
    rules and credentials at once. Several daemons of one space share the rules or stand by.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    log = Logger(configured.log, json=common.json)
    files = RuleFiles(
        rulefile.find(common.rules, configured.rules), log, tuning=wiring.tuning(configured)
    )
    chosen = wiring.usable(files.loaded)
    with (
        wiring.store(common, configured, patience=wiring.patience(chosen)) as store,
        heartbeat.beside(
            log,
            configured.heartbeat_url,
            lambda said: log.write("warning", said),
            lambda: daemon.watched(),  # noqa: PLW0108 - it is made below
        ) as listener,
    ):
        clock = wiring.clock(store, chosen, clocks.Logged(log))
        part = _part(store, configured, log)
        terms = wiring.terms(configured)
        able = Able(store, lambda said: log.write("warning", said))
        daemon = Daemon(store, AbleRules(files, able), terms, listener, part=part, clock=clock)
        _heed_signals(daemon, lambda: _read_again(common, store, files, log))
        log.write("info", f"watching with {len(daemon.rules)} rules", rules=len(daemon.rules))
        daemon.run(GRACE)
        log.write("info", "stopped")


def _part(store: ElasticStore, configured: Settings, log: Logger) -> Holder:
    from detector.store.leases import ElasticLeases  # noqa: PLC0415 - with the store's libraries

    me = neighbours.me()
    return Holder(
        ElasticLeases(store, configured.lease),
        me,
        _Told(log, me.id),
        shards=configured.shards,
        period=configured.lease,
        gone=lambda member: neighbours.ended(member, me),
    )


def _heed_signals(daemon: Daemon, read_again: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.soon(read_again))


def _read_again(common: options.Common, store: ElasticStore, files: RuleFiles, log: Logger) -> None:
    """What SIGHUP asks for."""
    files.look_now()
    try:
        wiring.renew(common, store)
    except DetectorError as error:
        log.write("error", f"the old credentials stay: {error.message}", hint=error.hint)
    else:
        log.write("info", "rules and credentials are read again")


@dataclass(frozen=True, slots=True)
class _Told:
    """What becomes of the leases, in the log."""

    log: Logger
    me: str

    def standing_changed(self, standing: Standing) -> None:
        others = standing.others
        what = daemons.share(standing.shards, standing.of)
        beside = f", beside {others} other{'s' * (others > 1)}" if others else ""
        about = {"daemon": self.me, "shards": list(standing.shards), "others": others}
        self.log.write("info", f"this daemon {what}{beside}", **about)

    def leases_failed(self, error: Exception) -> None:
        said = error.message if isinstance(error, DetectorError) else repr(error)
        self.log.write("warning", f"the lease is not renewed, others may take over: {said}")


app = options.app(run)
