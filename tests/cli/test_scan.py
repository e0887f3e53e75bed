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


def test_a_sequence_is_found_and_other_types_are_named(events: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "sequence.yaml").write_text(SEQUENCE)
    learned = SEQUENCE.replace("7a1f3d0e", "7a1f3d0f").replace("type: eql", "type: threshold")
    learned = learned.partition("language:")[0] + learned.partition("language: eql\n")[2]
    learned = learned.partition("query:")[0] + "language: kuery\nquery: 'process.name: *'\n"
    learned += "threshold: {field: [host.name], value: 5}\n"
    (tmp_path / "rules" / "threshold.yaml").write_text(learned.replace("Two in", "Many in"))
    done = run("scan", str(events), "--rules", str(tmp_path / "rules"))
    assert "1 alerts (1 low)" in done.stderr
    assert "not scanned: 1 of type threshold: Many in a row" in done.stderr


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
