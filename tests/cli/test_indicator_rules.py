"""Rules that compare events with indicators, or read what jobs found, are tested by examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detector import rulefile
from tests.cli.test_commands import detector

RULE = """
rule_id: i1
name: A known address
description: d
type: threat_match
language: kuery
index: [logs-*]
severity: low
risk_score: 21
query: 'source.ip : *'
threat_index: [logs-ti_*]
threat_query: '@timestamp >= "now-30d/d" and event.module : ti_*'
threat_filters: [{query: {term: {event.kind: enrichment}}}]
threat_mapping:
  - entries:
      - {field: source.ip, type: mapping, value: threat.indicator.ip}
      - {field: user.name, type: mapping, value: user.name, negate: true}
"""
EXAMPLES = """
examples:
  - name: one of two
    events: [{source: {ip: 10.0.0.1}}, {source: {ip: 10.0.0.2}}]
    indicators: [{event: {module: ti_x, kind: enrichment}, threat: {indicator: {ip: 10.0.0.1}},
                  user: {name: root}}]
    alerts: 1
  - name: too old
    event: {source: {ip: 10.0.0.1}}
    indicators: [{"@timestamp": -32d, event: {module: ti_x, kind: enrichment}, user: {name: root},
                  threat: {indicator: {ip: 10.0.0.1}}}]
    alert: false
  - name: none
    event: {source: {ip: 10.0.0.1}}
    alert: false
"""
JOB = """
rule_id: m1
name: Odd
description: d
type: machine_learning
machine_learning_job_id: odd
anomaly_threshold: 50
severity: low
risk_score: 21
examples:
  - name: odd enough
    event: {job_id: odd, result_type: record, record_score: 75}
    alert: true
  - name: not odd enough
    event: {job_id: odd, result_type: record, record_score: 7}
    alert: false
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "indicators.yaml").write_text(RULE + EXAMPLES)
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


def told(*arguments: str) -> Any:
    return json.loads(detector(*arguments, "--json").output)


def test_their_examples_hold_indicators_and_records(rules: Path) -> None:
    assert told("test", "--rules", str(rules)) == {"rules": 2, "examples": 5, "failed": []}


@pytest.mark.node
def test_their_examples_hold_on_elasticsearch(rules: Path, node_url: str) -> None:
    result = detector("test", "--rules", str(rules), "--url", node_url)
    assert result.exit_code == 0, result.output


def test_a_failing_example_says_what_is_needed(rules: Path) -> None:
    file = rules / "indicators.yaml"
    file.write_text(file.read_text().replace("alert: false", "alert: true"))
    result = detector("test", "--rules", str(file))
    assert result.exit_code == 1
    assert "an alert needs an indicator in logs-ti_* with the same values" in result.output


def test_the_search_for_indicators_is_shown(rules: Path) -> None:
    compiled = told("compile", "A known address", "--rules", str(rules))
    events, indicators = compiled["searches"]
    assert "source.ip" in json.dumps(events["query"])
    assert indicators["index"] == ["logs-ti_*"]
    assert indicators["compared"] == [
        {"source.ip": "threat.indicator.ip", "user.name": "!user.name"}
    ]
    assert "T00:00:00.000Z" in json.dumps(indicators["query"])
    shown = detector("compile", "A known address", "--rules", str(rules)).output
    assert "indicators in logs-ti_*: source.ip = threat.indicator.ip" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ti_*'", "(ti_*'"), "the query ends too early"),
        (("{term: {event.kind: enrichment}}", "5"), "filter"),
        (("value: threat.indicator.ip", "value: threat.indicator.ip, negate: true"), "negate"),
        (("threat_index: [logs-ti_*]\n", ""), "`threat_index` is missing"),
        (("threat_query", "threat_quory"), "`threat_query` is missing"),
        (("threat_mapping:", "threat_mapping: []\nnote: |"), "threat_mapping"),
        (("severity", "items_per_search: 0\nseverity"), "items_per_search"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_said(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    assert change[0] in RULE
    (tmp_path / "rule.yaml").write_text(RULE.replace(*change))
    loaded = rulefile.load([tmp_path])
    assert loaded.rules == ()
    said = [one.message for one in loaded.problems if one.level == "error"]
    assert said
    assert any(message in one for one in said), said


def test_a_role_may_read_indicators_and_anomalies(rules: Path) -> None:
    said = detector("setup", "--role", "--rules", str(rules), "--json").output
    for pattern in ("logs-*", "logs-ti_*", ".ml-anomalies-*"):
        assert pattern in json.dumps(json.loads(said)["role"])
