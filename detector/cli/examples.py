"""A rule's examples in, documents with real times out, and whether they do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from detector.cli import telling
from detector.cli.reports import iso
from detector.cli.telling import Told
from detector.detect import seen_from
from detector.detect.verdict import verdict
from detector.language import analysed
from detector.language.fields import ECS, Kind, kind_of
from detector.model import Example, Rule
from detector.run import proof, schedule
from detector.run.cycle import Terms
from detector.store.base import Store
from detector.store.memory import MemoryStore, Stored
from detector.windows import on_grid

AGO = re.compile(r"-(\d+)(ms|s|m|h|d)")
UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
DEFAULT_AGO = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an example was to make, and what it made; `why` explains a difference."""

    rule: Rule
    example: Example
    got: int
    why: tuple[Told, ...] = ()

    @property
    def holds(self) -> bool:
        return self.got == self.example.alerts


def documents(rule: Rule, example: Example, now: datetime, index: str) -> list[Stored]:
    """The example's events, with times counted back from `now`; one without a time is 30 s old.

    Several without a time come in the order they are written in. Of its history those without a
    time come 30 s before all that the rule looks at. Indicators come last, in their own index.
    """
    run, own = moment(rule, now), f"{rule.rule_id}/{example.line}"
    events = list(_placed(example.events, run, run - DEFAULT_AGO))
    history = _placed(example.history, run, run - rule.lookback - DEFAULT_AGO)
    for source in events if rule.type == "machine_learning" else ():
        source.setdefault("timestamp", source["@timestamp"])
    return [
        *(Stored(index, f"{own}/history/{n}", source) for n, source in enumerate(history)),
        *(Stored(index, f"{own}/{n}", source) for n, source in enumerate(events)),
        *_indicators(rule, example, run, own),
    ]


def _indicators(rule: Rule, example: Example, run: datetime, own: str) -> Iterator[Stored]:
    if rule.indicators is not None:
        index = _covered(rule.indicators.index)
        for number, source in enumerate(_placed(example.indicators, run, run - DEFAULT_AGO)):
            yield Stored(index, f"{own}/indicator/{number}", source)


def moment(rule: Rule, now: datetime) -> datetime:
    """When the rule is run: a stepwise one where its slots end, so that it sees one view."""
    return on_grid(now, rule.interval) if rule.stepwise else now


def _placed(
    sources: Sequence[Mapping[str, Any]], run: datetime, usual: datetime
) -> Iterator[dict[str, Any]]:
    for number, written in enumerate(sources):
        source = timed(written, run)
        source.setdefault("@timestamp", iso(usual + number * UNITS["ms"]))
        yield source


def timed(source: Mapping[str, Any], now: datetime, path: str = "") -> dict[str, Any]:
    """A copy in which every relative time (`-30s`) of a date field is a time."""
    return {key: _timed(value, now, f"{path}{key}") for key, value in source.items()}


def _timed(value: Any, now: datetime, path: str) -> Any:
    if isinstance(value, Mapping):
        return timed(value, now, f"{path}.")
    if isinstance(value, list):
        return [_timed(item, now, path) for item in value]
    ago = AGO.fullmatch(value) if isinstance(value, str) else None
    if ago and kind_of(path, ECS) is Kind.DATE:
        return iso(now - int(ago[1]) * UNITS[ago[2]])
    return value


def home(rule: Rule) -> str:
    """An index name that the rule's first pattern covers."""
    return _covered(rule.index)


def _covered(patterns: Sequence[str]) -> str:
    return patterns[0].replace("*", ".example-default").lstrip("-")


def answerable(rule: Rule) -> bool:
    """Whether the rule can be judged without Elasticsearch."""
    asked = [rule.where, *([rule.indicators.where] if rule.indicators else [])]
    judged = all(one is not None and analysed.answerable(one, ECS) for one in asked)
    return judged and rule.type != "esql"


def in_memory(rules: Sequence[Rule], now: datetime, terms: Terms) -> Iterator[Outcome]:
    """Each example alone, by the evaluator."""
    for rule in rules:
        for example in rule.examples:
            stored = documents(rule, example, now, home(rule))
            yield judge(MemoryStore(stored), rule, example, stored, now, terms)


def judge(
    store: Store,
    rule: Rule,
    example: Example,
    stored: Sequence[Stored],
    now: datetime,
    terms: Terms,
) -> Outcome:
    """Run the rule where the example's documents lie; alerts on other documents do not count.

    Those of groups that name none do: their documents lie alone.
    """
    run = moment(rule, now)
    window = schedule.live_window(rule, run)
    own = {document.id for document in stored}
    found = proof.matches(store, rule, window, terms.execution(run, run))
    got = sum(
        not m.documents or any(document.id in own for document in m.documents)
        for m in found.values()
    )
    outcome = Outcome(rule, example, got)
    if outcome.holds:
        return outcome
    missed = got < example.alerts
    events = stored[: len(stored) - len(example.indicators)]
    rule = seen_from(run, rule)
    verdicts = [verdict(rule, document.source) for document in events]
    return replace(outcome, why=tuple(telling.examined(verdicts, missed=missed)))
