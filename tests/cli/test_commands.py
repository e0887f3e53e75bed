"""What each command prints and ends with, without a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
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
SECRET = "c2VjcmV0LXNlY3JldA"  # noqa: S105 - nobody's

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
        (("backfill", "--from", "now-1d", "--workers", "0"), 2, "greater than or equal to 1"),
        (("backfill",), 2, "--from"),
        (("once", "--rule", "nobody", "--url", CLOSED), 2, "no rule is called `nobody`"),
        (("once", "--rules", "nowhere", "--url", CLOSED), 2, "no rule to run"),
        (("compile", "nobody"), 2, "no rule is called `nobody`"),
        (("once", "--config", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("status",), 2, "--url"),
        (("gaps", "list"), 2, "--url"),
        (("gaps", "fill"), 2, "--url"),
        (("once", "--now", "whenever", "--url", CLOSED), 2, "--now: `whenever` is no time"),
        (("alerts", "list", "--since", "whenever", "--url", CLOSED), 2, "--since: `whenever`"),
        (("alerts", "list", "--severity", "bad", "--url", CLOSED), 2, "`bad` is no severity"),
        (("once", "--url", "localhost:9200"), 2, "not an http or https URL"),
        (("--url", "localhost:9200", "once"), 2, "not an http or https URL"),
        (("alerts", "--url", "localhost:9200", "list"), 2, "not an http or https URL"),
        (("setup", "--kibana-url", "localhost:5601"), 2, "not an http or https URL"),
        (("node", "--port", "99999"), 2, "--port"),
        (("init", "/proc/nowhere"), 2, "cannot use /proc/nowhere"),
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


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process of its own, where what the runner of tests catches would hide the end."""
    return subprocess.Popen(
        [sys.executable, "-m", "detector", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.slow
def test_a_cluster_that_is_down_is_said_soon_and_once() -> None:
    commands = ("once", "alerts", "setup", "status", "check")
    began = time.monotonic()
    processes = [started(command, "--rules", RULES, "--url", CLOSED) for command in commands]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert err.count("cannot be reached") == 1
        assert "Traceback" not in err
        assert out == ""
    assert time.monotonic() - began < 20


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    for command in ("test", "compile"):
        with started(command, "--rules", RULES) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
        assert process.returncode == 0
        assert "Error" not in err


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
    for line in lines:
        compiled = json.loads(line)
        assert set(compiled) == {"rule_id", "type", "index", "searches", "unsupported"}
        assert all(set(search) == {"query", "residual"} for search in compiled["searches"])


def test_json_of_check_and_test_have_their_shapes(elsewhere: Path) -> None:
    checked = json.loads(detector("check", str(broken_rule(elsewhere)), "--json").stdout)
    assert set(checked) == {"rules", "ok", "problems", "overlays"}
    (problem,) = checked["problems"]
    assert set(problem) == {"file", "line", "column", "rule_id", "level", "message", "hint"}
    assert (problem["line"], problem["column"], problem["level"]) == (10, 17, "error")
    wrong = wrong_example(elsewhere)
    tested = json.loads(detector("test", "--rules", str(wrong), "--json").stdout)
    assert set(tested) == {"rules", "examples", "failed"}
    (failed,) = tested["failed"]
    assert set(failed) == {"rule_id", "example", "expected", "got", "explain"}
    assert (failed["rule_id"], failed["expected"], failed["got"]) == (SHELL, 1, 0)


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


def wrong_example(folder: Path) -> Path:
    """The rule of the shell, with one example that claims an alert where there is none."""
    text = (packaged.find("rules") / "interactive_shell_in_container.yaml").read_text()
    file = folder / "wrong.yaml"
    file.write_text(text.replace("alert: false", "alert: true", 1))
    return file


def test_a_failing_example_is_explained(elsewhere: Path) -> None:
    result = detector("test", "--rules", str(wrong_example(elsewhere)))
    assert result.exit_code == 1
    assert "expected 1 alerts, got 0" in result.stdout
    assert "✗" in result.stdout
    assert result.stdout.count("← decided") == 1


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}])
def test_tables_off_a_terminal_neither_wrap_nor_colour(
    forced: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in forced.items():
        monkeypatch.setenv(name, value)
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


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["plain", "NO_COLOR"])
def test_a_terminal_has_colours_unless_told_not_to(environment: dict[str, str]) -> None:
    written, code = on_a_terminal("test", "--rules", RULES, **environment)
    assert code == 0
    assert "AWS Credentials Searched For Inside A Container" in written
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", written)) is not bool(environment)


def on_a_terminal(*arguments: str, **environment: str) -> tuple[str, int]:
    """What a command writes where its output is a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "detector", *arguments],
        stdout=theirs,
        stderr=theirs,
        env={name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        | {"TERM": "xterm-256color"}
        | environment,
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
        while piece := os.read(ours, 65_536):
            written += piece
    os.close(ours)
    return written.decode(), process.wait(30)


@pytest.mark.parametrize(
    "arguments",
    [
        *[(name,) for name in cli.COMMANDS if name not in {"demo", "node", "init"}],
        ("alerts", "list"),
        ("backfill", "--from", "now-1d"),
        ("once", "--config", "secret.yaml"),
        ("check", "--config", "secret.yaml"),
        ("once", "--url", f"http://elastic:{SECRET}@127.0.0.1:9"),
        ("setup", "--kibana-url", f"http://elastic:{SECRET}@127.0.0.1:9"),
        ("once", "--url", f"elastic:{SECRET}@127.0.0.1:9"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["API_KEY", "PASSWORD", "BEARER_TOKEN", "URL"])
def test_a_secret_is_never_shown(
    arguments: tuple[str, ...], name: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"http://elastic:{SECRET}@127.0.0.1:9" if name == "URL" else SECRET
    monkeypatch.setenv(f"DETECTOR_ELASTICSEARCH_{name}", value)
    (elsewhere / "secret.yaml").write_text(f"elasticsearch:\n  password: {SECRET}\n  ulr: 1\n")
    result = detector(*arguments)
    assert result.output
    assert SECRET not in result.output
    assert SECRET not in repr(result.exception)


@pytest.mark.slow
def test_a_secret_that_is_used_is_never_shown() -> None:
    commands = (
        ("once", "--rules", RULES),
        ("setup",),
        ("status",),
        ("check", "--json"),
        ("run", "--rules", "nowhere"),
        ("alerts",),
    )
    processes = [
        started(*command, "--url", CLOSED, DETECTOR_ELASTICSEARCH_API_KEY=SECRET)
        for command in commands
    ]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out + err
        assert SECRET not in out + err


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
