"""Rule files in, the rules they hold by now out: what changes is taken up, what breaks is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from detector import rulefile
from detector.model import Problem, Rule
from detector.rulefile import Loaded
from detector.rulefile.revision import Revisions
from detector.rulefile.tuning import Tuning

LOOK, SETTLE = 5.0, 1.0
"""Seconds between two looks at the files, and for which a change must have come to rest."""
NAMED = 10

Mark: TypeAlias = dict[Path, tuple[int | str, ...]]
"""What tells a changed file: its times, size and number, and the git commit, by path."""


Missed: TypeAlias = dict[str, set[Path]]
"""By rule id: the broken files of which one may hold it."""


class Log(Protocol):
    """Where it is said."""

    def write(self, level: str, message: str, **about: object) -> None: ...


class RuleFiles:
    """The rules in `paths`, as `run.daemon.RuleSource` wants them; `loaded` is how it began.

    A changed set is taken up whole, at once, when the files have come to rest. A file with an error
    keeps the rules of its last good version, all of them, and each error is said once until it is
    mended. A rule that vanishes while a new file is broken may be in that: it goes on as well.
    Where nothing could run any more, what ran goes on.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        log: Log,
        *,
        tuning: Tuning = rulefile.UNTUNED,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        look: float = LOOK,
        settle: float = SETTLE,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = list(paths)
        self._tuning, self._clock = tuning, clock
        self._mark = self._moving = self._marked()  # first: a change while they are read is seen
        self.loaded = self._load()
        self._until, self._tuned = self.loaded.until, self.loaded.tuned
        self._rules = list(self.loaded.rules)
        self._said = set(self.loaded.problems)
        self._missed: Missed = {}
        self._log = log
        self._look, self._settle = look, settle
        self._steady = steady
        self._next = steady() + look
        self._forced = False

    def rules(self) -> Sequence[Rule]:
        if self._forced or self._steady() >= self._next:
            self._take_up_changes()
        return self._rules

    def look_now(self) -> None:
        """Read the files with the next question, changed or not, at rest or not."""
        self._forced = True

    def _take_up_changes(self) -> None:
        forced, self._forced = self._forced, False
        mark = self._marked()
        changed, at_rest = mark != self._mark, mark == self._moving
        self._moving = mark
        self._next = self._steady() + (self._settle if changed and not at_rest else self._look)
        ended = self._until is not None and self._clock() >= self._until
        if forced or ended or (changed and at_rest):
            self._mark = mark
            self._read()

    def _read(self) -> None:
        loaded = self._load()
        self._until = loaded.until
        missed, self._missed = self._missed, self._missing(loaded)
        self._say(loaded.problems)
        self._say_missed(missed)
        if self._tuned and not loaded.tuned:
            said = "overlays or exceptions have become faulty: all rules go on as they were"
            self._log.write("error", said)
            return
        self._tuned = loaded.tuned
        rules = merged(self._rules, loaded, self._missed)
        if not any(rule.enabled and not rule.unsupported for rule in rules):
            self._log.write("error", "the rule files hold no rule to run: the last rules go on")
            return
        old, self._rules = self._rules, rules
        self._tell(old)

    def _missing(self, loaded: Loaded) -> Missed:
        """The rules that are in no file any more, but may be in one that is new and broken."""
        broken = _broken(loaded.problems)
        new = broken - _broken(self._said) - {rule.file for rule in self._rules}
        gone = {rule.rule_id for rule in self._rules}
        gone -= {rule.rule_id for rule in merged(self._rules, loaded)}
        found = {id_: (self._missed.get(id_, set()) | new) & broken for id_ in gone}
        return {id_: files for id_, files in found.items() if files}

    def _say_missed(self, before: Missed) -> None:
        for rule in self._rules:
            if rule.rule_id in self._missed.keys() - before.keys():
                files = sorted(self._missed[rule.rule_id])
                names = ", ".join(str(file) for file in files[:NAMED])
                said = f"{rule.name} is in no file any more, perhaps in {names}, which is broken"
                said = f"{said}: its last good version goes on until that is mended"
                self._log.write("warning", said, rule_id=rule.rule_id, file=names)

    def _load(self) -> Loaded:
        tuning = replace(self._tuning, now=self._clock())
        return rulefile.load(self._paths, tuning, cached=True)

    def _marked(self) -> Mark:
        return _mark(rulefile.files(self._paths, self._tuning))

    def _say(self, problems: Iterable[Problem]) -> None:
        now = set(problems)
        held = {rule.file for rule in self._rules}
        for problem in sorted(now - self._said, key=lambda p: (p.file or "", p.line or 0)):
            about = {"file": problem.file, "line": problem.line, "rule_id": problem.rule_id}
            goes_on = any(_is_below(file, _broken([problem])) for file in held)
            self._log.write(problem.level, said(problem, goes_on=goes_on), **about)
        for file in sorted(_broken(self._said) - _broken(now)):
            self._log.write("info", f"{file}: no longer broken", file=str(file))
        self._said = now

    def _tell(self, old: Sequence[Rule]) -> None:
        before = {rule.rule_id: rule for rule in old}
        after = {rule.rule_id: rule for rule in self._rules}
        both = before.keys() & after.keys()
        changes = {
            "added": [rule for id_, rule in after.items() if id_ not in both],
            "changed": [after[id_] for id_ in after if id_ in both and _differ(id_, before, after)],
            "removed": [rule for id_, rule in before.items() if id_ not in both],
        }
        parts = [f"{what} {_names(rules)}" for what, rules in changes.items() if rules]
        if parts:
            ids = {what: [rule.rule_id for rule in rules] for what, rules in changes.items()}
            self._log.write("info", f"rules taken up: {'; '.join(parts)}", **ids)


