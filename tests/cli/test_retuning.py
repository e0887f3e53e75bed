"""Exceptions, value lists and overlays that change, or end, under a running daemon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detector.cli.reloading import RuleFiles
from detector.model import Rule
from detector.rulefile.tuning import Tuning

RULE = """
rule_id: a
name: Rule a
description: A shell was started in a container.
type: query
index: [logs-*]
severity: high
risk_score: 73
query: event.category:process
"""
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BY_LIST = "{all: true, reason: r, values: [{field: host.name, list: known}]}"


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def write(self, level: str, message: str, **about: object) -> None:  # noqa: ARG002
        self.lines.append((level, message))


class Folder:
    """A rule with what tunes it, a clock for looks and one for the time of day."""

    def __init__(self, path: Path) -> None:
        self.path, self.log, self.steady, self.time = path, Lines(), 0.0, NOW
        self.write("rules/a.yaml", RULE)
        tuning = Tuning((path / "exceptions",), (path / "overlays",))
        for name in ("exceptions", "overlays"):
            (path / name).mkdir()
        self.files = RuleFiles(
            [path / "rules"], self.log, tuning=tuning, look=5, settle=1,
            steady=lambda: self.steady, clock=lambda: self.time,
        )  # fmt: skip

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def settled(self) -> Rule:
        for seconds in (5, 1):
            self.steady += seconds
            (rule,) = self.files.rules()
        return rule


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_new_exceptions_lists_and_overlays_are_taken_up(folder: Folder) -> None:
    before = folder.settled()
    folder.write("exceptions/lists/known.txt", "a\n")
    folder.write("exceptions/a.yaml", BY_LIST)
    excepted = folder.settled()
    folder.write("exceptions/lists/known.txt", "a\nb\n")
    longer = folder.settled()
    folder.write("overlays/a.yaml", "overlays: [{select: {id: a}, patch: {mode: shadow}}]")
    shadow = folder.settled()
    assert len({rule.hash for rule in (before, excepted, longer, shadow)}) == 4
    assert shadow.shadow
    assert folder.log.lines == [("info", "rules taken up: changed Rule a")] * 3


def test_an_exception_ends_without_a_change_of_files(folder: Folder) -> None:
    before = folder.settled()
    folder.write(
        "exceptions/a.yaml", "{all: true, reason: r, query: 'host.name:a', expires: 2026-12-20}"
    )
    assert folder.settled().where != before.where
    folder.time = NOW + timedelta(days=24)
    assert folder.settled().where != before.where
    level, said = folder.log.lines.pop()
    assert level == "warning"
    assert "exceptions/a.yaml:1:55: the exception `r` ends (2026-12-20)" in said
    folder.time = datetime(2026, 12, 21, tzinfo=UTC)
    assert folder.settled().where == before.where
    assert "has ended" in folder.log.lines[-2][1]
    assert folder.log.lines[-1] == ("info", "rules taken up: changed Rule a")


def test_while_what_tunes_is_faulty_all_goes_on_as_it_was(folder: Folder) -> None:
    folder.write(
        "overlays/a.yaml", "overlays: [{select: {id: a}, patch: {enabled: true, risk_score: 1}}]"
    )
    good = folder.settled()
    assert good.risk_score == 1
    folder.write("overlays/a.yaml", "overlays: [{select: {id: a}, patch: {risk_score: much}}]")
    folder.write("rules/b.yaml", RULE.replace("rule_id: a", "rule_id: b"))
    folder.log.lines.clear()
    assert folder.settled() is good
    assert [level for level, _ in folder.log.lines] == ["error", "error"]
    assert folder.log.lines[1][1].endswith("all rules go on as they were")
    folder.write("overlays/a.yaml", "overlays: [{select: {id: a}, patch: {risk_score: 2}}]")
    (folder.path / "rules" / "b.yaml").unlink()
    assert folder.settled().risk_score == 2


def test_an_exception_that_is_faulty_from_the_start_holds_nothing_up(folder: Folder) -> None:
    folder.write("exceptions/a.yaml", "{all: true}")
    tuning = Tuning((folder.path / "exceptions",))
    files = RuleFiles([folder.path / "rules"], folder.log, tuning=tuning)
    assert [rule.rule_id for rule in files.rules()] == ["a"]
    assert files.loaded.problems


def test_a_list_that_turns_up_ends_the_warning(folder: Folder) -> None:
    named = "exceptions_list: [{id: x, list_id: l, type: detection, namespace_type: single}]\n"
    folder.write("rules/a.yaml", RULE + named)
    assert len(folder.settled().warnings) == 1
    folder.write("exceptions/l.ndjson", '{"list_id": "l", "type": "detection"}\n')
    assert folder.settled().warnings == ()
