"""Overlays and exceptions, which change rules and not their files -> the rules as they run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from detector.errors import Place
from detector.language import tree
from detector.model import Problem, Rule
from detector.rulefile import overlays, queries
from detector.rulefile.exceptions import Applied, Exceptions
from detector.rulefile.overlays import Effect, Overlays, Tuned
from detector.rulefile.report import Report
from detector.text import file as textfile
from detector.text.document import Text

EXCEPTIONS, OVERLAYS = Path("exceptions"), Path("overlays")
"""Where they are when nobody says so; these need not exist."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Files and folders of exceptions and overlays, and how exceptions are judged.

    With `hold`, a rule does not run while some of its exceptions cannot be found or read. Without
    `now` no exception ends.
    """

    exceptions: tuple[Path, ...] = ()
    overlays: tuple[Path, ...] = ()
    hold: bool = False
    now: datetime | None = None

    def folders(self) -> list[Path]:
        """Beside which value lists lie."""
        return [path if textfile.is_folder(path) else path.parent for path in self.exceptions]

    def files(self, report: Report | None = None) -> list[Path]:
        """All that is read, value lists included."""
        report = report or Report()
        lists = Exceptions(self.folders(), report, None).lists.files
        return [
            *_files(self.exceptions, (".yaml", ".yml", ".ndjson"), report),
            *_files(self.overlays, (".yaml", ".yml"), report),
            *lists,
        ]


UNCHANGED = Applied(None, "", ())


class Tuner:
    """Overlays are applied to each rule as it is read, exceptions when all have been."""

    def __init__(self, tuning: Tuning, report: Report) -> None:
        self._tuning = tuning
        self._report = report
        self._overlays = Overlays(report)
        self._exceptions = Exceptions(tuning.folders(), report, tuning.now)
        self._packages: list[str] = []
        self._tuned: dict[tuple[str, str], Tuned] = {}

    def read(self) -> None:
        """Read what there is, before any rule."""
        for file in _files(self._tuning.exceptions, (".yaml", ".yml", ".ndjson"), self._report):
            self._exceptions.read(file)
        for file in _files(self._tuning.overlays, (".yaml", ".yml"), self._report):
            self._overlays.read(file)

    def enter(self, texts: Sequence[Text]) -> None:
        """Take what a file of rules says beside them: exceptions in an export, TOML's metadata."""
        self._packages = [name for text in texts for name in overlays.packages(text.data)]
        for text in texts:
            self._exceptions.exported(text)

    def overlaid(self, text: Text) -> Text:
        """The rule in `text` as overlays have it; what is no mapping is none."""
        if not isinstance(text.data, dict):
            return text
        tuned = self._overlays.apply(text, self._packages)
        self._tuned.setdefault((text.file, str(text.data.get("rule_id"))), tuned)
        return tuned.text

    @property
    def digest(self) -> str:
        """Of the overlays that `overlaid` applies."""
        return self._overlays.digest

    def narrowed(self, rules: Sequence[Rule]) -> list[Rule]:
        """The rules without what their exceptions mute."""
        return [self._narrowed(rule) for rule in rules]

    def missed(self) -> None:
        """Report overlays and exceptions that no rule has."""
        for effect in self._overlays.effects():
            if not effect.rules:
                hint = "all keys of a selection must hold; take it out where its rules are gone"
                self._report.add("this overlay hits no rule", effect.place, hint)
        for item in self._exceptions.unused():
            message = f"no rule has the exception `{item.name}`"
            self._report.add(message, item.place, level="warning")

    def noteworthy(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Without the warnings about rules that nobody has chosen."""
        left_out = self._overlays.left_out
        return (p for p in problems if p.level == "error" or p.rule_id not in left_out)

    def effects(self) -> tuple[Effect, ...]:
        """What each overlay has hit."""
        return self._overlays.effects()

    @property
    def until(self) -> datetime | None:
        """When reading the same again would give something else: an exception ends, or soon."""
        return self._exceptions.expiry.until

    @property
    def faultless(self) -> bool:
        """Whether nothing of overlays, exceptions or lists was an error so far."""
        files = {str(file) for file in self._tuning.files()}
        roots = {str(path) for path in (*self._tuning.exceptions, *self._tuning.overlays)}
        wrong = {one.file for one in self._report.problems if one.level == "error"}
        return wrong.isdisjoint(files | roots)

    def _narrowed(self, rule: Rule) -> Rule:
        applied = self._applied(rule)
        if applied.warnings and self._tuning.hold and rule.unsupported is None:
            held = f"held: {applied.warnings[0]}"
            return replace(rule, where=None, unsupported=held)
        if applied == UNCHANGED and not rule.shadow:
            return rule
        rule = replace(rule, warnings=applied.warnings, hash=_hash(rule, applied))
        if applied.muted is None or rule.where is None:
            return rule
        return replace(rule, where=queries.narrowed(rule.where, tree.Not(applied.muted)))

    def _applied(self, rule: Rule) -> Applied:
        tuned = self._tuned[str(rule.file), rule.rule_id]
        own = tuned.text.data.get("exceptions") or []
        texts = (tuned.text.at(("exceptions",), own), *tuned.exceptions)
        items = [item for text in texts for item in self._exceptions.written(text, alone=True)]
        return self._exceptions.of(rule, items, tuned.text)


def _hash(rule: Rule, applied: Applied) -> str:
    """Rules that nothing has tuned keep the hash of their own content."""
    if not applied.digest and not rule.shadow:
        return rule.hash
    meaning = f"{rule.hash} {rule.shadow} {applied.digest}"
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def _files(paths: Sequence[Path], suffixes: tuple[str, ...], report: Report) -> Iterator[Path]:
    for path in paths:
        if textfile.is_folder(path):
            yield from sorted(_below(path, suffixes, report))
        elif textfile.is_file(path):
            yield path
        elif path not in {EXCEPTIONS, OVERLAYS}:
            report.add("no such file or folder", Place(1, 1, file=str(path)))


def _below(folder: Path, suffixes: tuple[str, ...], report: Report) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        report.add(f"cannot be read: {reason}", Place(1, 1, file=str(error.filename)))

    for above, below, names in os.walk(folder, onerror=unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        hidden = (name for name in names if not name.startswith("."))
        yield from (Path(above, name) for name in hidden if Path(name).suffix in suffixes)