def merged(last: Sequence[Rule], loaded: Loaded, missed: Collection[str] = ()) -> list[Rule]:
    """The rules to go on with: those just loaded, and for a broken file those it held before.

    Those whose ids are `missed` go on where they are not among the loaded. A rule that means the
    same stays the same object. A file that was never good gives what can be used of it, as at a
    start.
    """
    broken = _broken(loaded.problems)
    known = {rule.rule_id: rule for rule in last}
    was_good = {rule.file for rule in last} & broken
    fresh = [rule for rule in loaded.rules if rule.file not in was_good]
    ids = {rule.rule_id for rule in fresh}
    lost = [rule for rule in last if rule.rule_id not in ids]
    kept = [rule for rule in lost if _is_below(rule.file, broken) or rule.rule_id in missed]
    return [_same(known.get(rule.rule_id), rule) for rule in fresh] + kept


def said(problem: Problem, *, goes_on: bool) -> str:
    """A problem in one line: place, message, whether older rules go on, the way out."""
    place = ":".join(str(p) for p in (problem.file, problem.line, problem.column) if p is not None)
    then = "; the last good version goes on" if goes_on else ""
    hint = f" (hint: {problem.hint})" if problem.hint else ""
    return f"{place}{': ' if place else ''}{problem.message}{then}{hint}"


def _same(old: Rule | None, new: Rule) -> Rule:
    return new if old is None or _content(old) != _content(new) else old


def _content(rule: Rule) -> tuple[object, ...]:
    return rule.hash, rule.file, rule.commit, rule.warnings, rule.unsupported


def _differ(rule_id: str, before: Mapping[str, Rule], after: Mapping[str, Rule]) -> bool:
    return before[rule_id].hash != after[rule_id].hash


def _broken(problems: Iterable[Problem]) -> set[Path]:
    return {Path(p.file) for p in problems if p.file and p.level == "error"}


def _is_below(file: Path | None, broken: set[Path]) -> bool:
    """Whether a file is broken, or a folder that holds it cannot be read."""
    return file is not None and not broken.isdisjoint((file, *file.parents))


def _names(rules: Sequence[Rule]) -> str:
    more = f" and {len(rules) - NAMED} more" if len(rules) > NAMED else ""
    return ", ".join(rule.name for rule in rules[:NAMED]) + more


def _mark(files: Sequence[Path]) -> Mark:
    mark: Mark = {}
    revisions = Revisions()
    commits = {folder: revisions.of(folder) for folder in {file.parent for file in files}}
    for file in files:
        try:
            stat = file.stat()
        except OSError:  # gone since it was listed
            continue
        times = stat.st_mtime_ns, stat.st_ctime_ns
        mark[file] = (*times, stat.st_size, stat.st_ino, commits[file.parent])
    return mark
