"""Elastic's threshold and new terms rules alert on events that another tool made of their text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from detector import rulefile
from detector.alerts import reading
from detector.detect import new_terms, threshold
from detector.language.fields import ECS, Kind, kind_of
from detector.model import Rule
from detector.store.memory import MemoryStore, Stored
from detector.windows import on_grid
from tests.builders import NOW, iso
from tests.language import shared
from tests.run.stepwise import at


def rules() -> dict[str, Rule]:
    folder = shared.needed("corpus")
    counted = ('type = "threshold"', 'type = "new_terms"')
    files = [
        file
        for file in sorted(folder.rglob("*.toml"))
        if any(text in file.read_text(encoding="utf-8") for text in counted)
    ]
    loaded = rulefile.load(files)
    assert [one for one in loaded.problems if one.level == "error"] == []
    assert all(rule.unsupported is None and rule.stepwise for rule in loaded.rules)
    return {rule.rule_id: rule for rule in loaded.rules}


def branches() -> dict[str, list[dict[str, Any]]]:
    """The events of each rule, one of every branch."""
    shared.needed("events")
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in shared.lines("events/generated.ndjson"):
        if one["type"] in {"threshold", "new_terms"}:
            found[one["rule_id"]] += one["docs"][:1]
    return found


def home(rule: Rule) -> str:
    return rule.index[0].replace("*", "x")


def value(name: str, number: int) -> Any:
    """One that the field's type takes."""
    kind = kind_of(name, ECS)
    if kind is Kind.IP:
        return f"10.0.{number // 250}.{number % 250}"
    return number if kind in {Kind.INTEGER, Kind.FLOAT} else f"v{number}"


def events(rule: Rule, source: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As many as the rule wants, with values in the fields it counts by."""
    limits = threshold.limits(rule) if rule.type == "threshold" else None
    by = new_terms.by(rule) if limits is None else limits.by
    distinct = limits.distinct if limits else ()
    whole = reading.filled(source, {name: [value(name, 1)] for name in by}, by)
    for number in range(max([limits.least if limits else 1, *(least for _, least in distinct)])):
        yield {**whole, **{name: value(name, number) for name, _ in distinct}}


def alerted(rule: Rule, source: dict[str, Any]) -> int:
    """How many alerts there are in two runs that overlap."""
    now = on_grid(NOW, rule.interval)
    stored = []
    for number, event in enumerate(events(rule, source)):
        time = now - rule.delay - timedelta(milliseconds=10 * number + 1)
        stored.append(Stored(home(rule), str(number), {**event, "@timestamp": iso(time)}))
    store = MemoryStore(stored)
    for end in (now, now + rule.interval):
        report = at(store, [rule], end)
        assert not report.failed, report.runs
    return len(store.alerts)


@pytest.mark.slow
def test_every_branch_of_every_rule_that_counts_alerts_once() -> None:
    known, made = rules(), branches()
    assert len(known) == 142
    silent = {
        known[rule_id].name: (number, source)
        for rule_id, sources in made.items()
        if rule_id in known
        for number, source in enumerate(sources)
        if alerted(known[rule_id], source) != 1
    }
    assert silent == {}
