"""Elastic's rules alert on the events that another tool has made of their text, on every branch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from detector import rulefile
from detector.language import evaluate, tree
from detector.model import Rule
from detector.run import cycle
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, TERMS, install, iso
from tests.language import shared, test_events

STEP = timedelta(milliseconds=10)
RECENT = timedelta(seconds=40)
"""All rules see the time from here on: the shortest `from` is a minute."""

PUT_TOGETHER = tree.Piped | tree.Sequence | tree.Sample

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
    """Every rule that both stores can run, those that are switched off as well.

    The other tool has made no events for ES|QL, and neither store has it.
    """
    loaded = rulefile.load([shared.needed("corpus")])
    assert [one for one in loaded.problems if one.level == "error"] == []
    return {
        rule.rule_id: replace(rule, enabled=True)
        for rule in loaded.rules
        if rule.type != "esql" and rule.unsupported is None
    }


def branches() -> list[dict[str, Any]]:
    shared.needed("events")
    return [one for one in shared.lines("events/generated.ndjson") if one["rule_id"] in rules()]


def laid(branch: dict[str, Any], number: int = 0) -> list[Stored]:
    """The events where the rule looks, in their order, just before the end of what it sees."""
    rule = rules()[branch["rule_id"]]
    home = rule.index[0].replace("*", "x")
    first = NOW - rule.delay - RECENT + STEP * (number % 1_000)
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
    """The event with names as events have them.

    The other tool has left backquotes in some, and has taken `process.name.caseless`, another view
    of `process.name`, for a field of its own.
    """
    whole: dict[str, Any] = {}
    for name, value in source.items():
        if name.startswith("`"):
            path, inner = [name[1:]], value
            while isinstance(inner, dict):
                ((last, inner),) = inner.items()
                path.append(last)
            whole[".".join(path).rstrip("`")] = inner
        elif isinstance(value, dict):
            whole[name] = value["caseless"] if value.keys() == {"caseless"} else plain(value)
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


def everything() -> list[Stored]:
    """All events of all rules, in one set of indices, within ten seconds and a few."""
    return [one for n, branch in enumerate(branches()) for one in laid(branch, n)]


def mapping(documents: Iterable[Stored]) -> dict[str, Any]:
    """ECS with Elastic Defend's views in lower case, as far as the events have it."""
    named = {name for one in documents for name in names(one.source)}
    known = test_events.mapping().items()
    keyword = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    return {
        "dynamic_templates": [{"texts": keyword}],
        "properties": {name: viewed(body) for name, body in known if name in named},
    }


def viewed(body: dict[str, Any]) -> dict[str, Any]:
    if body["type"] != "keyword":
        return body
    lower = {"type": "keyword", "normalizer": "lowercase"}
    return body | {"fields": {**body.get("fields", {}), "caseless": lower}}


def names(source: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for name, value in source.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from names(value, f"{above}{name}.")


def explained(rule: Rule, documents: Iterable[Stored]) -> set[tuple[str, str]]:
    """Index and id of every event that satisfies the rule's query, whoever it was made for."""
    assert rule.where is not None
    assert not isinstance(rule.where, PUT_TOGETHER)
    holds, patterns = evaluate.predicate(rule.where), ",".join(rule.index).split(",")
    return {
        (one.index, one.id)
        for one in documents
        if any(fnmatchcase(one.index, pattern) for pattern in patterns) and holds(one.source)
    }


def alerted(found: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    return {
        (ancestor["index"], ancestor["id"])
        for alert in found
        for ancestor in alert["kibana.alert.ancestors"]
        if ancestor["depth"] == 0
    }


def stood_for(found: Iterable[dict[str, Any]]) -> int:
    """How many events the alerts stand for, those that are suppressed in them as well."""
    return sum(1 + alert.get("kibana.alert.suppression.docs_count", 0) for alert in found)


@pytest.mark.node
@pytest.mark.slow
def test_both_stores_make_the_same_alerts_of_everything_and_each_is_explained(
    es: Elasticsearch,
) -> None:
    documents, all_rules = everything(), list(rules().values())
    node = ElasticStore(es, "default")
    install(node)
    body = {"mappings": mapping(documents), "settings": {"number_of_replicas": 0}}
    patterns = sorted({one.index for one in documents})
    es.indices.put_index_template(
        name="events", index_patterns=patterns, priority=500, template=body
    )
    scratch.fill(node, documents)
    memory, terms = MemoryStore(documents), replace(TERMS, max_signals=10_000)
    for store in (node, memory):
        report = cycle.run(store, all_rules, NOW, terms, clock=lambda: NOW)
        assert [run for run in report.runs if run.error or run.gaps] == []
    es.indices.refresh(index="alerts-detector-default")
    written = helpers.scan(es, index="alerts-detector-default", size=1_000)
    found = {hit["_id"]: hit["_source"] for hit in written}
    assert len(found) > len(rules())
    differing = found.keys() ^ memory.alerts.keys()
    assert {
        (found.get(id_) or memory.alerts[id_].document)["kibana.alert.rule.name"]
        for id_ in differing
    } == set()
    for rule in all_rules:
        if rule.type in {"eql", "query"} and not isinstance(rule.where, PUT_TOGETHER):
            id_ = rule.rule_id
            own = [one for one in found.values() if one["kibana.alert.rule.rule_id"] == id_]
            expected = explained(rule, documents)
            assert alerted(own) <= expected, rule.name
            assert stood_for(own) == len(expected), rule.name
