"""Elastic's rules alert on the events that another tool has made of their text, on every branch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector import alerts, rulefile
from detector.detect import eql
from detector.language import evaluate, tree
from detector.model import Rule
from detector.run import cycle
from detector.store import installation, scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, TERMS, iso
from tests.language import shared, test_events

STEP = timedelta(milliseconds=10)
RECENT = timedelta(seconds=40)
"""All rules see the time from here on: the shortest `from` is a minute."""

SILENT = {
    "Kubernetes Secrets List Across Cluster or Sensitive Namespaces": {1, 3},
    "Linux User or Group Deletion": {0, 1},
    "Privilege Escalation via CAP_CHOWN/CAP_FOWNER Capabilities": {3},
}
"""Branches whose events do not satisfy their query, because the other tool has misread it.

`?` is no wildcard in KQL; `event.type` has to hold two values; `in` knows no wildcards.
"""


@cache
def rules() -> dict[str, Rule]:
    """Every rule that can run, those that are switched off as well."""
    loaded = rulefile.load([shared.needed("corpus")])
    assert [one for one in loaded.problems if one.level == "error"] == []
    usable = (rule for rule in loaded.rules if rule.unsupported is None)
    return {rule.rule_id: replace(rule, enabled=True) for rule in usable}


def branches() -> list[dict[str, Any]]:
    shared.needed("events")
    return [one for one in shared.lines("events/generated.ndjson") if one["rule_id"] in rules()]


def laid(branch: dict[str, Any], number: int = 0) -> list[Stored]:
    """The events where the rule looks, in their order, just before the end of what it sees."""
    rule = rules()[branch["rule_id"]]
    home = rule.index[0].replace("*", "x")
    first = NOW - rule.delay - RECENT + STEP * number
    return [
        Stored(home, f"{number}-{position}", timed(source, first + STEP * position))
        for position, source in enumerate(branch["docs"])
    ]


def timed(source: dict[str, Any], time: Any) -> dict[str, Any]:
    told = plain(source)
    event = told.get("event")
    ingested = {**(event if isinstance(event, dict) else {}), "ingested": iso(time)}
    return {**told, "@timestamp": iso(time), "event": ingested}


def plain(source: dict[str, Any]) -> dict[str, Any]:
    """The event without the backquotes that the other tool has left in names."""
    whole: dict[str, Any] = {}
    for name, value in source.items():
        if name.startswith("`"):
            path, inner = [name[1:]], value
            while isinstance(inner, dict):
                (last,) = inner
                path, inner = [*path, last], inner[last]
            whole[".".join(path).rstrip("`")] = inner
        else:
            whole[name] = value
    return whole


def silent(branch: dict[str, Any]) -> bool:
    store = MemoryStore(laid(branch))
    report = cycle.run(store, [rules()[branch["rule_id"]]], NOW, TERMS, clock=lambda: NOW)
    assert not report.failed, report.runs
    assert report.rules == 1
    return not store.alerts


@pytest.mark.slow
def test_every_branch_of_every_event_rule_and_sequence_alerts() -> None:
    tried, missed = set(), defaultdict(set)
    for branch in branches():
        rule = rules()[branch["rule_id"]]
        if rule.type in {"eql", "query"}:
            tried.add(rule.name)
            if silent(branch):
                missed[rule.name].add(branch["branch"])
    assert dict(missed) == SILENT
    assert len(tried) == 589
    assert len(missed) / len(tried) <= 0.01
