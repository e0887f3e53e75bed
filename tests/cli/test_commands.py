"""What each command prints and ends with, without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from detector import cli, packaged

RULES = str(packaged.find("rules"))
SHELL = "8d3d0794-c776-476b-8674-ee2e685f6470"
CLOSED = "http://127.0.0.1:9"

SHELL_QUERY = {
    "bool": {
        "filter": [
            {"term": {"event.category": "process"}},
            {"exists": {"field": "container.id"}},
            {"term": {"event.type": "start"}},
            {"terms": {"event.action": ["fork", "exec"]}},
            {"bool": {"must_not": [{"term": {"event.action": "end"}}]}},
            {"term": {"process.entry_leader.same_as_process": False}},
            {
                "bool": {
                    "minimum_should_match": 1,
                    "should": [
                        {
                            "bool": {
                                "filter": [
                                    {
                                        "wildcard": {
                                            "process.executable": {
                                                "value": "*/*sh",
                                                "case_insensitive": True,
                                            }
                                        }
                                    },
                                    {
                                        "bool": {
                                            "minimum_should_match": 1,
                                            "should": [
                                                {
                                                    "term": {
                                                        "process.args": {
                                                            "value": flag,
                                                            "case_insensitive": True,
                                                        }
                                                    }
                                                }
                                                for flag in ("-i", "-it")
                                            ],
                                        }
                                    },
                                ]
                            }
                        },
                        {
                            "wildcard": {
                                "process.args": {"value": "*/*sh", "case_insensitive": True}
                            }
                        },
                    ],
                }
            },
        ]
    }
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with no setting of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("DETECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def detector(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def broken_rule(folder: Path) -> Path:
    file = folder / "broken.yaml"
    file.write_text(
        "rule_id: 5b1f9f0a-1d5c-4b0a-8f57-0c5f0f4a2f11\nname: Broken\ndescription: d\ntype: eql\n"
        "language: eql\nindex: [logs-*]\nseverity: high\nrisk_score: 73\n"
        "query: |\n  process where lenght(user.name) > 64\n"
    )
    return file


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, "detector 0.1.0"),
        (("check", "--rules", RULES), 0, "6 rules, 6 can run"),
        (("--rules", RULES, "check"), 0, "6 rules, 6 can run"),
        (("test", "--rules", RULES), 0, "0 wrong"),
        (("once",), 2, "--url"),
        (("run",), 2, "--url"),
        (("setup",), 2, "--url"),
        (("alerts", "list"), 2, "--url"),
        (("backfill", "--from", "now-1d"), 2, "--url"),
        (("backfill", "--from", "whenever"), 2, "`whenever` is no time"),
        (("backfill", "--from", "now", "--to", "now-1d"), 2, "--from comes before --to"),
        (("backfill",), 2, "--from"),
        (("once", "--rule", "nobody", "--url", CLOSED), 2, "no rule is called `nobody`"),
        (("once", "--rules", "nowhere", "--url", CLOSED), 2, "no rule to run"),
        (("compile", "nobody"), 2, "no rule is called `nobody`"),
        (("once", "--config", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("check", "nowhere"), 1, "nowhere"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_a_command_ends_with_its_code_and_says_why(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = detector(*arguments)
    assert result.exit_code == code, result.output
    assert said in result.output


def test_a_cluster_that_is_down_is_said_without_a_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "detector", "alerts", "list", "--url", CLOSED],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 1
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_the_rule_of_the_shell_compiles_to_its_bool_query() -> None:
    compiled = json.loads(detector("compile", SHELL, "--rules", RULES, "--json").stdout)
    assert set(compiled) == {"rule_id", "type", "index", "searches", "unsupported"}
    assert compiled["index"] == ["logs-cloud_defend*"]
    (search,) = compiled["searches"]
    assert search["residual"] is None
    assert ordered(search["query"]) == ordered(SHELL_QUERY)


def ordered(value: Any) -> Any:
    """The same for the same query, whatever the order of its clauses."""
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(
            (ordered(inner) for inner in value), key=lambda v: json.dumps(v, sort_keys=True)
        )
    return value


def test_several_rules_compile_to_a_line_each() -> None:
    lines = detector("compile", "--rules", RULES, "--json").stdout.splitlines()
    assert len(lines) == 6
    assert all(json.loads(line)["searches"] for line in lines)


def test_json_of_check_and_test_have_their_shapes(elsewhere: Path) -> None:
    checked = json.loads(detector("check", str(broken_rule(elsewhere)), "--json").stdout)
    assert set(checked) == {"rules", "ok", "problems"}
    (problem,) = checked["problems"]
    assert set(problem) == {"file", "line", "column", "rule_id", "level", "message", "hint"}
    assert (problem["line"], problem["column"], problem["level"]) == (10, 17, "error")
    tested = json.loads(detector("test", "--rules", RULES, "--json").stdout)
    assert set(tested) == {"rules", "examples", "failed"}


def test_a_problem_is_shown_with_its_line_and_a_way_out(elsewhere: Path) -> None:
    result = detector("check", str(broken_rule(elsewhere)))
    assert result.exit_code == 1
    assert "broken.yaml:10:17: error: unknown function `lenght`" in result.stderr
    assert "                ^^^^^^" in result.stderr
    assert "hint: did you mean `length`?" in result.stderr


def test_one_broken_rule_does_not_stop_the_others(elsewhere: Path) -> None:
    broken_rule(elsewhere)
    result = detector("compile", "--rules", RULES, "--rules", str(elsewhere), "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 6


def test_a_failing_example_is_explained(elsewhere: Path) -> None:
    text = (packaged.find("rules") / "interactive_shell_in_container.yaml").read_text()
    (elsewhere / "rule.yaml").write_text(text.replace("alert: false", "alert: true", 1))
    result = detector("test", "--rules", str(elsewhere / "rule.yaml"))
    assert result.exit_code == 1
    assert "expected 1 alerts, got 0" in result.stdout
    assert "- " in result.stdout


def test_tables_off_a_terminal_neither_wrap_nor_colour() -> None:
    result = detector("test", "--rules", RULES)
    assert "\x1b" not in result.output
    assert any(
        line.rstrip().endswith("Interactive Exec Command Launched Against A Running Container")
        for line in result.stdout.splitlines()
    )


def test_what_a_rule_says_never_drives_the_terminal(elsewhere: Path) -> None:
    text = broken_rule(elsewhere).read_text().replace("lenght(user.name) > 64", "true")
    evil = text.replace("name: Broken", r'name: "\e]0;owned\a[bold red]Broken\r\u202e"')
    (elsewhere / "broken.yaml").write_text(evil)
    result = detector("compile", "--rules", str(elsewhere / "broken.yaml"))
    assert result.exit_code == 0, result.output
    assert not {"\x1b", "\a", "\r", "\u202e"} & set(result.output)
    assert "[bold red]Broken" in result.output


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_API_KEY", "c2VjcmV0LXNlY3JldA==")
    for arguments in (("check", "--rules", RULES), ("once",), ("compile", "--rules", RULES)):
        assert "c2VjcmV0" not in detector(*arguments).output


def test_init_makes_a_folder_that_checks_and_tests(elsewhere: Path) -> None:
    folder = elsewhere / "mine"
    assert detector("init", str(folder)).exit_code == 0
    assert (folder / ".github" / "workflows" / "detector.yml").is_file()
    os.chdir(folder)
    assert detector("check").exit_code == 0
    assert detector("test").exit_code == 0
    assert detector("init", str(folder)).exit_code == 2


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_and_option_has_help(command: str) -> None:
    result = detector(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_the_version_is_quick() -> None:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "detector", "--version"], check=True, capture_output=True)
    assert time.monotonic() - began < 2
