"""The daemon's clockwork: each rule at its interval, one cycle at a time, an end when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from detector.model import Answer, Checkpoint, Question, Rule
from detector.run import cycle
from detector.run.daemon import Daemon, Fixed
from detector.store.memory import MemoryStore, Stored
from tests.builders import TERMS, make_rule, shell_event, stored
from tests.run.lab import Kept

pytestmark = pytest.mark.slow


class Slow(MemoryStore):
    """A store that takes its time and notices when it is asked twice at once."""

    def __init__(self, seconds: float, documents: Iterable[Stored] = ()) -> None:
        super().__init__(documents, page_size=1)
        self.seconds = seconds
        self.asked: list[list[str]] = []
        self.overlapped = False
        self._busy = threading.Lock()

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return super().search(searches)
        try:
            if searches:
                self.asked.append(sorted({search.rule_id for search in searches}))
            time.sleep(self.seconds)
            return super().search(searches)
        finally:
            self._busy.release()


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


class Changing:
    """A source whose rules a test replaces."""

    def __init__(self, *rules: Rule) -> None:
        self.now: list[Rule] = list(rules)
        self.fault: Exception | None = None

    def rules(self) -> list[Rule]:
        if self.fault:
            raise self.fault
        return self.now


class Some:
    """The rules that a test says are this daemon's."""

    def __init__(self, *owned: str) -> None:
        self.owned = set(owned)
        self.divided: list[set[str]] = []
        self.released = False

    def begin(self, rule_ids: Collection[str]) -> None:
        self.divided.append(set(rule_ids))

    def divide(self, rule_ids: Collection[str]) -> None:
        self.divided.append(set(rule_ids))

    def owns(self, rule_id: str) -> bool:
        return rule_id in self.owned

    def release(self) -> None:
        self.released = True


@contextmanager
def running(daemon: Daemon) -> Iterator[None]:
    thread = started(daemon)
    try:
        yield
    finally:
        daemon.stop()
        thread.join(10)
        assert not thread.is_alive()


def wait(until: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def test_rules_that_come_change_and_go_are_taken_up() -> None:
    store, kept, part = Slow(0), Kept(), Some("a", "b", "c")
    changed = make_rule(**every(1, "b"))
    source = Changing(make_rule(**every(60, "a")), make_rule(**every(3600, "b")))
    with running(Daemon(store, source, TERMS, kept, part=part)):
        wait(lambda: store.asked == [["a", "b"]])
        before = store.checkpoints(["b"])["b"]
        source.now = [changed, make_rule(**every(60, "c"))]
        wait(lambda: ["c"] in store.asked or ["b", "c"] in store.asked)
        wait(lambda: sum("b" in asked for asked in store.asked) >= 3)
    assert sum("a" in asked for asked in store.asked) == 1, "removed"
    windows = [run.window for report in kept.reports for run in report.runs if run.rule_id == "b"]
    assert windows[1].start <= before.end, "goes on where the former version ended"
    assert part.divided == [{"a", "b"}, {"b", "c"}]


def test_only_rules_of_its_own_part_run_and_those_taken_over_at_once() -> None:
    store, part = Slow(0), Some("a")
    rules = [make_rule(**every(3600, "a")), make_rule(**every(3600, "b"))]
    daemon = Daemon(store, Fixed(rules), TERMS, Kept(), part=part)
    with running(daemon):
        wait(lambda: store.asked == [["a"]])
        assert daemon.watched() == {"a"}
        part.owned = {"b"}
        wait(lambda: store.asked == [["a"], ["b"]])
        assert not part.released
    assert part.released


class Faulty(Slow):
    """A store whose checkpoints cannot be read: not as foreseen."""

    def __init__(self) -> None:
        super().__init__(0)
        self.times = 0

    def checkpoints(self, rule_ids: Collection[str]) -> dict[str, Checkpoint]:
        self.times += 1
        if self.times <= 2:
            raise KeyError("nobody foresaw this")
        return super().checkpoints(rule_ids)


def test_a_fault_nobody_foresaw_ends_its_cycle_alone() -> None:
    store, kept = Faulty(), Kept()
    with running(Daemon(store, Fixed([make_rule(**every(1, "r"))]), TERMS, kept)):
        wait(lambda: bool(kept.reports))
    assert [type(error) for error in kept.errors] == [KeyError, KeyError]


def test_rules_that_cannot_be_read_leave_the_last_ones_running() -> None:
    store, kept = Slow(0), Kept()
    source = Changing(make_rule(**every(1, "r")))
    daemon = Daemon(store, source, TERMS, kept)
    source.fault = OSError("the disk is gone")
    with running(daemon):
        wait(lambda: len(kept.reports) >= 2)
    assert kept.errors


def test_what_is_asked_for_is_done_by_the_thread_that_runs_and_may_fail() -> None:
    kept, done = Kept(), []
    daemon = Daemon(Slow(0), Fixed([make_rule(**every(60, "r"))]), TERMS, kept)

    def fail() -> None:
        raise RuntimeError("asked in vain")

    with running(daemon):
        daemon.soon(fail)
        daemon.soon(lambda: done.append(threading.current_thread()))
        wait(lambda: bool(done))
    assert done != [threading.current_thread()]
    assert [str(error) for error in kept.errors] == ["asked in vain"]


def test_a_daemon_stopped_before_it_runs_ends_at_once() -> None:
    store, part = Slow(0), Some("r")
    daemon = Daemon(store, Fixed([make_rule(**every(60, "r"))]), TERMS, Kept(), part=part)
    daemon.stop()
    daemon.run()
    assert not store.asked
    assert part.released


def test_a_backlog_goes_on_between_the_runs_of_a_rule_with_a_long_interval() -> None:
    """Its next run is a day away; the other rule keeps cutting its backlog short."""
    store, now, day = Slow(0.1), datetime.now(UTC), timedelta(days=1)
    old = make_rule(rule_id="old", interval=timedelta(hours=12), lookback=timedelta(hours=12))
    quick = make_rule(**every(1, "quick"))
    before = now - timedelta(hours=23)
    cycle.run(store, [old], before, TERMS, clock=lambda: before)
    with running(Daemon(store, Fixed([old, quick]), TERMS, Kept())):
        wait(lambda: store.checkpoints(["old"])["old"].end > before + day / 2)
        wait(lambda: not store.checkpoints(["old"])["old"].waiting, seconds=20)
