from __future__ import annotations

from typing import cast

import pytest

from detector import packaged, rulefile
from detector.language import evaluate, fields
from detector.language.tree import Node
from detector.model import Example, Rule

LOADED = rulefile.load([packaged.find("rules")])
EXAMPLES = [(rule, example) for rule in LOADED.rules for example in rule.examples]


def name(value: Rule | Example) -> str:
    return value.name


def test_rules_load_without_a_problem_or_a_warning() -> None:
    assert not LOADED.problems
    assert len(LOADED.rules) == 6


@pytest.mark.parametrize("rule", LOADED.rules, ids=name)
def test_rule_is_proved_by_at_least_four_positive_and_six_negative_examples(rule: Rule) -> None:
    alerts = [example.alerts for example in rule.examples]
    assert alerts.count(1) >= 4
    assert alerts.count(0) >= 6


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=name)
def test_example_is_caught_by_its_own_rule_alone_or_by_none(rule: Rule, example: Example) -> None:
    (event,) = example.events
    found = [
        other.rule_id
        for other in LOADED.rules
        if evaluate.matches(cast("Node", other.where), event, fields.ECS)
    ]
    assert found == [rule.rule_id] * example.alerts
