"""A folder in, the git commit it is checked out at out; read from `.git`, no program is run."""

from __future__ import annotations

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/[^\s\0]+")
_LIMIT = 10_000_000  # packed-refs of a large repository has megabytes


class Revisions:
    """Remembers what it has found, since rules share folders."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, folder: Path) -> str:
        """The commit `folder` is checked out at; empty where there is none or it cannot be read."""
        if folder not in self._known:
            self._known[folder] = self._find(folder.resolve())
        return self._known[folder]

    def _find(self, folder: Path) -> str:
        try:
            inside = _git(folder / ".git")
            if inside is None:
                return "" if folder == folder.parent else self.of(folder.parent)
            return _head(inside)
        except (OSError, UnicodeDecodeError):
            return ""


def _git(path: Path) -> Path | None:
    """Where the repository's own files are: work trees and submodules name it in a file."""
    if path.is_dir():
        return path
    if not path.is_file():
        return None
    return path.parent / _read(path).removeprefix("gitdir:").strip()


def _head(git: Path) -> str:
    """https://git-scm.com/docs/gitrepository-layout: HEAD, refs, packed-refs, commondir."""
    head = _read(git / "HEAD").strip()
    if _COMMIT.fullmatch(head):
        return head
    name = head.removeprefix("ref:").strip()
    if not _REF.fullmatch(name) or ".." in name:
        return ""
    common = git / "commondir"
    shared = git / _read(common).strip() if common.is_file() else git
    for place in (git, shared):
        if (place / name).is_file():
            found = _read(place / name).strip()
            return found if _COMMIT.fullmatch(found) else ""
    return _packed(shared / "packed-refs", name)


def _packed(file: Path, name: str) -> str:
    if not file.is_file():
        return ""
    for line in _read(file).splitlines():
        commit, _, named = line.partition(" ")
        if named == name and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LIMIT).decode()
