"""The documents of a rule file in, its rules and what is wrong with them out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from detector.language import esql, tree
from detector.model import Example, Rule, Suppression
from detector.rulefile import check, compared, examples, queries
from detector.rulefile.cache import Reading, Source
from detector.rulefile.examples import Beside
from detector.rulefile.keys import Keys
from detector.rulefile.report import Report
from detector.text import durations
from detector.text.document import Text

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


def read(source: Source, texts: list[Text], written: list[Text], report: Report) -> Reading:
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
