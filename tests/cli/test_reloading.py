"""Rule files that change under a running daemon: taken up whole, or not at all and said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.cli.reloading import RuleFiles
from detector.model import Rule

RULE = """
rule_id: {id}
name: Rule {id}
description: A shell was started in a container.
type: eql
language: eql
index: [logs-cloud_defend*]
interval: {interval}
from: now-10m
severity: high
risk_score: 73
query: process where process.name == "{query}"
"""


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def write(self, level: str, message: str, **about: object) -> None:  # noqa: ARG002
        self.lines.append((level, message))

    def take(self) -> list[tuple[str, str]]:
        lines, self.lines = self.lines, []
        return lines


class Folder:
    """A folder of rules, and a clock that stands still between looks."""

    def __init__(self, path: Path) -> None:
        self.path, self.log, self.now = path, Lines(), 0.0
        self.write("a")
        self.write("b")
        self.files = RuleFiles([path], self.log, look=5, settle=1, steady=lambda: self.now)

    def write(self, id_: str, *, query: str = "bash", interval: str = "5m", file: str = "") -> None:
        text = RULE.format(id=id_, query=query, interval=interval)
        (self.path / (file or f"{id_}.yaml")).write_text(text)

    def after(self, seconds: float) -> dict[str, Rule]:
        self.now += seconds
        return {rule.rule_id: rule for rule in self.files.rules()}

    def settled(self) -> dict[str, Rule]:
        self.after(5)
        return self.after(1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "rules").mkdir()
    return Folder(tmp_path / "rules")


def test_nothing_changes_while_files_do_not(folder: Folder) -> None:
    before = folder.after(0)
    after = folder.settled()
    assert after == before, "the same objects"
    assert not folder.log.lines


def test_new_changed_and_removed_rules_are_taken_up_and_named(folder: Folder) -> None:
    before = folder.after(0)
    folder.write("c")
    folder.write("b", query="zsh", interval="1m")
    (folder.path / "a.yaml").unlink()
    after = folder.settled()
    assert set(after) == {"b", "c"}
    assert after["b"].interval.total_seconds() == 60
    assert after["b"] is not before["b"]
    assert folder.log.take() == [
        ("info", "rules taken up: added Rule c; changed Rule b; removed Rule a")
    ]


def test_a_rule_that_means_the_same_is_not_changed(folder: Folder) -> None:
    before = folder.after(0)
    with (folder.path / "a.yaml").open("a") as file:
        file.write("# a comment\n")
    assert folder.settled() == before
    assert not folder.log.lines


def test_looking_is_rare_and_a_change_must_come_to_rest(folder: Folder) -> None:
    folder.write("c")
    assert "c" not in folder.after(4.9)
    assert "c" not in folder.after(0.1), "seen, and perhaps still being written"
    folder.write("c", query="zsh")
    assert "c" not in folder.after(1), "it was"
    assert "c" in folder.after(1)


def test_a_broken_file_keeps_its_last_good_version_and_is_said_once(folder: Folder) -> None:
    before = folder.after(0)
    folder.write("a", query='x" and lenght(y)')
    folder.write("c")
    after = folder.settled()
    assert set(after) == {"a", "b", "c"}
    assert after["a"] is before["a"]
    errors = [message for level, message in folder.log.take() if level == "error"]
    assert errors
    assert all(message.startswith(f"{folder.path / 'a.yaml'}:") for message in errors)
    assert all("the last good version goes on" in message for message in errors)
    folder.write("b", query="zsh")
    assert folder.settled()["a"] is before["a"]
    assert folder.log.take() == [("info", "rules taken up: changed Rule b")], "said once"
    folder.write("a", query="dash")
    mended = folder.settled()["a"]
    assert mended.query == 'process where process.name == "dash"'
    assert folder.log.take() == [
        ("info", f"{folder.path / 'a.yaml'}: no longer broken"),
        ("info", "rules taken up: changed Rule a"),
    ]
    folder.write("a", query='x" and lenght(y)')
    folder.settled()
    assert [level for level, _ in folder.log.take()] == ["error"] * len(errors), "said again"


def test_of_a_file_with_many_rules_all_or_none_are_taken_up(folder: Folder) -> None:
    first = '{"rule_id": "x", "name": "X", "description": "d", "type": "eql", "language": "eql", '
    rest = '"index": ["logs"], "severity": "low", "risk_score": 1, "query": "any where true"}\n'
    many = folder.path / "many.ndjson"
    many.write_text(first + rest + first.replace('"x"', '"y"') + rest)
    before = folder.settled()
    assert set(before) == {"a", "b", "x", "y"}
    many.write_text(first.replace('"X"', '"Z"') + rest + first.replace('"x"', '"y"'))
    assert folder.settled() == before
    many.write_text(first.replace('"X"', '"Z"') + rest)
    after = folder.settled()
    assert set(after) == {"a", "b", "x"}
    assert after["x"].name == "Z"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder.path / "a.yaml").unlink() or (folder.path / "b.yaml").unlink(),
        lambda folder: folder.path.rename(folder.path.with_name("elsewhere")),
    ],
    ids=["an empty folder", "no folder"],
)
def test_where_no_rule_is_left_the_last_ones_go_on(
    folder: Folder, damage: Callable[[Folder], object]
) -> None:
    before = folder.after(0)
    damage(folder)
    assert folder.settled() == before
    assert [level for level, _ in folder.log.take()].count("error") == 1
    assert folder.settled() == before
    assert not folder.log.lines


def test_an_unreadable_file_is_a_broken_one(folder: Folder) -> None:
    before = folder.after(0)
    (folder.path / "a.yaml").write_bytes(b"\xff\xfe\x00rule_id")
    assert folder.settled() == before
    assert [level for level, _ in folder.log.take()] == ["error"]


def test_a_file_that_was_never_good_gives_what_can_be_used(folder: Folder) -> None:
    good = RULE.format(id="c", query="bash", interval="5m")
    (folder.path / "new.yaml").write_text(good + "---" + RULE.format(id="", query="", interval=""))
    after = folder.settled()
    assert set(after) - {"c"} == {"a", "b"}
    assert any(level == "error" for level, _ in folder.log.take())


def test_a_rule_moves_to_another_file(folder: Folder) -> None:
    (folder.path / "a.yaml").rename(folder.path / "moved.yaml")
    assert folder.settled()["a"].file == folder.path / "moved.yaml"
    folder.write("b", query="zsh", file="b2.yaml")
    (folder.path / "b.yaml").write_text("rule_id: [")
    after = folder.settled()
    assert after["b"].file == folder.path / "b2.yaml"


def test_a_file_renamed_and_broken_at_once_loses_no_rule(folder: Folder) -> None:
    before = folder.after(0)
    (folder.path / "a.yaml").unlink()
    folder.write("a", query='x" and lenght(y)', file="renamed.yaml")
    assert folder.settled() == before
    told = folder.log.take()
    assert "error" in {level for level, _ in told}
    (warning,) = [message for level, message in told if level == "warning"]
    assert "Rule a is in no file any more, perhaps in " in warning
    assert f"{folder.path / 'renamed.yaml'}, which is broken" in warning
    (folder.path / "renamed.yaml").rename(folder.path / "again.yaml")
    folder.write("b", query="zsh")
    assert folder.settled()["a"] is before["a"]
    assert [level for level, _ in folder.log.take()].count("warning") == 0, "said once"
    folder.write("a", query="dash", file="again.yaml")
    assert folder.settled()["a"].file == folder.path / "again.yaml"


def test_a_rule_that_was_missed_goes_when_no_new_file_is_broken_any_more(folder: Folder) -> None:
    (folder.path / "a.yaml").unlink()
    (folder.path / "new.yaml").write_text("rule_id: [")
    assert set(folder.settled()) == {"a", "b"}
    folder.write("c", file="new.yaml")
    assert set(folder.settled()) == {"b", "c"}, "it was another rule"


def test_a_file_that_has_long_been_broken_keeps_no_rule_that_is_removed(folder: Folder) -> None:
    (folder.path / "new.yaml").write_text("rule_id: [")
    folder.settled()
    (folder.path / "a.yaml").unlink()
    assert set(folder.settled()) == {"b"}


def test_a_file_replaced_with_equal_size_and_time_is_seen(folder: Folder) -> None:
    file = folder.path / "a.yaml"
    stat = file.stat()
    folder.write("a", query="dash", file="a.tmp")
    (folder.path / "a.tmp").rename(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert "dash" in str(folder.settled()["a"].query)


def test_a_commit_alone_is_taken_up_and_changes_no_rule(folder: Folder) -> None:
    git = folder.path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("a" * 40 + "\n")
    assert {rule.commit for rule in folder.settled().values()} == {"a" * 40}
    assert not folder.log.lines


def test_a_look_that_is_asked_for_is_taken_at_once(folder: Folder) -> None:
    folder.write("c")
    folder.files.look_now()
    assert "c" in folder.after(0)
    folder.files.look_now()
    before = folder.after(0)
    assert folder.after(0) == before
