"""A rule that matches far too much -> one alert that says how much, where and of whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from detector.alerts import identity, instants, overrides, placement, rulefields
from detector.language import fields, tree
from detector.language.fields import Kind
from detector.model import Alert, Execution, Rule, Survey, Window

USUAL = ("host.name", "user.name", "container.id", "container.image.name")
MOST_FIELDS = 12


def telling_fields(rule: Rule) -> tuple[str, ...]:
    """Whose most frequent values tell what a flood is made of: places, people, the rule's own."""
    named = sorted(tree.fields_of(rule.where)) if rule.where is not None else []
    telling = [name for name in named if fields.kind_of(name, fields.ECS) is Kind.STRING]
    return tuple(dict.fromkeys([*USUAL, *telling]))[:MOST_FIELDS]


def flood(
    rule: Rule, execution: Execution, survey: Survey, window: Window, waiting: Sequence[Window]
) -> Alert:
    """The alert for a run over `window` that left what is in `waiting` without alerts.

    The same rule and start of the window give the same id and index, whatever was counted.
    """
    uuid = identity.rule_uuid(rule.rule_id, execution.space)
    start = instants.stamp(window.start)
    parts = json.dumps([uuid, execution.space, "flood", start], separators=(",", ":"))
    id_ = hashlib.sha256(parts.encode()).hexdigest()
    body = {
        **rulefields.of_run(rule, execution),
        **_values(survey),
        "kibana.alert.ancestors": [],
        "kibana.alert.depth": 0,
        "kibana.alert.original_time": start,
        "kibana.alert.severity": rule.severity,
        "kibana.alert.risk_score": overrides.plain(rule.risk_score),
        "kibana.alert.rule.name": rule.name,
        "kibana.alert.reason": _reason(rule, survey, waiting),
        "kibana.alert.uuid": id_,
        "detector.flood.matches": survey.count,
        "detector.flood.exact": survey.exact,
        "detector.flood.start": instants.stamp(_first(waiting)),
        "detector.flood.end": instants.stamp(_last(waiting)),
        "detector.flood.top": [
            {"field": name, "value": str(value), "count": count}
            for name, values in survey.top.items()
            for value, count in values
        ],
    }
    return Alert(id_, placement.of_time(execution.space, window.start), body, window.start)


def _values(survey: Survey) -> dict[str, Any]:
    """The usual places and people as fields of the alert, so that it is found like the others."""
    return {name: [value for value, _ in survey.top[name]] for name in USUAL if name in survey.top}


def _reason(rule: Rule, survey: Survey, waiting: Sequence[Window]) -> str:
    most = [
        f"{name} {values[0][0]} ({values[0][1]:,})"
        for name, values in survey.top.items()
        if name in USUAL
    ]
    told = f", most of {', '.join(most)}" if most else ""
    return (
        f"{rule.name} is flooding: {'' if survey.exact else 'up to '}{survey.count:,} matches from "
        f"{instants.stamp(_first(waiting))} to {instants.stamp(_last(waiting))}{told}; they have "
        f"no alerts of their own until `detector gaps fill` is run."
    )


def _first(windows: Sequence[Window]) -> datetime:
    return min(window.start for window in windows)


def _last(windows: Sequence[Window]) -> datetime:
    return max(window.end for window in windows)
