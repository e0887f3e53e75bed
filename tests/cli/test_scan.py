"""`detector scan`: what it prints, and what it ends with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from detector import cli, packaged
from tests.builders import shell_event

pytest.importorskip("duckdb")

RULES = str(packaged.find("rules"))
SEQUENCE = """
rule_id: 7a1f3d0e-50c6-4c43-b9a5-0f6c1f1b7a11
name: Two in a row
type: eql
language: eql
index: [logs-*]
interval: 5m
from: now-6m
severity: low
risk_score: 21
description: A shell, and another one.
query: |
  sequence by host.name with maxspan=1m
    [process where process.name == "bash"] [process where process.name == "bash"]
"""


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Two interactive shells, one of them twice, one line cut off."""
    first, second = shell(0, "a"), shell(20, "b")
    lines = [json.dumps(one) for one in (first, second, first)]
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join([*lines, '{"cut": ']))
    return file


def shell(second: int, id_: str) -> dict[str, Any]:
    event = shell_event(datetime(2026, 3, 1, 10, 0, second, tzinfo=UTC))
    event["event"] = {**event["event"], "id": id_}
    return event


def test_alerts_are_a_table_and_copies_make_one(events: Path) -> None:
    done = run("scan", str(events), "--rules", RULES)
    assert done.exit_code == 0, done.stderr
    assert "Suspicious Interactive Shell Spawned From Inside A Container" in done.stdout
    assert "T1059 Command and Scripting Interpreter" in done.stdout
    assert "2 alerts (2 high) of 1 rules; 3 events, 6 rules" in done.stderr
    assert f"{events}: 1 lines hold no event, the first: line 4" in done.stderr


def test_json_is_an_alert_a_line(events: Path) -> None:
    done = run("--json", "scan", "-", "--rules", RULES, stdin=events.read_bytes())
    alerts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [alert["event"]["id"] for alert in alerts] == ["a", "b"]
    assert len({alert["kibana.alert.uuid"] for alert in alerts}) == 2
    assert "2 alerts" in done.stderr


def test_fail_tells_by_the_exit_code(events: Path) -> None:
    assert run("scan", str(events), "--rules", RULES, "--fail").exit_code == 1
    none = run("scan", str(events), "--rules", RULES, "--fail", "--to", "2026-03-01")
    assert none.exit_code == 0
    assert "0 alerts" in none.stderr


COUNTED = """
rule_id: 7a1f3d0e-50c6-4c43-b9a5-0f6c1f1b7a12
name: Several shells
type: threshold
language: kuery
index: [logs-*]
interval: 5m
from: now-6m
severity: low
risk_score: 21
description: Two shells on a host.
query: 'process.name: bash'
threshold: {field: [host.name], value: 2}
"""
NEW = """
rule_id: 7a1f3d0e-50c6-4c43-b9a5-0f6c1f1b7a13
name: A new program
type: new_terms
language: kuery
index: [logs-*]
interval: 5m
from: now-6m
severity: low
risk_score: 21
description: A program that was not there before.
query: 'event.category: process'
new_terms_fields: [process.name]
history_window_start: now-7d
"""
COMPARED = """
rule_id: 7a1f3d0e-50c6-4c43-b9a5-0f6c1f1b7a14
name: A known address
type: threat_match
language: kuery
index: [logs-*]
interval: 1h
from: now-65m
severity: high
risk_score: 73
description: An address of an indicator.
query: 'source.ip: *'
threat_index: [logs-ti_*]
threat_query: '@timestamp >= "now-30d/d" and threat.indicator.ip: *'
threat_indicator_path: threat.indicator
threat_language: kuery
threat_mapping: [{entries: [{field: source.ip, type: mapping, value: threat.indicator.ip}]}]
"""
JOB = """
rule_id: 7a1f3d0e-50c6-4c43-b9a5-0f6c1f1b7a15
name: A strange user
type: machine_learning
interval: 15m
from: now-45m
severity: low
risk_score: 21
description: What a job found.
machine_learning_job_id: [some_job]
anomaly_threshold: 50
"""


def written(folder: Path, *rules: str) -> str:
    """A folder of these rules."""
    (folder / "rules").mkdir()
    for number, text in enumerate(rules):
        (folder / "rules" / f"rule{number}.yaml").write_text(text)
    return str(folder / "rules")


def test_sequences_and_counts_are_found_and_other_types_named(events: Path, tmp_path: Path) -> None:
    done = run("scan", str(events), "--rules", written(tmp_path, SEQUENCE, COUNTED, JOB))
    assert "2 alerts (2 low) of 2 rules" in done.stderr
    assert "not scanned: 1 of type machine_learning: A strange user" in done.stderr


def ndjson(file: Path, *events: dict[str, Any]) -> str:
    file.write_text("".join(json.dumps(one) + "\n" for one in events))
    return str(file)


def named(second: int, id_: str, name: str) -> dict[str, Any]:
    event = shell(second, id_)
    return event | {"process": {**event["process"], "name": name}}


def test_what_lies_before_from_is_the_history_of_new_terms(tmp_path: Path) -> None:
    rules = written(tmp_path, NEW)
    late = named(40, "c", "nc") | {"@timestamp": "2026-05-01T10:00:00.000Z"}
    file = ndjson(tmp_path / "all.ndjson", named(0, "a", "sh"), named(1, "b", "sh"), late)
    done = run("scan", file, "--rules", rules)
    assert "2 alerts (2 low)" in done.stderr
    assert "what the files begin with counts as new" in done.stderr
    done = run("--json", "scan", file, "--rules", rules, "--from", "2026-03-01T10:00:01Z")
    assert [json.loads(line)["event"]["id"] for line in done.stdout.splitlines()] == ["c"]
    assert "counts as new" not in done.stderr


def test_indicators_are_among_the_events_or_apart(tmp_path: Path) -> None:
    rules = written(tmp_path, COMPARED)
    indicator = {"@timestamp": "2026-02-20T00:00:00Z", "threat": {"indicator": {"ip": "10.0.0.9"}}}
    met = shell(0, "a") | {"source": {"ip": "10.0.0.9"}}
    both = ndjson(tmp_path / "both.ndjson", met, indicator)
    event, known = ndjson(tmp_path / "event.ndjson", met), ndjson(tmp_path / "ti.ndjson", indicator)
    end = ("--rules", rules, "--to", "2026-03-02")
    assert "1 alerts (1 high)" in run("scan", both, *end).stderr
    done = run("--json", "scan", event, "--indicators", known, *end)
    (alert,) = map(json.loads, done.stdout.splitlines())
    assert alert["threat"]["enrichments"][0]["matched"]["atomic"] == "10.0.0.9"
    none = run("scan", event, *end)
    assert "no indicator in logs-ti_* satisfies" in none.stderr
    assert "--indicators FILE" in none.stderr
    assert none.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.ndjson",), "no such file or folder"),
        (("--from", "2026-03-02", "--to", "2026-03-01", "-"), "--from must be before --to"),
    ],
)
def test_a_wrong_call_ends_with_a_way_out(arguments: tuple[str, ...], said: str) -> None:
    done = run("scan", *arguments, "--rules", RULES)
    assert done.exit_code == 2
    assert said in done.stderr
