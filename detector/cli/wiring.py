"""Options and settings in; rules, a store and the terms of a run out. Where parts are chosen."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from detector import rulefile, settings
from detector.cli import clocks, credentials, show, waiting
from detector.cli.options import Common
from detector.errors import SettingsError
from detector.model import Rule
from detector.rulefile.tuning import Tuning
from detector.run.cycle import Terms
from detector.run.schedule import CatchUp, Sweep

if TYPE_CHECKING:
    from detector.rulefile import Loaded
    from detector.settings import Settings
    from detector.store.clock import ClockObserver
    from detector.store.elastic import ElasticStore

SHORT, LONG = 5.0, 30.0
"""Seconds for which a person waits for a cluster that is away, and a daemon or a backfill does."""

OF_A_REQUEST = 2 / 3
"""What part of a request's time a search has: it ends before the request does, with what it has."""

NO_URL = "no Elasticsearch is named"
HOW_TO_NAME_ONE = (
    "give --url URL, set DETECTOR_ELASTICSEARCH_URL, or write `elasticsearch.url` into the "
    "configuration; `--url embedded` starts one here"
)


def now() -> datetime:
    return datetime.now(UTC)


def read_settings(common: Common) -> Settings:
    """Raises `SettingsError` with all that is wrong."""
    return settings.load(common.config, os.environ)


def read_rules(common: Common, configured: Settings) -> Loaded:
    """All rules and all problems of the files that options and settings name."""
    paths = rulefile.find(common.rules, configured.rules)
    return rulefile.load(paths, tuning(configured), cached=True)


def tuning(configured: Settings) -> Tuning:
    """Exceptions and overlays as the settings name them, judged by this machine's clock."""
    hold = configured.unresolved_exceptions == "hold"
    return Tuning(configured.exceptions, configured.overlays, hold, now())


def usable_rules(
    common: Common, configured: Settings, named: Sequence[str] = (), *, quiet: bool = False
) -> list[Rule]:
    """The rules to run; problems are shown, and what is broken is left out.

    Raises `SettingsError` where nothing is left to run.
    """
    return usable(read_rules(common, configured), named, quiet=quiet)


def usable(loaded: Loaded, named: Sequence[str] = (), *, quiet: bool = False) -> list[Rule]:
    """As `usable_rules`, of what is loaded already."""
    for problem in loaded.problems:
        if problem.level == "error" or not quiet:
            show.show_problem(problem)
    chosen = choose(loaded.rules, named)
    if not any(rule.enabled and not rule.unsupported for rule in chosen):
        raise SettingsError("no rule to run", hint="`detector check` lists what is wrong with each")
    keep()
    return chosen


def keep() -> None:
    """Leave what is there by now, the rules above all, out of garbage collection: it stays."""
    gc.freeze()


def choose(rules: Sequence[Rule], named: Sequence[str]) -> list[Rule]:
    """Those whose id, name or file is named; all of them where none is."""
    if not named:
        return list(rules)
    chosen: list[Rule] = []
    for name in named:
        found = [rule for rule in rules if _is_called(rule, name)]
        if not found:
            raise SettingsError(
                f"no rule is called `{name}`", hint="its id, its whole name, or its file"
            )
        chosen += [rule for rule in found if rule not in chosen]
    return chosen


def _is_called(rule: Rule, name: str) -> bool:
    files = {str(rule.file), rule.file.name, rule.file.stem} if rule.file else set()
    return name in {rule.rule_id, *files} or name.casefold() == rule.name.casefold()


def terms(configured: Settings) -> Terms:
    """How runs are to be done, as the settings say."""
    sweep = configured.late_sweep
    return Terms(
        space=configured.space,
        identity=configured.identity,
        kibana_url=configured.kibana.url,
        max_signals=configured.max_signals,
        flood=configured.flood,
        truncate=configured.on_limit == "truncate",
        catch_up=CatchUp(configured.schedule.catch_up, configured.schedule.chunk),
        sweep=Sweep(sweep.every, sweep.reach) if sweep.every else None,
    )


@contextmanager
def store(
    common: Common, configured: Settings, *, patience: float = SHORT
) -> Iterator[ElasticStore]:
    """The Elasticsearch that is named, started first where it is `embedded`.

    A request that fails for now is asked again for `patience` seconds.

    Raises `SettingsError` where none is: a daemon whose configuration is lost must not watch an
    empty Elasticsearch and look healthy.
    """
    url = common.url or configured.elasticsearch.url
    if url is None:
        raise SettingsError(NO_URL, hint=HOW_TO_NAME_ONE)
    if url != "embedded":
        yield connect(url, configured, patience=patience)
        return
    with waiting.embedded() as node:
        yield connect(node.url, configured, embedded=True, patience=patience)


def patience(rules: Sequence[Rule]) -> float:
    """Seconds for which a daemon asks again: less than the shortest interval, so that none is lost.

    While a request is asked again, no rule runs.
    """
    shortest = min((rule.interval.total_seconds() for rule in rules), default=2 * LONG)
    return min(LONG, shortest / 2)


def clock(
    store: ElasticStore, rules: Sequence[Rule], observer: ClockObserver | None = None
) -> Callable[[], datetime]:
    """The cluster's clock, by which windows end; a large difference to the own one is said.

    `observer` is told, now and later; by default standard error is.
    Reads a checkpoint first: a cluster that is away or not set up is an error, while a clock
    that is not told is none.
    """
    store.checkpoints([rule.rule_id for rule in rules[:1]])
    if any(rule.shadow and rule.enabled for rule in rules):
        store.refuse_unset_shadow()
    store.clock.tell(observer or clocks.Said())
    store.clock.now()
    return store.clock.now


def connect(
    url: str, configured: Settings, *, embedded: bool = False, patience: float = SHORT
) -> ElasticStore:
    """A store at `url`; the embedded node has no users and no certificates."""
    from detector.store import connection, elastic  # noqa: PLC0415 - they take a fifth of a second

    limit = configured.elasticsearch.request_timeout.total_seconds()
    options = {"request_timeout": limit} if embedded else credentials.options(url, configured)
    return elastic.ElasticStore(
        connection.connect(url, **options),
        configured.space,
        page_size=configured.page_size,
        searches_per_request=configured.searches_per_request,
        rules_per_search=configured.rules_per_search,
        exclude_tiers=configured.exclude_tiers,
        search_timeout=limit * OF_A_REQUEST,
        patience=connection.Patience(budget=patience),
    )


def renew(common: Common, store: ElasticStore) -> None:
    """Take up keys, passwords, tokens and certificates whose files were replaced.

    Raises `SettingsError` with all that is wrong; the store goes on as it was then.
    """
    configured = read_settings(common)
    if (common.url or configured.elasticsearch.url) != "embedded":
        credentials.renew(store, configured)


def load_named(common: Common, configured: Settings, named: Sequence[str]) -> Loaded:
    """The rules where a file named on the command line may lie outside the rules' folder."""
    files = [Path(name) for name in named if Path(name).is_file()]
    if files and not common.rules and len(files) == len(named):
        return rulefile.load(files, tuning(configured))
    return read_rules(common, configured)


def show_errors(loaded: Loaded) -> None:
    """Say what is broken; the good rules go on."""
    for problem in loaded.problems:
        if problem.level == "error":
            show.show_problem(problem)
