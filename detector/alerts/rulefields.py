"""A rule and its run -> the part of an alert that does not depend on the event, made once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from detector import __version__
from detector.alerts import identity, instants, overrides, reading
from detector.model import Execution, Rule

SHAPED_LIKE = "8.19.0"
"""The Kibana whose alerts ours are shaped like."""

KINDS = {
    "query": ("siem.queryRule", "Custom Query Rule"),
    "saved_query": ("siem.savedQueryRule", "Saved Query Rule"),
    "eql": ("siem.eqlRule", "Event Correlation Rule"),
    "esql": ("siem.esqlRule", "ES|QL Rule"),
    "threshold": ("siem.thresholdRule", "Threshold Rule"),
    "threat_match": ("siem.indicatorRule", "Indicator Match Rule"),
    "new_terms": ("siem.newTermsRule", "New Terms Rule"),
    "machine_learning": ("siem.mlRule", "Machine Learning Rule"),
}
"""Kibana's rule type ids and the names it shows."""

_COPIED = (
    "author", "building_block_type", "description", "exceptions_list", "false_positives", "from",
    "immutable", "interval", "license", "max_signals", "namespace", "note", "references",
    "risk_score_mapping", "rule_name_override", "severity_mapping", "tags", "threat", "throttle",
    "timeline_id", "timeline_title", "timestamp_override", "to", "version",
)  # fmt: skip
_LISTS = (
    "actions", "author", "exceptions_list", "false_positives", "references", "risk_score_mapping",
    "severity_mapping", "tags", "threat",
)  # fmt: skip
_NO_PARAMETERS = frozenset({"actions", "enabled", "interval", "name", "tags", "throttle"})
"""Keys of a rule that Kibana keeps beside its parameters."""


@lru_cache(maxsize=4096)
def of_run(rule: Rule, execution: Execution) -> Mapping[str, Any]:
    """Everything a run says in each of its alerts; shared by them, never to be changed."""
    now = instants.stamp(execution.time)
    intended = instants.stamp(execution.intended) if execution.manual else now
    return of_rule(rule, execution.space) | {
        "@timestamp": now,
        "event.kind": "signal",
        "kibana.alert.start": now,
        "kibana.alert.last_detected": now,
        "kibana.alert.intended_timestamp": intended,
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.workflow_tags": [],
        "kibana.alert.workflow_assignee_ids": [],
        "kibana.alert.rule.execution.timestamp": now,
        "kibana.alert.rule.execution.type": "manual" if execution.manual else "scheduled",
        "kibana.alert.rule.execution.uuid": execution.uuid,
        **({"detector.late": True} if execution.late else {}),
    }


@lru_cache(maxsize=4096)
def of_rule(rule: Rule, space: str) -> dict[str, Any]:
    """What every alert of a rule says of it, in Kibana's keys and in some of our own."""
    type_id, category = KINDS[rule.type]
    block = rule.parameters.get("building_block_type")
    return {
        "kibana.space_ids": [space],
        "kibana.version": SHAPED_LIKE,
        "detector.version": __version__,
        "detector.rule.hash": rule.hash,
        **({"detector.rule.commit": rule.commit} if rule.commit else {}),
        **({"kibana.alert.building_block_type": block} if block else {}),
        **{f"kibana.alert.rule.{key}": value for key, value in _keys(rule).items()},
        "kibana.alert.rule.category": category,
        "kibana.alert.rule.consumer": "siem",
        "kibana.alert.rule.producer": "siem",
        "kibana.alert.rule.rule_type_id": type_id,
        "kibana.alert.rule.revision": 0,
        "kibana.alert.rule.uuid": identity.rule_uuid(rule.rule_id, space),
        "kibana.alert.rule.parameters": _parameters(rule),
    }


def _keys(rule: Rule) -> dict[str, Any]:
    """The rule's keys as Kibana repeats them below `kibana.alert.rule`."""
    given = rule.parameters
    copied = {key: given[key] for key in _COPIED if given.get(key) is not None}
    meta = reading.leaves(given["meta"], "meta") if given.get("meta") else {}
    return {
        **{key: [] for key in _LISTS},
        **copied,
        **meta,
        "enabled": rule.enabled,
        "indices": list(rule.index),
        "risk_score": overrides.plain(rule.risk_score),
        "rule_id": rule.rule_id,
        "severity": rule.severity,
        "type": rule.type,
    }


def _parameters(rule: Rule) -> dict[str, Any]:
    return {key: value for key, value in rule.parameters.items() if key not in _NO_PARAMETERS}
