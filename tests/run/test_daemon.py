"""The daemon's clockwork: each rule at its interval, one cycle at a time, an end when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from detector.model import Answer, Search
from detector.run.cycle import Report
from detector.run.daemon import Daemon, Fixed
from detector.store.memory import MemoryStore, Stored
from tests.builders import TERMS, make_rule, shell_event, stored


class Slow(MemoryStore):
    """A store that takes its time and notices when it is asked twice at once."""

    def __init__(self, seconds: float, documents: Iterable[Stored] = ()) -> None:
        super().__init__(documents, page_size=1)
        self.seconds = seconds
        self.asked: list[list[str]] = []
        self.overlapped = False
        self._busy = threading.Lock()

    def search(self, searches: Sequence[Search]) -> list[Answer]:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return super().search(searches)
        try:
            self.asked.append(sorted({search.rule_id for search in searches}))
            time.sleep(self.seconds)
            return super().search(searches)
        finally:
            self._busy.release()


class Kept:
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.errors: list[Exception] = []

    def cycle_finished(self, report: Report) -> None:
        self.reports.append(report)

    def cycle_failed(self, error: Exception) -> None:
        self.errors.append(error)


def started(daemon: Daemon, grace: float = 5) -> threading.Thread:
    thread = threading.Thread(target=daemon.run, args=(timedelta(seconds=grace),))
    thread.start()
    return thread


def every(seconds: int, rule_id: str) -> dict[str, Any]:
    span = timedelta(seconds=seconds)
    return {"interval": span, "lookback": 3 * span, "rule_id": rule_id}


def test_each_rule_runs_at_its_own_interval() -> None:
    store, kept = Slow(0), Kept()
    rules = [make_rule(**every(1, "quick")), make_rule(**every(60, "slow"))]
    daemon = Daemon(store, Fixed(rules), TERMS, kept)
    thread = started(daemon)
    time.sleep(3.5)
    daemon.stop()
    thread.join(10)
    assert store.asked[0] == ["quick", "slow"], "all at the start, in one request"
    assert len([asked for asked in store.asked if "quick" in asked]) >= 3
    assert len([asked for asked in store.asked if "slow" in asked]) <= 2


def test_a_slow_cycle_delays_the_next_and_nothing_piles_up() -> None:
    store, kept = Slow(1.2), Kept()
    daemon = Daemon(store, Fixed([make_rule(**every(1, "r"))]), TERMS, kept)
    thread = started(daemon)
    time.sleep(3)
    daemon.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert not store.overlapped
    windows = [report.runs[0].window for report in kept.reports]
    for earlier, later in pairwise(windows):
        assert later.start <= earlier.end, "a moment nobody covers"


def test_stopping_finishes_the_cycle_in_hand() -> None:
    store, kept = Slow(1), Kept()
    daemon = Daemon(store, Fixed([make_rule(**every(60, "r"))]), TERMS, kept)
    thread = started(daemon)
    time.sleep(0.3)
    daemon.stop()
    thread.join(10)
    assert [report.runs[0].status for report in kept.reports] == ["succeeded"]


def test_a_cycle_that_outlasts_its_grace_covers_nothing() -> None:
    now = datetime.now(UTC)
    store = Slow(0.5, stored([shell_event(now - timedelta(seconds=n)) for n in range(1, 30)]))
    kept = Kept()
    daemon = Daemon(store, Fixed([make_rule(**every(60, "r"))]), TERMS, kept)
    thread = started(daemon, grace=1)
    time.sleep(0.3)
    daemon.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert [report.runs[0].status for report in kept.reports] == ["failed"]
    assert store.checkpoints(["r"])["r"].end < now, "what was not finished is not covered"
