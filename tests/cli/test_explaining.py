"""`detector explain`, and what `detector test` says of a failing example, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from detector import cli, packaged
from tests.builders import NOW, shell_event
from tests.cli.test_commands import on_a_terminal

RULES = packaged.find("rules")
SHELL = "interactive_shell_in_container"

RULE: dict[str, Any] = {
    "rule_id": "r",
    "name": "A rule",
    "description": "d",
    "severity": "high",
    "risk_score": 73,
    "index": ["logs-*"],
    "from": "now-6m",
}
ANOMALY = {"result_type": "record", "job_id": "odd"}
TYPES: dict[str, dict[str, Any]] = {
    "query": {"type": "query", "language": "kuery", "query": "process.name: bash"},
    "sequence": {
        "type": "eql",
        "language": "eql",
        "query": 'sequence by host.id, ?user.id with maxspan=1m [any where process.name == "bash"]'
        ' with runs=2 ![any where process.name == "zsh"] until [any where process.name == "exit"]',
    },
    "sample": {
        "type": "eql",
        "language": "eql",
        "query": 'sample by host.id [any where process.name == "bash"] [any where a == 1]',
    },
    "pipe": {"type": "eql", "language": "eql", "query": "any where a == 1 | head 2"},
    "threshold": {
        "type": "threshold",
        "language": "kuery",
        "query": "process.name: bash",
        "threshold": {"field": ["host.id"], "value": 25, "cardinality": []},
    },
    "new_terms": {
        "type": "new_terms",
        "language": "kuery",
        "query": "process.name: bash",
        "new_terms_fields": ["host.id"],
        "history_window_start": "now-7d",
    },
    "threat_match": {
        "type": "threat_match",
        "language": "kuery",
        "query": "event.category: network",
        "threat_query": "*:*",
        "threat_index": ["logs-ti*"],
        "threat_mapping": [
            {"entries": [{"field": "source.ip", "type": "mapping", "value": "threat.ip"}]},
            {"entries": [{"field": "file.hash", "type": "mapping", "value": "threat.hash"}]},
        ],
    },
    "esql": {"type": "esql", "language": "esql", "query": "from logs-* | where a == 1"},
    "machine_learning": {
        "type": "machine_learning",
        "machine_learning_job_id": ["odd"],
        "anomaly_threshold": 50,
    },
    "lucene": {
        "type": "query",
        "language": "lucene",
        "query": "*:*",
        "filters": [{"query": {"geo_distance": {"distance": "1km", "place": [0, 0]}}}],
    },
}


def detector(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, arguments, input=given)


def explained(rule: dict[str, Any], event: dict[str, Any], *more: str) -> Result:
    """One rule in a file, one event from standard input."""
    Path("rule.ndjson").write_text(json.dumps(rule), encoding="utf-8")
    return detector("explain", "rule.ndjson", "-", *more, given=json.dumps(event))


def shell(**process: Any) -> dict[str, Any]:
    event = shell_event(NOW)
    return event | {"process": event["process"] | process}


@pytest.mark.parametrize("form", ["file", "hit", "yaml", "stdin"])
def test_an_event_may_be_a_file_a_hit_or_standard_input(form: str, elsewhere: Path) -> None:
    file, event = elsewhere / f"event.{'yaml' if form == 'yaml' else 'json'}", shell()
    written = {"_index": "logs-x", "_id": "1", "_source": event} if form == "hit" else event
    file.write_text(json.dumps(written))
    name = "-" if form == "stdin" else str(file)
    given = file.read_text() if form == "stdin" else None
    result = detector("explain", SHELL, name, "--rules", str(RULES), given=given)
    assert result.exit_code == 0, result.output
    assert 'process.args = ["bash","-i"]  ✓ one of -i, -it (any case)' in result.stdout
    assert "the rule matches this event" in result.stderr


def test_an_event_that_does_not_match_ends_with_1_and_the_clause_that_decided() -> None:
    given = json.dumps(shell(args=["bash", "-c"]))
    result = detector("explain", SHELL, "-", "--rules", str(RULES), given=given)
    assert result.exit_code == 1
    assert '      process.args = ["bash","-c"]  ✗ none of -i, -it (any case)' in result.stdout
    assert [line for line in result.stdout.splitlines() if "decided" in line] == [
        "  or  ✗  ← decided"
    ]
    assert "the rule does not match this event" in result.stderr


def test_json_tells_each_clause() -> None:
    given = json.dumps(shell(args=["bash", "-c"]))
    result = detector("explain", SHELL, "-", "--rules", str(RULES), "--json", given=given)
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert set(told) == {
        "rule_id", "name", "type", "index", "id", "covered", "held", "needs", "conditions"
    }  # fmt: skip
    assert (told["held"], told["needs"]) == (False, None)
    (condition,) = told["conditions"]
    assert set(condition) == {
        "title", "held", "elasticsearch", "absent", "notes", "explanation"
    }  # fmt: skip
    tree = condition["explanation"]
    assert set(tree) == {"clause", "held", "decided", "reason", "values", "children"}
    assert tree["children"][0]["values"] == {"event.category": ["process"]}


@pytest.mark.parametrize(
    ("type_", "event", "code", "said"),
    [
        ("query", {"process.name": "bash"}, 0, ["✓ is bash", "the rule matches this event"]),
        ("query", {"process.name": "zsh"}, 1, ["✗ is not bash  ← decided"]),
        (
            "sequence",
            {"process.name": "bash", "host.id": "h"},
            0,
            [
                "step 1 of 2 of the sequence  ✓ joined by user.id as well, which may be missing",
                "2 times in a row",
                "step 2 of 2 of the sequence (absent)  ✗",
                "until  ✗",
                "can be a part of a match",
                "an alert needs an event for each step in this order within 60 s",
            ],
        ),
        ("sequence", {"process.name": "bash"}, 1, ["host.id missing  ✗ must be there  ← decided"]),
        ("sequence", {"process.name": "zsh", "host.id": "h"}, 1, ["is no part of a match"]),
        ("sample", {"a": 1, "host.id": "h"}, 0, ["step 1 of 2 of the sample  ✗", "  ✓ is 1"]),
        ("pipe", {"a": 1}, 0, ["of those that hold: head 2", "a = 1  ✓ is 1"]),
        (
            "threshold",
            {"process.name": "bash", "host.id": "h"},
            0,
            ["an alert needs 25 such events of host.id = h"],
        ),
        ("threshold", {"process.name": "bash"}, 1, ["host.id missing  ✗ must be there"]),
        (
            "new_terms",
            {"process.name": "bash", "host.id": "h"},
            0,
            ["an alert needs no such event since now-7d of host.id = h"],
        ),
        (
            "threat_match",
            {"event.category": "network", "source.ip": "192.0.2.1"},
            0,
            ["an indicator in logs-ti* with the same values of source.ip = 192.0.2.1"],
        ),
        ("threat_match", {"event.category": "network"}, 1, ["  or  ✗  ← decided"]),
        ("esql", {"a": 1}, 1, ["only Elasticsearch can answer ES|QL"]),
        ("machine_learning", ANOMALY | {"record_score": 51.2}, 0, ["✓ >= 50"]),
        ("machine_learning", ANOMALY | {"record_score": 3}, 1, ["✗ not >= 50  ← decided"]),
        ("lucene", {"a": 1}, 1, ["? only Elasticsearch can answer", "only Elasticsearch can tell"]),
    ],
)  # fmt: skip
def test_each_type_says_what_part_the_event_has(
    type_: str, event: dict[str, Any], code: int, said: list[str]
) -> None:
    result = explained(RULE | TYPES[type_], event)
    assert result.exit_code == code, result.output
    for text in said:
        assert text in result.output


@pytest.mark.parametrize(
    ("rule", "event", "given", "code", "said"),
    [
        ("nobody", "-", "{}", 2, "no rule is called `nobody`"),
        (SHELL, "nowhere.json", None, 2, "no event is called `nowhere.json`"),
        (SHELL, "/nowhere.json", None, 2, "no event is called `/nowhere.json`"),
        (SHELL, "./nowhere.json", None, 2, "no event is called `./nowhere.json`"),
        (SHELL, "logs-x/1", None, 2, "--url"),
        (SHELL, "logs-x/1", None, 2, "--url"),
        (SHELL, ".", None, 1, "not a regular file"),
        (SHELL, "-", "", 1, "<stdin>:1:1: error: not valid JSON"),
        (SHELL, "-", "[1]", 1, "an event is a JSON object"),
        (SHELL, "-", "{}\n{}", 1, "sed -n 2p FILE"),
        (SHELL, "-", '{"a":' * 3000, 1, "not valid JSON"),
        (SHELL, "-", '{"a":' * 100 + "1" + "}" * 100, 1, "nested too deeply"),
    ],
)
def test_what_cannot_be_explained_is_said(
    rule: str, event: str, given: str | None, code: int, said: str
) -> None:
    result = detector("explain", rule, event, "--rules", str(RULES), given=given)
    assert result.exit_code == code, result.output
    assert said in result.output


def test_what_an_event_says_never_drives_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\u202e[red]\nFORGED\ud800"
    result = explained(RULE | TYPES["query"], {"process.name": evil})
    assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(result.output)
    assert not any(line.startswith("FORGED") for line in result.output.splitlines())
    assert "[red]" in result.output


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["plain", "NO_COLOR"])
def test_a_terminal_shows_green_and_red_unless_told_not_to(
    environment: dict[str, str], elsewhere: Path
) -> None:
    (elsewhere / "event.json").write_text(json.dumps(shell(args=["bash", "-c"])))
    written, code = on_a_terminal(
        "explain", SHELL, "event.json", "--rules", str(RULES), **environment
    )
    assert code == 1
    assert ("\x1b[32m✓" in written, "\x1b[31m✗" in written) == ((not environment,) * 2)


def test_examples_that_only_elasticsearch_can_judge_stop_no_others(elsewhere: Path) -> None:
    indicators = {"threat_language": "lucene", "threat_query": "threat.ip:a~"}
    rules = [
        RULE | TYPES["lucene"],
        RULE | TYPES["threat_match"] | indicators | {"rule_id": "compared"},
        RULE | TYPES["query"] | {"rule_id": "other"},
    ]
    for rule in rules:
        rule["examples"] = [{"name": "x", "event": {"process.name": "bash"}, "alert": True}]
    (elsewhere / "rule.ndjson").write_text("\n".join(map(json.dumps, rules)))
    result = detector("test", "--rules", "rule.ndjson")
    assert result.exit_code == 0, result.output
    assert [line.split("  ")[0] for line in result.stdout.splitlines()[1:]] == [
        "only with --url",
        "only with --url",
        "ok",
    ]


def test_a_failing_example_of_a_sequence_shows_which_step_no_event_fits(elsewhere: Path) -> None:
    events = [{"process.name": "bash", "host.id": "h"}, {"process.name": "fish", "host.id": "h"}]
    rule = RULE | TYPES["sample"]
    rule["examples"] = [{"name": "one", "events": events, "alert": True}]
    (elsewhere / "rule.ndjson").write_text(json.dumps(rule))
    result = detector("test", "--rules", "rule.ndjson")
    assert result.exit_code == 1
    assert "  step 1 of 2 of the sample  ✓ fits event 1\n" in result.stdout
    assert "  step 2 of 2 of the sample  ✗ fits no event\n" in result.stdout
    assert "a missing  ✗ is not 1  ← decided" in result.stdout
    told = json.loads(detector("test", "--rules", "rule.ndjson", "--json").stdout)
    assert "a missing  ✗ is not 1" in told["failed"][0]["explain"]
