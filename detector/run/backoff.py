"""Rules that fail by their own fault in, who sits the next turns out out. Pure, never for good.

A fault of the cluster is none of these: whoever is not answered for now is asked again next time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from detector.model import Rule, Window

LONGEST = 12
HOUR = timedelta(hours=1)
"""Nor does a rule sit out turns for longer than this, or one turn where that is longer."""

Version: TypeAlias = tuple[str, str]
"""A rule's id and content: one that was changed begins anew."""


@dataclass(slots=True)
class Fault:
    """How often a rule has failed in a row, and how many turns it has still to sit out."""

    times: int = 0
    rests: int = 0


@dataclass(slots=True)
class Backoff:
    """What one process remembers of failing rules, from turn to turn."""

    longest: int = LONGEST
    _stuck: dict[Version, frozenset[Window]] = field(default_factory=dict)
    _faults: dict[Version, Fault] = field(default_factory=dict)

    def due(self, rules: Iterable[Rule]) -> list[Rule]:
        """Those of the rules of a turn that do not sit it out. To be asked once a turn."""
        return [rule for rule in rules if not self._sits_out(rule)]

    def rests(self, rule: Rule) -> bool:
        """Whether it is to sit its next turn out."""
        fault = self._faults.get(_version(rule))
        return fault is not None and fault.rests > 0

    def suspected(self, rule: Rule) -> bool:
        """Whether its last run failed by its own fault: others should not wait for its answer."""
        return _version(rule) in self._faults

    def failed(self, rule: Rule) -> int:
        """How many turns it is to sit out: 1, 2, 4 ..."""
        fault = self._faults.setdefault(_version(rule), Fault())
        most = min(self.longest, max(1, HOUR // rule.interval))
        fault.rests = min(2**fault.times, most)
        fault.times += 1
        return fault.rests

    def succeeded(self, rule: Rule) -> None:
        """What was is forgotten."""
        self._faults.pop(_version(rule), None)

    def stuck(self, rule: Rule, window: Window) -> None:
        """A piece of the past that failed: those behind it come first from now on."""
        self._stuck[_version(rule)] = self._stuck.get(_version(rule), frozenset()) | {window}

    def stuck_among(self, rule: Rule, windows: Iterable[Window]) -> frozenset[Window]:
        """Those of all its pieces of the past that have failed; any other is forgotten."""
        stuck = self._stuck.pop(_version(rule), frozenset()) & frozenset(windows)
        if stuck:
            self._stuck[_version(rule)] = stuck
        return stuck

    def _sits_out(self, rule: Rule) -> bool:
        if not self.rests(rule):
            return False
        self._faults[_version(rule)].rests -= 1
        return True


def _version(rule: Rule) -> Version:
    return rule.rule_id, rule.hash
