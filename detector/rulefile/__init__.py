"""Files and folders of rules (YAML, TOML, NDJSON) -> rules, and every problem with its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from detector import packaged
from detector.errors import Place
from detector.language import esql, tree
from detector.model import Example, Problem, Rule, Suppression
from detector.rulefile import check, compared, examples, forms, queries
from detector.rulefile.examples import Beside
from detector.rulefile.keys import Keys
from detector.rulefile.overlays import Effect
from detector.rulefile.report import Report
from detector.rulefile.revision import Revisions
from detector.rulefile.tuning import Tuner, Tuning
from detector.text import durations
from detector.text import file as textfile
from detector.text.document import Text

UNTUNED = Tuning()

_NOT_APPLIED = {
    "actions": "actions are not run",
    "response_actions": "response actions are not run",
}
"""What a rule may ask for and this engine does not do."""


RUN = frozenset(
    {"eql", "query", "threshold", "new_terms", "threat_match", "machine_learning", "esql"}
)
STEPWISE = frozenset({"threshold", "new_terms"})
"""The types whose answer depends on where the window begins and ends."""


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


def load(paths: Sequence[Path], tuning: Tuning = UNTUNED) -> Loaded:
    """The rules in files and, recursively, folders; ordered by path, never raising.

    A rule of a type that cannot run yet is loaded with `unsupported` and a warning. A rule with an
    error is left out; a faulty example is left out of its rule. That an overlay hits nothing is an
    error, unless single files were named.
    """
    reader = _Reader(tuning)
    tuner = reader.tuner
    tuner.read()
    for path in paths:
        for file in reader.files(path):
            reader.file(file)
    rules, tuned = tuner.narrowed(reader.rules), tuner.faultless
    if any(map(textfile.is_folder, paths)):
        tuner.missed()
    problems = tuple(tuner.noteworthy(reader.report.problems))
    return Loaded(tuple(rules), problems, tuner.effects(), tuner.until, tuned)


def files(paths: Sequence[Path], tuning: Tuning = UNTUNED) -> list[Path]:
    """The files that `load` would read."""
    reader = _Reader(tuning)
    return [file for path in paths for file in reader.files(path)] + tuning.files()


class _Reader:
    """Gathers rules and problems file by file; knows the ids and files it has seen."""

    def __init__(self, tuning: Tuning) -> None:
        self.rules: list[Rule] = []
        self.report = Report()
        self.tuner = Tuner(tuning, self.report)
        self.ids: dict[str, Place] = {}
        self.seen: set[Path] = set()
        self.revisions = Revisions()

    def files(self, path: Path) -> list[Path]:
        """The rule files at `path` that have not been read yet."""
        found = self.listed(path)
        fresh = [file for file in found if file.resolve() not in self.seen]
        self.seen.update(file.resolve() for file in fresh)
        return fresh

    def listed(self, path: Path) -> list[Path]:
        try:
            return self.folder(path) if path.is_dir() else self.named(path)
        except OSError as error:
            self.unreadable(error, path)
            return []

    def unreadable(self, error: OSError, path: Path) -> None:
        reason = (error.strerror or str(error)).lower()
        self.report.add(f"cannot be read: {reason}", Place(1, 1, file=str(path)))

    def folder(self, path: Path) -> list[Path]:
        """The rule files in a folder and below; a folder that may not be read is a problem."""
        found: list[Path] = []
        for above, below, names in os.walk(
            path, onerror=lambda error: self.unreadable(error, Path(error.filename))
        ):
            below[:] = [name for name in below if not name.startswith(".")]
            found += [file for name in names if _is_rule_file(file := Path(above, name))]
        if not found:
            self.report.add(
                f"no rule files in {path}", Place(1, 1, file=str(path)), level="warning"
            )
        return sorted(found)

    def named(self, path: Path) -> list[Path]:
        if not path.exists():
            self.report.add("no such file or folder", Place(1, 1, file=str(path)))
            return []
        if path.suffix not in textfile.FORMS or path.stem.endswith(examples.SUFFIX):
            known = ", ".join(textfile.FORMS)
            hint = f"rules are read from {known}; name the rule file itself"
            self.report.add("not a rule file", Place(1, 1, file=str(path)), hint)
            return []
        return [path]

    def file(self, path: Path) -> None:
        texts = self.report.readable(textfile.read(path))
        beside = Beside(path, self.report)
        self.tuner.enter(texts)
        for text in forms.plain(texts, path.suffix, self.report):
            if isinstance(text.data, dict):
                self.rule(text, path, beside)
            else:
                self.report.add("a rule must be a mapping of keys", text.key(()))
        beside.finish()

    def rule(self, text: Text, path: Path, beside: Beside) -> None:
        """Check everything, whatever is wrong with some of it; keep what can be used."""
        text = self.tuner.overlaid(text)
        rule_id = _text_or_none(text.data.get("rule_id"))
        checked = check.check(text.data)
        self.report.faults(checked.faults, text, rule_id)
        where = queries.read(text, rule_id, self.report)
        met: tree.Node | None = tree.Nothing()
        if text.data.get("type") == "threat_match":
            met = queries.indicators(text, rule_id, self.report)
        examples = [*self.examples(text, rule_id), *beside.of(rule_id)]
        if checked.keys is None or not self.first_of_its_id(checked.keys, text):
            return
        rule = _rule(checked.keys, checked.parameters)
        if checked.keys.type == "machine_learning":
            rule, where = compared.of_anomalies(rule, checked.keys)
        if rule.type == "esql" and where is not None:
            rule = _of_esql(rule)
        rule = replace(rule, indicators=compared.indicators(checked.keys, met))
        complete = (where and met) or checked.keys.type not in queries.READ
        if self.window_holds(rule, text) and complete:
            commit = self.revisions.of(path.parent)
            rule = replace(rule, file=path, commit=commit, examples=tuple(examples))
            self.rules.append(self.judged(rule, checked.keys, where, text))

    def examples(self, text: Text, rule_id: str | None) -> list[Example]:
        written = text.data.get("examples")
        if not isinstance(written, list):
            return []
        return examples.read(text.at(("examples",), written), rule_id, self.report)

    def first_of_its_id(self, keys: Keys, text: Text) -> bool:
        place = text.value(("rule_id",))
        first = self.ids.setdefault(keys.rule_id, place)
        if first is not place:
            message, hint = f"rule_id `{keys.rule_id}` is taken", f"the first one is {first}"
            self.report.add(message, place, hint, rule_id=keys.rule_id)
        return first is place

    def judged(self, rule: Rule, keys: Keys, where: tree.Query | None, text: Text) -> Rule:
        """The rule, ready to run or saying why it cannot."""
        unsupported = _unsupported(keys)
        if unsupported is None:
            self.not_applied(keys, text)
            return replace(rule, where=where)
        place = text.value(("type",))
        self.report.add(unsupported, place, level="warning", rule_id=keys.rule_id)
        return replace(rule, unsupported=unsupported)

    def not_applied(self, keys: Keys, text: Text) -> None:
        for key, message in _NOT_APPLIED.items():
            if getattr(keys, key):
                self.report.add(message, text.key((key,)), level="warning", rule_id=keys.rule_id)

    def window_holds(self, rule: Rule, text: Text) -> bool:
        """A window must have a length; a short one leaves late events out."""
        span, place = rule.lookback - rule.delay, text.value(("from",))
        if span <= timedelta(0):
            self.report.add("`from` must lie before `to`", place, rule_id=rule.rule_id)
        elif rule.interval <= timedelta(0):
            self.report.add(
                "`interval` must not be zero", text.value(("interval",)), rule_id=rule.rule_id
            )
        elif rule.type == "new_terms" and rule.history <= rule.lookback:
            message = "`history_window_start` must lie before `from`"
            where = text.value(("history_window_start",))
            self.report.add(message, where, "now-7d is usual", rule_id=rule.rule_id)
            return False
        elif span < rule.interval:
            message = "`from` reaches back less than one interval: a gap between runs"
            hint = f"from: now-{int((rule.interval + rule.delay).total_seconds()) + 60}s"
            self.report.add(message, place, hint, level="warning", rule_id=rule.rule_id)
        return span > timedelta(0) and rule.interval > timedelta(0)


def _is_rule_file(file: Path) -> bool:
    named = file.suffix in textfile.FORMS and not file.stem.endswith(examples.SUFFIX)
    if not named or file.name.startswith("."):
        return False
    try:
        return file.is_file()
    except OSError:
        return True  # who reads it says why that cannot be done


def _rule(keys: Keys, parameters: Mapping[str, Any]) -> Rule:
    return Rule(
        rule_id=keys.rule_id,
        name=keys.name,
        type=keys.type,
        index=tuple(keys.index or ()),
        severity=keys.severity,
        risk_score=keys.risk_score,
        interval=durations.parse(keys.interval),
        lookback=durations.ago(keys.from_),
        where=None,
        parameters=parameters,
        language=parameters.get("language"),
        query=keys.query,
        delay=durations.ago(keys.to),
        max_signals=keys.max_signals,
        timestamp_override=keys.timestamp_override,
        timestamp_fallback=not keys.timestamp_override_fallback_disabled,
        identity=tuple(keys.identity) if keys.identity else None,
        enabled=keys.enabled,
        hash=_hash(parameters, keys.identity),
        stepwise=keys.type in STEPWISE,
        shadow=keys.mode == "shadow",
        history=durations.ago(parameters.get("history_window_start", "now")),
        suppression=_suppression(keys, parameters),
    )


def _suppression(keys: Keys, parameters: Mapping[str, Any]) -> Suppression | None:
    """Without a duration an alert stands for an interval: what Kibana's next run would not see."""
    asked = keys.alert_suppression
    if asked is None:
        return None
    counted = parameters["threshold"]["field"] if keys.type == "threshold" else ()
    return Suppression(
        by=(*asked.group_by, *filter(None, counted)),
        duration=asked.duration.length if asked.duration else durations.parse(keys.interval),
        missing=asked.missing_fields_strategy != "doNotSuppress",
    )


def _of_esql(rule: Rule) -> Rule:
    """The query says where the rule looks, and whether its answer depends on the window."""
    query = esql.read(rule.query or "")
    return replace(rule, index=query.index or rule.index, stepwise=query.stepwise)


def _hash(parameters: Mapping[str, Any], identity: list[str] | None) -> str:
    """The same for the same meaning: neither format nor order of keys nor examples count."""
    meaning = {**parameters, **({"identity": identity} if identity else {})}
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _unsupported(keys: Keys) -> str | None:
    if keys.type == "saved_query":
        return "a saved query lives in Kibana and cannot be read: write its query into the rule"
    if keys.type not in RUN:
        return f"type `{keys.type}` cannot be run yet"
    if not keys.index and keys.type not in {"machine_learning", "esql"}:
        return "data views live in Kibana and cannot be read: name the indices in `index`"
    return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
