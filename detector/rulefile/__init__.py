"""Files and folders of rules (YAML, TOML, NDJSON) -> rules, and every problem with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from detector import packaged
from detector.errors import Place
from detector.model import Problem, Rule
from detector.rulefile import cachefile, examples, forms, listing
from detector.rulefile.cache import Cache, Reading, Source
from detector.rulefile.overlays import Effect
from detector.rulefile.report import Report
from detector.rulefile.revision import Revisions
from detector.rulefile.tuning import Tuner, Tuning
from detector.text import file as textfile
from detector.text.document import Text

UNTUNED = Tuning()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rules that can be used or at least be named, and what is wrong with all that was read.

    `effects` is what overlays have hit. Reading the same again gives something else from `until`
    on. `tuned` says that overlays, exceptions and value lists could all be read.
    """

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]
    effects: tuple[Effect, ...] = ()
    until: datetime | None = None
    tuned: bool = True


def find(options: Sequence[Path], configured: Sequence[Path]) -> list[Path]:
    """Where rules are: the options, else the configuration, else `./rules`, else the package's."""
    if options or configured:
        return list(options or configured)
    return [Path("rules") if Path("rules").is_dir() else packaged.find("rules")]


def load(paths: Sequence[Path], tuning: Tuning = UNTUNED, *, cached: bool = False) -> Loaded:
    """The rules in files and, recursively, folders; ordered by path, never raising.

    A rule of a type that cannot run yet is loaded with `unsupported` and a warning. A rule with an
    error is left out; a faulty example is left out of its rule. That an overlay hits nothing is an
    error, unless single files were named. With `cached`, files that have been read before are not
    read again, and what was read is kept for the next time.
    """
    cache = Cache(cachefile.of(paths) if cached else None)
    reader = _Reader(tuning, cache)
    tuner = reader.tuner
    tuner.read()
    for file in listing.files(paths, reader.report):
        reader.file(file)
    cache.save()
    rules, tuned = tuner.narrowed(reader.rules), tuner.faultless
    if any(map(textfile.is_folder, paths)):
        tuner.missed()
    problems = tuple(tuner.noteworthy(reader.report.problems))
    return Loaded(tuple(rules), problems, tuner.effects(), tuner.until, tuned)


def files(paths: Sequence[Path], tuning: Tuning = UNTUNED) -> list[Path]:
    """The files that `load` would read."""
    return [*listing.files(paths, Report()), *tuning.files()]


class _Reader:
    """Gathers rules and problems file by file; knows the ids it has seen."""

    def __init__(self, tuning: Tuning, cache: Cache) -> None:
        self.rules: list[Rule] = []
        self.report = Report()
        self.tuner = Tuner(tuning, self.report)
        self.cache = cache
        self.ids: dict[str, Text] = {}
        self.revisions = Revisions()

    def file(self, path: Path) -> None:
        """Take the rules of a file as they were kept, or as they are read now."""
        source = Source(path, textfile.content(path), *examples.beside(path))
        key = source.key(self.tuner.digest)
        known = self.cache.find(key)
        report = Report()
        texts = known.texts(source) if known else report.readable(source.documents())
        self.tuner.enter(texts)
        plain = forms.plain(texts, path.suffix, report)
        written = [self.tuner.overlaid(text) for text in plain]
        reading = known or _reading(source, texts, written, report)
        self.cache.keep(key, reading)
        self.report.problems += reading.problems
        for text, (rule_id, rule) in zip(written, reading.rules, strict=True):
            if rule_id is not None and self.first_of_its_id(rule_id, text) and rule is not None:
                commit = self.revisions.of(path.parent)
                self.rules.append(replace(rule, file=path, commit=commit))

    def first_of_its_id(self, rule_id: str, text: Text) -> bool:
        first = self.ids.setdefault(rule_id, text)
        if first is not text:
            message, hint = f"rule_id `{rule_id}` is taken", f"the first one is {_id_of(first)}"
            self.report.add(message, _id_of(text), hint, rule_id=rule_id)
        return first is text


def _id_of(text: Text) -> Place:
    return text.value(("rule_id",))


def _reading(source: Source, texts: list[Text], written: list[Text], report: Report) -> Reading:
    """All there is to know of a file that was not kept."""
    from detector.rulefile import rules  # noqa: PLC0415 - its grammars are not needed otherwise

    return rules.read(source, texts, written, report)
