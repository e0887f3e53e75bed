"""Log lines: for people and for machines, and never a tool for whoever writes events or rules."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.cli.log import Logger
from detector.errors import Unavailable
from detector.model import RunRecord, Window
from detector.run.cycle import Report
from detector.settings import Log
from tests.builders import NOW

EVIL = "\x1b]0;owned\a\x9b31m[bold red]\r\n\u202e\ud800{}%s"


def run_of(name: str, **changes: Any) -> RunRecord:
    window = Window(NOW - timedelta(minutes=6), NOW)
    return RunRecord("run-1", "rule-1", name, window, NOW, "succeeded", "live", **changes)


def report(*runs: RunRecord) -> Report:
    return Report(NOW, len(runs), runs, 12)


def tell(name: str, log: Logger) -> None:
    log.cycle_finished(report(run_of(name, error=name, warnings=(name,))))
    log.cycle_failed(Unavailable(name))
    log.write("warning", name, rule=name)


def test_a_document_says_what_ecs_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    log = Logger(Log(), json=True)
    log.cycle_finished(report(run_of("A rule", error="it broke", rule_hash="1a2b")))
    log.cycle_failed(Unavailable("the cluster is away"))
    finished, run, failed = map(json.loads, capsys.readouterr().err.splitlines())
    assert list(finished)[:3] == ["@timestamp", "log.level", "message"]
    assert finished["ecs.version"]
    assert finished["service"]["name"] == "detector"
    assert finished["event"] == {"dataset": "detector.log"}
    assert finished["log.level"] == "error"
    assert finished["detector"]["alerts_created"] == 0
    assert run["rule"] == {"id": "rule-1", "name": "A rule"}
    assert run["detector"]["rule_hash"] == "1a2b"
    assert run["error"] == {"message": "it broke"}
    assert failed["error"] == {"type": "Unavailable", "message": "the cluster is away"}


@pytest.mark.parametrize(
    ("level", "least", "told"),
    [
        ("info", "info", True),
        ("info", "warning", False),
        ("error", "error", True),
        ("debug", "info", False),
        ("debug", "debug", True),
    ],
)
def test_levels_are_kept(
    level: str, least: Any, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Logger(Log(level=least)).write(level, "something")
    assert ("something" in capsys.readouterr().err) is told


def test_a_later_logger_takes_the_place_of_an_earlier_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        log = Logger(Log(format="json"))
    log.write("info", "once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_libraries_warn_of_takes_the_same_form(
    form: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Logger(Log(format=form))
    logging.getLogger("apscheduler.scheduler").error("missed \x1b[2J by %s", "3 s")
    (line,) = capsys.readouterr().err.splitlines()
    assert "missed" in line
    assert "3 s" in line
    assert "\x1b" not in line
    assert line.startswith("{") is (form == "json")


@pytest.mark.parametrize("level", ["info", "debug"])
def test_requests_are_named_at_debug_only(level: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Logger(Log(level=level, format="json"))
    logging.getLogger("elastic_transport.transport").info("POST /_msearch [status:200]")
    assert ("_msearch" in capsys.readouterr().err) is (level == "debug")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(name=st.text(min_size=1) | st.just(EVIL), form=st.sampled_from(["json", "text"]))
def test_no_name_or_reason_breaks_a_line_or_drives_a_terminal(
    name: str, form: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(name, Logger(Log(format=form)))
    written = capsys.readouterr().err
    lines = written.split("\n")
    assert len(lines) == 6
    assert lines.pop() == ""
    control = {c for c in written if unicodedata.category(c) in {"Cc", "Cf", "Cs"}}
    assert control <= {"\n"}
    if form == "json":
        assert written.isascii()
        assert json.loads(lines[-1])["message"] == name


def test_a_terminal_that_went_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "input/output error")

    log = Logger(Log(format="text"))
    monkeypatch.setattr(sys, "stderr", Gone())
    log.write("info", "nobody reads this")
