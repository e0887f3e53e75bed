"""Severity, risk score and name taken from the event."""

from __future__ import annotations

from typing import Any

import pytest

from detector.alerts import overrides
from detector.alerts.overrides import Judgement
from tests.builders import make_rule


def mapped(field: str, **severities: str) -> list[dict[str, str]]:
    return [
        {"field": field, "operator": "equals", "value": value, "severity": severity}
        for severity, value in severities.items()
    ]


@pytest.mark.parametrize(
    ("source", "severity"),
    [
        ({"event": {"severity": 3}}, "critical"),
        ({"event": {"severity": 3.9}}, "critical"),
        ({"event.severity": "3"}, "critical"),
        ({"event": {"severity": [1, 3]}}, "critical"),
        ({"event": {"severity": 1}}, "low"),
        ({"event": {"severity": 2}}, "high"),
        ({"event": {"severity": True}}, "high"),
        ({}, "high"),
    ],
)
def test_the_highest_severity_whose_value_the_event_has_wins(
    source: dict[str, Any], severity: str
) -> None:
    rule = make_rule(
        parameters={"severity_mapping": mapped("event.severity", critical="3", low="1")}
    )
    assert overrides.judge(source, rule).severity == severity


@pytest.mark.parametrize(
    ("source", "score"),
    [
        ({"event": {"risk_score": 21}}, 21),
        ({"event": {"risk_score": 20.5}}, 20.5),
        ({"event": {"risk_score": "99"}}, 99),
        ({"event": {"risk_score": [5, "80", 101, -1, "high", None]}}, 80),
        ({"event": {"risk_score": 0}}, 0),
        ({"event": {"risk_score": 100.5}}, 73),
        ({"event": {"risk_score": "nan"}}, 73),
        ({"event": {"risk_score": True}}, 73),
        ({"event": {"risk_score": 10**400}}, 73),
        ({}, 73),
    ],
)
def test_the_highest_valid_risk_score_of_the_event_wins(
    source: dict[str, Any], score: float
) -> None:
    mapping = [{"field": "event.risk_score", "operator": "equals", "value": ""}]
    rule = make_rule(parameters={"risk_score_mapping": mapping}, risk_score=73.0)
    assert repr(overrides.judge(source, rule).risk_score) == repr(score)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"rule": {"name": "From The Event"}}, "From The Event"),
        ({"rule.name": ["First", "Second"]}, "First"),
        ({"rule": {"name": " "}}, "A shell"),
        ({"rule": {"name": 7}}, "A shell"),
        ({}, "A shell"),
    ],
)
def test_a_name_is_taken_from_the_event_if_it_has_one(source: dict[str, Any], name: str) -> None:
    rule = make_rule(parameters={"rule_name_override": "rule.name"})
    assert overrides.judge(source, rule).name == name


def test_empty_mappings_change_nothing() -> None:
    empty = [{"field": "", "operator": "equals", "value": "", "severity": "low"}]
    rule = make_rule(parameters={"severity_mapping": empty, "risk_score_mapping": empty})
    assert overrides.judge({"": "x"}, rule) == Judgement("high", 73, "A shell")
    assert overrides.fields(rule) == ()
