"""`detector scan`: rules over files of events, without a cluster."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from detector.cli import options, show, times, waiting, wiring
from detector.detect import seen_from
from detector.errors import SettingsError
from detector.language import analysed, datemath, tree
from detector.language.fields import ECS
from detector.model import Alert, Rule, Window
from detector.run import lockstep
from detector.run.cycle import Terms
from detector.run.lockstep import Budget, Run
from detector.store.memory import instant

if TYPE_CHECKING:
    from detector.store.duck import DuckStore
    from detector.store.eventfiles import Found
    from detector.store.passes import Reader

LEVELS = ("critical", "high", "medium", "low")
SCANNED = frozenset({"eql", "query", "threshold", "new_terms", "threat_match"})
"""Types that ask for nothing but events: no ES|QL, no records of jobs."""

WARNED = 10
"""Warnings of rules that are shown."""

PART = "kibana.alert.group.index"
"""What building blocks alone have: they are written before their alert, and do not count."""

DATED = Window(datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
"""All times there are, for rules that put events in an order: one without a time has none."""


@dataclass(slots=True)
class Alerts:
    """What has been alerted, counted by rule; with `json` each is a line as soon as it is known.

    What was new before `since` is left out: the first slot sees it all the same.
    """

    json: bool
    since: datetime | None = None
    by_rule: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)

    def take(self, alert: Alert) -> None:
        if self.since and alert.document["kibana.alert.rule.type"] == "new_terms":
            time = instant(alert.document, "kibana.alert.original_time")
            if time and time < self.since:
                return
        if self.json:
            show.line(alert.document)
        if PART in alert.document:
            return
        self.by_rule[str(alert.document["kibana.alert.rule.rule_id"])] += 1
        self.severities[str(alert.document["kibana.alert.severity"])] += 1


Files: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...", help="NDJSON (plain, .gz, .zst), Parquet, folders; `-` is stdin."
    ),
]
From: TypeAlias = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Only events from this @timestamp.")
]
To: TypeAlias = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only events before this @timestamp.")
]
Apart: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--indicators",
        metavar="FILE",
        help="Threat indicators, for rules that compare; repeatable. Without it: the events.",
    ),
]
Fail: TypeAlias = Annotated[
    bool, typer.Option("--fail", help="Exit code 1 when something was found.")
]


def scan(
    ctx: typer.Context,
    file: Files,
    rule: options.Chosen = None,
    start: From = None,
    end: To = None,
    indicators: Apart = None,
    fail: Fail = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run rules over files of events; needs no cluster.

    All events are scanned, whatever their time and index; with `--from` those before it are the
    history of new terms. With `--json` one alert a line goes to standard output. Lines that hold no
    event are counted and named. Exit code 1 when a rule failed, and with `--fail` when something
    was found.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    able, unable = _divided(wiring.usable_rules(common, configured, rule or (), quiet=True))
    now = wiring.now()
    window, apart = _window(start, end, now), tuple(indicators or ())
    found, began = Alerts(common.json, window.start if window else None), time.monotonic()
    asked = [_asked(rule, window.end if window and end else now, apart) for rule in able]
    with _store(file, apart, found) as (store, bar):
        runs = _begun(asked, window, wiring.terms(configured), now)
        lockstep.drive(store, runs, watch=lambda _: bar.advance(1.0, "reading matches"))
        if not common.json:
            _show(found, asked)
        _say(store, runs, unable)
        _say_first(found, asked, start)
        _say_apart(runs, apart)
        events = store.readers[()].tally.events
    show.say(_summary(found, events, time.monotonic() - began, able))
    if any(run.error for run in runs) or (fail and found.by_rule):
        raise typer.Exit(1)


def _divided(rules: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """The rules that files can be asked, and those that cannot."""
    able = [rule for rule in rules if _can(rule)]
    if not any(rule.enabled for rule in able):
        raise SettingsError("no rule can be run over files", hint="`detector check` says more")
    return [r for r in able if r.enabled], [r for r in rules if r.enabled and not _can(r)]


def _can(rule: Rule) -> bool:
    if rule.unsupported or rule.where is None or rule.type not in SCANNED:
        return False
    return analysed.answerable(rule.where, ECS)


def _window(start: str | None, end: str | None, now: datetime) -> Window | None:
    """None where every event is asked for, those without a time as well."""
    if start is None and end is None:
        return None
    first = times.parse(start, now, "--from") if start else DATED.start
    last = times.parse(end, now, "--to") if end else DATED.end
    if first >= last:
        raise SettingsError("--from must be before --to", hint="as in `--from now-7d --to now`")
    return Window(first, last)


def _asked(rule: Rule, now: datetime, apart: tuple[str, ...]) -> Rule:
    """The rule as it is asked of files: they have no time of arrival, and nothing is suppressed."""
    rule = replace(seen_from(now, rule), timestamp_override=None, suppression=None)
    if rule.indicators is None:
        return rule
    where = datemath.resolved(rule.indicators.where, now)
    index = apart or rule.indicators.index
    return replace(rule, indicators=replace(rule.indicators, where=where, index=index))


@contextmanager
def _store(
    files: Sequence[str], apart: tuple[str, ...], found: Alerts
) -> Iterator[tuple[DuckStore, waiting.Bar]]:
    """The files as a store, and the bar that shows how far they have been read."""
    try:
        from detector.store import duck, eventfiles  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            f"`scan` needs {error.name}", hint="pip install 'detector-engine[scan]'"
        ) from None
    with TemporaryDirectory(prefix="detector-") as folder, waiting.bar("scanning") as bar:
        listed = eventfiles.find(files, sys.stdin.buffer, Path(folder))
        others = {apart: eventfiles.find(apart, sys.stdin.buffer, Path(folder))} if apart else {}
        store = duck.DuckStore(listed, found.take, _drawn(bar, listed), apart=others)
        try:
            yield store, bar
        finally:
            store.close()


def _drawn(bar: waiting.Bar, files: Found) -> Callable[[float], None]:
    began, size, density = time.monotonic(), files.size, files.density()

    def draw(share: float) -> None:
        rate = share * size / max(time.monotonic() - began, 0.001)
        text = f"{rate / 1e6:,.0f} MB/s"
        bar.advance(share, f"{rate * density:,.0f} events/s, {text}" if density else text)

    return draw


def _begun(rules: Sequence[Rule], window: Window | None, terms: Terms, now: datetime) -> list[Run]:
    """A run without a cap for each rule."""
    from detector.store.duck import EVER  # noqa: PLC0415 - an extra

    runs = []
    for rule in rules:
        ordered = rule.stepwise or isinstance(rule.where, tree.Sequence | tree.Sample)
        asked = window or (DATED if ordered else EVER)
        execution = terms.execution(now, now)
        runs.append(lockstep.begin(rule, asked, "backfill", execution, Budget(None)))
    return runs


def _show(found: Alerts, rules: Sequence[Rule]) -> None:
    """Counts by rule, the most severe first, and what of ATT&CK was met."""
    hit = {rule: found.by_rule[rule.rule_id] for rule in rules if found.by_rule[rule.rule_id]}
    order = sorted(hit, key=lambda rule: (LEVELS.index(rule.severity), -hit[rule], rule.name))
    console = show.out()
    if order:
        rows = [(rule.severity, hit[rule], rule.name) for rule in order]
        console.print(show.table(("severity", "alerts", "rule"), rows))
    attack: Counter[tuple[str, str]] = Counter()
    for rule in order:
        for technique in set(_techniques(rule)):
            attack[technique] += hit[rule]
    if attack:
        lines = [(tactic, count, name) for (tactic, name), count in sorted(attack.items())]
        console.print()
        console.print(show.table(("tactic", "alerts", "technique"), lines))


def _techniques(rule: Rule) -> Iterator[tuple[str, str]]:
    """Tactic and technique; a tactic alone where the rule names no technique of it."""
    for threat in rule.parameters.get("threat") or ():
        tactic = threat.get("tactic") or {}
        for technique in threat.get("technique") or [{}]:
            yield str(tactic.get("name", "")), _named(technique)


def _named(technique: dict[str, Any]) -> str:
    return f"{technique.get('id', '')} {technique.get('name', '')}".strip()


def _say(store: DuckStore, runs: Sequence[Run], unable: Sequence[Rule]) -> None:
    """What was not read, what failed or is in doubt, and what was not asked."""
    for reader in store.readers.values():
        _say_bad_lines(reader)
    _say_warnings([(run.rule.name, text) for run in runs for text in run.record().warnings])
    for run in runs:
        if run.error:
            show.say(f"failed: {show.clean(run.rule.name)}: {show.clean(run.error)}", "bold red")
    _say_unable(unable)


def _say_bad_lines(reader: Reader) -> None:
    for file, count in sorted(reader.tally.bad.items()):
        places = ", ".join(f"{number:,}" for number in reader.tally.places(file))
        where = f", the first: line {places}" if places else ""
        said = f"warning: {reader.shown(file)}: {count:,} lines hold no event{where}"
        show.say(show.clean(said), "yellow")


def _say_warnings(warnings: Sequence[tuple[str, str]]) -> None:
    for name, text in warnings[:WARNED]:
        show.say(show.clean(f"warning: {name}: {text}"), "yellow")
    if len(warnings) > WARNED:
        show.say(f"warning: {len(warnings) - WARNED:,} more such warnings", "yellow")


def _say_first(found: Alerts, rules: Sequence[Rule], start: str | None) -> None:
    """Without a history everything is new."""
    new = sum(found.by_rule[rule.rule_id] for rule in rules if rule.type == "new_terms")
    if new and start is None:
        said = f"{new:,} alerts of new terms: what the files begin with counts as new"
        show.say(f"{said}; with `--from TIME` what lies before it is known", "yellow")


def _say_apart(runs: Sequence[Run], apart: tuple[str, ...]) -> None:
    lacking = sum(run.rule.indicators is not None and bool(run.warnings) for run in runs)
    if lacking and not apart:
        said = f"{lacking:,} rules found no indicator to compare with"
        show.say(f"{said}; `--indicators FILE` names a file of them", "yellow")


def _say_unable(rules: Sequence[Rule]) -> None:
    """Name the rules that were not scanned, by their type; all of them where they are few."""
    kinds: dict[str, list[str]] = {}
    for rule in rules:
        kinds.setdefault(rule.type, []).append(rule.name)
    for kind, names in sorted(kinds.items()):
        listed = ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")
        show.say(show.clean(f"not scanned: {len(names):,} of type {kind}: {listed}"), "yellow")


def _summary(found: Alerts, events: int, took: float, rules: Sequence[Rule]) -> str:
    total = found.by_rule.total()
    levels = ", ".join(
        f"{found.severities[one]:,} {one}" for one in LEVELS if found.severities[one]
    )
    counted = f"{total:,} alerts" + (f" ({levels})" if levels else "")
    rate = events / max(took, 0.001)
    return (
        f"{counted} of {len(found.by_rule):,} rules; {events:,} events, {len(rules):,} rules "
        f"in {took:.1f} s ({rate:,.0f} events/s)"
    )


app = options.app(scan)
