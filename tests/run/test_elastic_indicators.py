"""Elastic's indicator match rules alert on generated events that have an indicator's values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from detector import rulefile
from detector.alerts import reading
from detector.language import evaluate
from detector.language.fields import ECS, Kind, kind_of
from detector.model import Pair, Rule
from detector.run import cycle
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, TERMS, iso
from tests.language import shared

SOON = timedelta(minutes=1)
FEED = {
    "event": {
        "kind": "enrichment",
        "category": "threat",
        "type": "indicator",
        "module": "ti_rapid7_threat_command",
    },
    "rapid7": {"tc": {"vulnerability": {"x": 1}}},
}


def rules() -> dict[str, Rule]:
    folder = shared.needed("corpus")
    named = 'type = "threat_match"'
    files = [one for one in sorted(folder.rglob("*.toml")) if named in one.read_text("utf-8")]
    loaded = rulefile.load(files)
    assert [one for one in loaded.problems if one.level == "error"] == []
    return {rule.rule_id: rule for rule in loaded.rules}


def branches() -> list[tuple[str, dict[str, Any]]]:
    shared.needed("events")
    every = shared.lines("events/generated.ndjson")
    return [(one["rule_id"], one["docs"][0]) for one in every if one["type"] == "threat_match"]


def value(name: str, source: dict[str, Any]) -> Any:
    """The event's own, or one that the field's type takes."""
    if found := evaluate.values(source, name):
        return found[0]
    return "203.0.113.9" if kind_of(name, ECS) is Kind.IP else f"value of {name}"


def home(patterns: tuple[str, ...]) -> str:
    return patterns[0].replace("*", "x")


def alerted(rule: Rule, source: dict[str, Any], group: tuple[Pair, ...], days: int) -> list[Any]:
    """What the alerts tell of the one indicator, `days` old, when a run has been repeated."""
    assert rule.indicators is not None
    held = {pair.field: [value(pair.field, source)] for pair in group}
    others = {pair.value: ["another"] for some in rule.indicators.groups for pair in some}
    theirs = others | {pair.value: [value(pair.field, source)] for pair in group}
    event = {**reading.filled(source, held, list(held)), "@timestamp": iso(NOW - SOON)}
    time = iso(NOW - timedelta(days=days))
    known = {**reading.filled(FEED, theirs, list(theirs)), "@timestamp": time}
    store = MemoryStore(
        [Stored(home(rule.index), "e", event), Stored(home(rule.indicators.index), "i", known)]
    )
    for _ in range(2):
        report = cycle.run(store, [rule], NOW, TERMS, clock=lambda: NOW)
        assert not report.failed, report.runs
    return [
        one["matched"]["field"]
        for alert in store.alerts.values()
        if alert.document["kibana.alert.ancestors"][0]["id"] == "e"
        for one in alert.document["threat"]["enrichments"]
    ]


def test_every_branch_alerts_on_every_group_of_its_mapping() -> None:
    known, tried = rules(), 0
    for rule_id, source in branches():
        rule = known[rule_id]
        assert rule.indicators is not None
        for group in rule.indicators.groups:
            tried += 1
            fields = alerted(rule, source, group, days=29)
            assert set(fields) >= {pair.field for pair in group}, (rule.name, source, group)
            assert alerted(rule, source, group, days=40) == [], rule.name
    assert tried > 15
