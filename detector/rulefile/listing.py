"""Files and folders -> the rule files in them, each once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from detector.errors import Place
from detector.rulefile import examples
from detector.rulefile.report import Report
from detector.text import file as textfile


def files(paths: Sequence[Path], report: Report) -> Iterator[Path]:
    """The rule files at `paths` and, recursively, below; those of a folder ordered by path.

    What is none, or cannot be looked at, goes into `report` when its turn comes.
    """
    seen: set[Path] = set()
    resolved = cache(Path.resolve)
    for path in paths:
        for file in _at(path, report):
            linked = file.is_symlink()
            place = file.resolve() if linked else resolved(file.parent) / file.name
            if place not in seen:
                seen.add(place)
                yield file


def _at(path: Path, report: Report) -> list[Path]:
    try:
        return _below(path, report) if path.is_dir() else _named(path, report)
    except OSError as error:
        _unreadable(error, path, report)
        return []


def _unreadable(error: OSError, path: Path, report: Report) -> None:
    reason = (error.strerror or str(error)).lower()
    report.add(f"cannot be read: {reason}", Place(1, 1, file=str(path)))


def _below(path: Path, report: Report) -> list[Path]:
    """The rule files in a folder and below; a folder that may not be read is a problem."""
    found: list[Path] = []
    for above, below, names in os.walk(
        path, onerror=lambda error: _unreadable(error, Path(error.filename), report)
    ):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [file for name in names if _is_rule_file(file := Path(above, name))]
    if not found:
        report.add(f"no rule files in {path}", Place(1, 1, file=str(path)), level="warning")
    return sorted(found)


def _named(path: Path, report: Report) -> list[Path]:
    if not path.exists():
        report.add("no such file or folder", Place(1, 1, file=str(path)))
        return []
    if path.suffix not in textfile.FORMS or path.stem.endswith(examples.SUFFIX):
        known = ", ".join(textfile.FORMS)
        hint = f"rules are read from {known}; name the rule file itself"
        report.add("not a rule file", Place(1, 1, file=str(path)), hint)
        return []
    return [path]


def _is_rule_file(file: Path) -> bool:
    named = file.suffix in textfile.FORMS and not file.stem.endswith(examples.SUFFIX)
    if not named or file.name.startswith("."):
        return False
    try:
        return file.is_file()
    except OSError:
        return True  # who reads it says why that cannot be done
