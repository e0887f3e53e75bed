"""A machine whose clock is not the cluster's: what commands and the daemon say of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from detector import cli, packaged
from detector.cli.clocks import Logged, Said, difference
from detector.cli.log import Logger
from detector.errors import Unavailable
from detector.settings import Log
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy

LATE = 600
"""Seconds by which the cluster's clock is behind."""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(599.6, "600 s ahead of"), (-7, "7 s behind")],
)
def test_a_difference_in_words(seconds: float, said: str) -> None:
    assert difference(timedelta(seconds=seconds)) == f"this machine's clock is {said} the cluster's"


def test_commands_warn_of_a_difference_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Said().skewed(timedelta(seconds=4))
    Said().untold(Unavailable("down"), measured=False)
    assert capsys.readouterr().err == ""
    Said().skewed(timedelta(seconds=9))
    assert capsys.readouterr().err.startswith("warning: this machine's clock is 9 s ahead of")


def test_a_log_has_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    told = Logged(Logger(Log(format="json")))
    told.skewed(timedelta(seconds=9))
    told.skewed(timedelta(seconds=1))
    told.untold(Unavailable("down"), measured=False)
    told.untold(Unavailable("down"), measured=True)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["log.level"], line["message"]) for line in lines] == [
        ("warning", "this machine's clock is 9 s ahead of the cluster's"),
        ("info", "this machine's clock is the cluster's again"),
        ("warning", "the cluster's clock cannot be read, this machine's stands in: down"),
        ("warning", "the cluster's clock cannot be read, what was last measured goes on: down"),
    ]
    assert lines[0]["detector"] == {"ahead_s": 9.0}


def set_back(request: proxy.Request, _: proxy.Answer | None) -> None:
    """The node answers as if its clock were `LATE` behind."""
    stamp = int((time.time() - LATE) * 1000)
    body = json.dumps({"nodes": {"n": {"timestamp": stamp}}}).encode()
    request.send(proxy.Answer(200, list(proxy.JSON.items()), body))


@pytest.fixture
def behind(es: Elasticsearch, node_url: str, tmp_path: Path) -> Iterator[list[str]]:
    """The options of a command on a cluster whose clock is behind."""
    text = (packaged.find("rules") / "interactive_shell_in_container.yaml").read_text()
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "rule.yaml").write_text(text)
    es.cluster.health(wait_for_no_initializing_shards=True)
    with Proxy(node_url) as between:
        between.inject(Fault("GET /_nodes/stats", set_back, times=1_000))
        options = ["--url", between.url, "--rules", str(rules)]
        assert CliRunner().invoke(cli.app, ["setup", *options[:2]]).exit_code == 0
        yield options


@pytest.mark.node
def test_a_command_warns_of_a_fast_machine(behind: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["once", *behind, "--json"])
    assert result.exit_code == 0, result.output
    assert "this machine's clock is 600 s ahead of the cluster's" in result.stderr
    assert json.loads(result.stdout)


@pytest.mark.node
def test_a_daemon_logs_that_the_machine_is_fast(behind: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DETECTOR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "detector", "run", *behind, "--json"],
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        lines = _until(process, "watching with")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
    (line,) = [line for line in lines if "clock" in line["message"]]
    assert line["log.level"] == "warning"
    assert line["message"] == "this machine's clock is 600 s ahead of the cluster's"


def _until(process: subprocess.Popen[bytes], said: str) -> list[dict[str, Any]]:
    """The lines of the log up to one that says so, or to its end."""
    lines: list[dict[str, Any]] = []
    for line in process.stderr or ():
        lines.append(json.loads(line))
        if said in lines[-1]["message"]:
            return lines
    raise AssertionError(lines)
