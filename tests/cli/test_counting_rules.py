"""Rules that count events are tested by examples of several, and show what they count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import detector

THRESHOLD = """
rule_id: t1
name: Many failed logins
description: d
type: threshold
language: kuery
index: [logs-*]
from: now-20m
severity: low
risk_score: 21
query: 'event.outcome : "failure"'
threshold: {field: [user.name], value: 3, cardinality: [{field: source.ip, value: 2}]}
examples:
  - name: two addresses
    events:
      - {event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.1}}
      - {event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.1}}
      - {"@timestamp": -19m, event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.2}}
    alert: true
  - name: one address
    events:
      - {event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.1}}
      - {event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.1}}
      - {"@timestamp": -19m, event: {outcome: failure}, user: {name: a}, source: {ip: 10.0.0.1}}
    alert: false
"""
NEW_TERMS = """
rule_id: n1
name: A user who is new
description: d
type: new_terms
language: kuery
index: [logs-*]
severity: low
risk_score: 21
query: 'event.outcome : "failure"'
new_terms_fields: [user.name]
history_window_start: now-7d
examples:
  - name: one of two
    history: [{event: {outcome: failure}, user: {name: b}}]
    events:
      - {event: {outcome: failure}, user: {name: a}}
      - {event: {outcome: failure}, user: {name: b}}
    alerts: 1
  - name: seen days ago
    history: [{"@timestamp": -6d, event: {outcome: failure}, user: {name: a}}]
    event: {event: {outcome: failure}, user: {name: a}}
    alert: false
"""
SUPPRESSING = """
rule_id: q1
name: Failed logins of a host
description: d
type: query
language: kuery
index: [logs-*]
severity: low
risk_score: 21
query: 'event.outcome : "failure"'
alert_suppression: {group_by: [host.name], missing_fields_strategy: doNotSuppress}
examples:
  - name: one host, three times
    events:
      - {event: {outcome: failure}, host: {name: a}}
      - {event: {outcome: failure}, host: {name: a}}
      - {event: {outcome: failure}, host: {name: a}}
    alerts: 1
  - name: two hosts, and events of none
    events:
      - {event: {outcome: failure}, host: {name: a}}
      - {event: {outcome: failure}, host: {name: b}}
      - {event: {outcome: failure}}
      - {event: {outcome: failure}}
    alerts: 4
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    texts = {"threshold": THRESHOLD, "new_terms": NEW_TERMS, "suppressing": SUPPRESSING}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def told(*arguments: str) -> Any:
    result = detector(*arguments, "--json")
    return [json.loads(line) for line in result.output.splitlines()]


def test_their_examples_hold_several_events_and_a_history(rules: Path) -> None:
    (tested,) = [json.loads(detector("test", "--rules", str(rules), "--json").output)]
    assert tested == {"rules": 3, "examples": 6, "failed": []}


def test_a_failing_example_is_explained_by_each_event(rules: Path) -> None:
    file = rules / "threshold.yaml"
    file.write_text(file.read_text().replace("alert: false", "alert: true"))
    result = detector("test", "--rules", str(file))
    assert result.exit_code == 1
    assert "expected 1 alerts, got 0" in result.output
    assert "an alert needs 3 such events" in result.output


def test_what_they_count_is_shown(rules: Path) -> None:
    new, _, many = told("compile", "--rules", str(rules))
    assert new["searches"][0]["groups"] == {"by": ["user.name"], "none_since": "now-7d"}
    assert many["searches"][0]["groups"] == {
        "by": ["user.name"],
        "least": 3,
        "distinct": {"source.ip": 2},
    }
    shown = detector("compile", "--rules", str(rules)).output
    assert "at least 3 with the same user.name, 2 values of source.ip" in shown
    assert "new values of user.name: none since now-7d" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("now-7d", "now-5m"), "`history_window_start` must lie before `from`"),
        (("[user.name]", "[a, b, c, d]"), "`new_terms_fields` "),
    ],
)
def test_a_history_that_is_none_is_an_error(
    rules: Path, change: tuple[str, str], message: str
) -> None:
    file = rules / "new_terms.yaml"
    file.write_text(file.read_text().replace(*change))
    result = detector("check", "--rules", str(file))
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.node
def test_their_examples_do_not_see_each_other_on_elasticsearch(rules: Path, node_url: str) -> None:
    result = detector("test", "--rules", str(rules), "--url", node_url, "--json")
    assert json.loads(result.output) == {"rules": 3, "examples": 6, "failed": []}
