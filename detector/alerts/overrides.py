"""An event and a rule's mappings -> the severity, risk score and name its alert gets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from detector.alerts import reading
from detector.model import Rule, Source

RANKS = {"low": 0, "medium": 1, "high": 2, "critical": 3}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an alert says of its event, in the rule's words or in those its mappings found."""

    severity: str
    risk_score: int | float
    name: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """A rule's mappings, read once; `severities` from low to critical: the last one wins."""

    severities: tuple[tuple[str, str, str], ...]
    risk_field: str | None
    name_field: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        named = (*(field for field, _, _ in self.severities), self.risk_field, self.name_field)
        return tuple(field for field in named if field)


@lru_cache(maxsize=4096)
def of(rule: Rule) -> Overrides:
    """The mappings of a rule."""
    severities = sorted(
        _entries(rule, "severity_mapping"), key=lambda entry: RANKS.get(entry["severity"], 0)
    )
    risks = _entries(rule, "risk_score_mapping")
    name = rule.parameters.get("rule_name_override")
    return Overrides(
        tuple((entry["field"], str(entry["value"]), entry["severity"]) for entry in severities),
        risks[0]["field"] if risks else None,
        name or None,
    )


def fields(rule: Rule) -> tuple[str, ...]:
    """The fields a rule's mappings read."""
    return of(rule).fields


def judge(source: Source, rule: Rule) -> Judgement:
    """Kibana's rules: highest matching severity, highest valid score, first non-empty name."""
    found = of(rule)
    return Judgement(
        _severity(source, found) or rule.severity,
        plain(_risk(source, found.risk_field, rule.risk_score)),
        _name(source, found.name_field) or rule.name,
    )


def plain(number: float) -> int | float:
    """73 rather than 73.0: a score is shown as it was written."""
    return int(number) if number == int(number) else number


def _entries(rule: Rule, key: str) -> list[Mapping[str, Any]]:
    """Those that name a field: Elastic's rules may carry empty ones."""
    entries = rule.parameters.get(key) or ()
    return [entry for entry in entries if isinstance(entry, Mapping) and entry.get("field")]


def _severity(source: Source, found: Overrides) -> str | None:
    severity = None
    for field, wanted, given in found.severities:
        if any(_text(field, value) == wanted for value in reading.values(source, field)):
            severity = given
    return severity


def _text(field: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if field == "event.severity" and isinstance(value, float) and math.isfinite(value):
        return str(math.floor(value))
    return str(value)


def _risk(source: Source, field: str | None, default: float) -> float:
    if field is None:
        return default
    numbers = [_number(value) for value in reading.values(source, field)]
    return max((number for number in numbers if number is not None), default=default)


def _number(value: Any) -> float | None:
    """A score from 0 to 100, written as a number or as text."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= 100 else None


def _name(source: Source, field: str | None) -> str | None:
    value = reading.first(source, field) if field else None
    return value if isinstance(value, str) and value.strip() else None
