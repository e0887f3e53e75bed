"""One module per rule type: a rule and a window in, searches and matches out.

A detection is a generator without effects: it yields `Ask` and is sent pages, yields `Found` and is
sent None. Whoever drives it decides where documents come from and where matches go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from detector import questions
from detector.detect import (
    eql,
    esql,
    machine_learning,
    new_terms,
    query,
    suppressing,
    threat_match,
    threshold,
)
from detector.detect.recounting import Again
from detector.errors import RuleError
from detector.language import datemath, tree
from detector.model import Detection, Match, Rule, Search, Window

Detector: TypeAlias = Callable[[Rule, Window, tuple[str, ...]], Detection]

DETECTORS: dict[str, Detector] = {
    "eql": eql.detect,
    "query": query.detect,
    "threshold": threshold.detect,
    "new_terms": new_terms.detect,
    "threat_match": threat_match.detect,
    "machine_learning": machine_learning.detect,
    "esql": esql.detect,
}


def searches(rule: Rule, window: Window) -> tuple[Search, ...]:
    """Every document that makes a match of `rule` in `window`, as questions; for counting them."""
    return eql.searches(seen_from(window.end, rule), window)


def detect(
    rule: Rule,
    window: Window,
    fields: tuple[str, ...] = (),
    named: Callable[[Match], str | None] = suppressing.by_place,
) -> Detection:
    """The detection of `rule` over `window`; its documents carry `fields` beside their source.

    `named` is equal for matches that are the same, and is the id of the alert each would make; None
    where it makes none.
    Raises `RuleError` for a rule that cannot run.
    """
    if rule.unsupported or rule.type not in DETECTORS:
        raise RuleError(rule.unsupported or f"rules of type `{rule.type}` cannot run yet")
    rule = seen_from(window.end, rule)
    detector, asked = DETECTORS[rule.type], rule.suppression
    if asked is None:
        return detector(rule, window, fields)
    fields = tuple(dict.fromkeys((*fields, questions.EVENT_TIME, *asked.by)))
    again = Again(rule, asked, window, fields, detector)
    return suppressing.suppressed(detector(rule, window, fields), again, named)


def seen_from(now: datetime, rule: Rule) -> Rule:
    """The rule with its date math resolved, so that a backfill asks what a live run asked."""
    if rule.where is None or not _has_date_math(rule):
        return rule
    return replace(rule, where=tree.altered(rule.where, lambda one: datemath.resolved(one, now)))


@lru_cache(maxsize=4096)
def _has_date_math(rule: Rule) -> bool:
    return rule.where is not None and datemath.used(rule.where)
