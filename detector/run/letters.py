"""Matches of one run that no alert comes of in, dead letters and a warning out."""

from __future__ import annotations

from dataclasses import dataclass, field

from detector import alerts
from detector.model import Execution, Letter, Match, Rule

BEARABLE = 100
"""When more matches of a run than these cannot be made alerts, it is not the documents."""


@dataclass(slots=True)
class Letters:
    """`waiting` have still to be kept; `count` of all, `earlier` of those from earlier runs."""

    waiting: list[tuple[Match, str]] = field(default_factory=list)
    count: int = 0
    unmade: int = 0
    earlier: int = 0
    first: str = ""

    def add(self, match: Match, reason: str) -> None:
        """No alert can be made of this match."""
        self.waiting.append((match, reason))
        self.unmade += 1
        self.note(reason)

    def note(self, reason: str) -> None:
        """The store has kept a dead letter in an alert's place."""
        self.count += 1
        self.first = self.first or reason

    def take(self, rule: Rule, execution: Execution) -> list[Letter]:
        """Those that wait, to be kept now."""
        waiting, self.waiting = self.waiting, []
        return [alerts.letter(match, rule, execution, reason) for match, reason in waiting]

    @property
    def too_many(self) -> bool:
        return self.unmade > BEARABLE

    def warnings(self) -> list[str]:
        said = []
        if self.count:
            said.append(
                f"{self.count} matches are kept as dead letters instead of alerts, the first "
                f"because: {self.first}"
            )
        if self.earlier:
            said.append(f"{self.earlier} matches are dead letters since an earlier run")
        return said
