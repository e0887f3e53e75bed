"""Runs of a backfill in, what it has covered of each rule out, kept until it has covered all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from detector.model import Backfilled, Rule, Window
from detector.run import schedule
from detector.run.lockstep import Run
from detector.store.base import Store
from detector.windows import closed, merged, without


class Memory:
    """What a backfill of `window` remembers in the store, and what it `found` there.

    What was covered of a rule that has changed since does not count.
    """

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        window: Window,
        found: Mapping[str, Backfilled],
        now: datetime,
    ) -> None:
        self._store = store
        self._window = window
        self._kept = {rule: Backfilled(rule.rule_id, rule.hash, now) for rule in rules}
        for rule in rules:
            known = found.get(rule.rule_id)
            if known is not None and known.rule_hash == rule.hash:
                self._kept[rule] = known

    @property
    def since(self) -> datetime:
        return min(kept.since for kept in self._kept.values())

    @property
    def covered(self) -> dict[Rule, tuple[Window, ...]]:
        return {rule: kept.windows for rule, kept in self._kept.items()}

    def add(self, runs: Sequence[Run]) -> None:
        """Raises `StoreError`."""
        for run in runs:
            if run.covered and run.hole is None:
                kept = self._kept[run.rule]
                windows = merged((*kept.windows, _closed(run)))
                self._kept[run.rule] = replace(kept, windows=windows)
        self._store.save_backfilled([self._kept[rule] for rule in {run.rule for run in runs}])

    def forget(self) -> None:
        """Let go of this range, and of what reaches into it. Raises `StoreError`."""
        for rule, kept in self._kept.items():
            apart = [one for one in kept.windows if without([one], [self._window]) == (one,)]
            self._kept[rule] = replace(kept, windows=tuple(apart))
        self._store.save_backfilled(self._kept.values())


def _closed(run: Run) -> Window:
    return closed(run.window, run.execution.time, schedule.lateness(run.rule))
