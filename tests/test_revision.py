"""The commit a folder is checked out at, read without git, as git tells it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from detector import packaged, rulefile
from detector.rulefile.revision import Revisions

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "detections"
    (folder / "rules" / "deep").mkdir(parents=True)
    git(folder, "init", "-q")
    rule = (packaged.find("rules") / "interactive_shell_in_container.yaml").read_text()
    (folder / "rules" / "shell.yaml").write_text(rule)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def told(folder: Path) -> str:
    commit = Revisions().of(folder)
    assert commit == git(folder, "rev-parse", "HEAD")
    return commit


def test_a_branch_is_followed(repository: Path) -> None:
    first = told(repository)
    assert told(repository / "rules" / "deep") == first
    git(repository, "commit", "-qm", "two", "--allow-empty")
    assert told(repository) != first


def test_packed_references_and_a_detached_head_are_read(repository: Path) -> None:
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    told(repository)
    git(repository, "checkout", "-q", "--detach")
    told(repository)


def test_a_second_work_tree_has_its_own(repository: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", "../side")
    side = repository.parent / "side"
    git(side, "commit", "-qm", "side", "--allow-empty")
    assert told(side) != told(repository)
    git(repository, "pack-refs", "--all")
    told(side)


@pytest.mark.parametrize(
    "head",
    ["", "nonsense", "ref: refs/heads/nowhere", "ref: ../../../../etc/passwd", "ref: refs/../HEAD"],
)
def test_what_is_no_commit_is_none(repository: Path, head: str) -> None:
    (repository / ".git" / "HEAD").write_text(head)
    assert Revisions().of(repository) == ""


def test_without_a_repository_there_is_none(tmp_path: Path) -> None:
    assert Revisions().of(tmp_path) == ""
    assert Revisions().of(tmp_path / "nowhere") == ""
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    assert Revisions().of(tmp_path) == ""


def test_rules_carry_the_commit_of_their_folder(repository: Path) -> None:
    (rule,) = rulefile.load([repository / "rules"]).rules
    assert rule.commit == git(repository, "rev-parse", "HEAD")
    assert len(rule.hash) == 16
