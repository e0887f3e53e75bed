"""Files and folders of rules (YAML, TOML, NDJSON) -> rules, and every problem with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from detector import packaged
from detector.errors import Place
from detector.language import esql, tree
from detector.model import Example, Problem, Rule, Suppression
from detector.rulefile import cachefile, check, compared, examples, forms, listing, queries
from detector.rulefile.cache import Cache, Reading, Source
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
        reading = known or _read(source, texts, written, report)
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


def _read(source: Source, texts: list[Text], written: list[Text], report: Report) -> Reading:
    """All there is to know of a file; `report` has what was wrong so far."""
    beside = Beside(source.examples, source.beside, report)
    reader = _Rules(report)
    rules = tuple(reader.rule(text, beside) for text in written)
    beside.finish()
    return Reading(tuple(text.data for text in texts), rules, tuple(report.problems))


@dataclass(frozen=True, slots=True)
class _Rules:
    """Reads the rules of a file; what is wrong with them goes into `report`."""

    report: Report

    def rule(self, text: Text, beside: Beside) -> tuple[str | None, Rule | None]:
        """The rule's id where its keys can be used, and the rule where all of it can.

        Everything is checked, whatever is wrong with some of it.
        """
        if not isinstance(text.data, dict):
            self.report.add("a rule must be a mapping of keys", text.key(()))
            return None, None
        rule_id = _text_or_none(text.data.get("rule_id"))
        checked = check.check(text.data)
        self.report.faults(checked.faults, text, rule_id)
        where = queries.read(text, rule_id, self.report)
        met: tree.Node | None = tree.Nothing()
        if text.data.get("type") == "threat_match":
            met = queries.indicators(text, rule_id, self.report)
        examples = [*self.examples(text, rule_id), *beside.of(rule_id)]
        if checked.keys is None:
            return None, None
        rule = _rule(checked.keys, checked.parameters)
        if checked.keys.type == "machine_learning":
            rule, where = compared.of_anomalies(rule, checked.keys)
        if rule.type == "esql" and where is not None:
            rule = _of_esql(rule)
        rule = replace(rule, indicators=compared.indicators(checked.keys, met))
        complete = (where and met) or checked.keys.type not in queries.READ
        if self.window_holds(rule, text) and complete:
            rule = replace(rule, examples=tuple(examples))
            return rule.rule_id, self.judged(rule, checked.keys, where, text)
        return rule.rule_id, None

    def examples(self, text: Text, rule_id: str | None) -> list[Example]:
        written = text.data.get("examples")
        if not isinstance(written, list):
            return []
        return examples.read(text.at(("examples",), written), rule_id, self.report)

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
