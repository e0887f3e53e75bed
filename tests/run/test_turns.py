"""Which rules a daemon runs when, by a clock that is set: its turns, pauses and grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detector.errors import Rejected, StoreError, Unavailable
from detector.model import Answer, Failure, Question, Rule
from detector.run.backoff import LONGEST, Backoff
from detector.run.daemon import Daemon, Fixed
from detector.windows import on_grid
from tests.builders import NOW, TERMS, make_rule
from tests.run.lab import Kept, Lab
from tests.run.test_daemon import Some

MINUTE = timedelta(minutes=1)
SPANS = {"seconds": timedelta(seconds=20), "minutes": 5 * MINUTE, "a day": timedelta(days=1)}


def rule_of(interval: timedelta, **changes: Any) -> Rule:
    return make_rule(interval=interval, lookback=3 * interval, **changes)


class Away(Lab):
    """A cluster whose searches fail for as long as `error` is set."""

    error: StoreError | None = None

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        if self.error:
            return [Failure(self.error) for _ in searches]
        return super().search(searches)


class Clockwork:
    """A daemon that a test winds up."""

    def __init__(self, *rules: Rule, part: Some | None = None, now: datetime = NOW) -> None:
        self.lab, self.kept = Away(), Kept()
        self.lab.now = now
        self.daemon = Daemon(
            self.lab, Fixed(rules), TERMS, self.kept, part=part, clock=lambda: self.lab.now
        )

    def after(self, span: timedelta) -> int:
        """How many cycles there were in this time, by seconds near its end."""
        before = len(self.kept.reports) + len(self.kept.errors)
        end = self.lab.now + span
        for seconds in range(min(5, int(span.total_seconds())), -1, -1):
            self.lab.now = end - timedelta(seconds=seconds)
            self.daemon.tick()
        return len(self.kept.reports) + len(self.kept.errors) - before

    def ends(self) -> list[datetime]:
        return [report.runs[0].window.end for report in self.kept.reports if report.runs]


each_interval = pytest.mark.parametrize("interval", SPANS.values(), ids=SPANS.keys())


@each_interval
def test_windows_end_on_the_grid_from_the_second_run_on(interval: timedelta) -> None:
    work = Clockwork(rule_of(interval), now=NOW + timedelta(seconds=7))
    work.daemon.tick()
    for _ in range(3):
        assert work.after(interval) == 1
    first, *later = work.ends()
    assert first == NOW + timedelta(seconds=7), "nobody waits for the first"
    assert later == [on_grid(NOW, interval) + n * interval for n in (1, 2, 3)]


@each_interval
def test_after_checkpoints_could_not_be_read_a_rule_is_due_again_soon(interval: timedelta) -> None:
    work = Clockwork(rule_of(interval))
    work.lab.faults["checkpoints"] = "fails"
    work.daemon.tick()
    assert [type(error) for error in work.kept.errors] == [Unavailable]
    pause = min(interval, MINUTE)
    assert work.after(pause - timedelta(seconds=1)) == 0, "no storm"
    assert work.after(timedelta(seconds=1)) == 1
    assert work.ends() == [NOW + pause], "its first run"
    assert work.after(pause - timedelta(seconds=1)) == 0, "then as ever"


def test_a_later_run_that_the_cluster_failed_is_taken_again_to_the_same_end() -> None:
    interval = SPANS["a day"]
    work = Clockwork(rule_of(interval))
    work.daemon.tick()
    work.lab.error = Unavailable("away")
    midnight = on_grid(NOW, interval) + interval
    assert work.after(midnight - NOW) == 1
    assert work.after(MINUTE) == 1
    work.lab.error = None
    assert work.after(MINUTE) == 1
    assert work.after(10 * MINUTE) == 0
    assert work.ends() == [NOW, midnight, midnight, midnight]
    assert [report.failed for report in work.kept.reports] == [False, True, True, False]


def test_the_next_turn_ends_a_pause() -> None:
    work = Clockwork(rule_of(5 * MINUTE), now=NOW - timedelta(seconds=10))
    work.lab.error = Unavailable("away")
    work.daemon.tick()
    assert work.after(timedelta(seconds=10)) == 1
    assert work.lab.now == NOW


def test_a_rule_that_failed_by_its_own_fault_waits_for_its_turns() -> None:
    work = Clockwork(rule_of(5 * MINUTE))
    work.lab.error = Rejected("no such field")
    work.daemon.tick()
    (report,) = work.kept.reports
    assert report.runs[0].error
    assert work.after(4 * MINUTE) == 0
    assert work.after(MINUTE) == 1, "a turn, which it sits out"
    assert not work.kept.reports[-1].runs


def test_a_clock_that_is_set_back_ends_a_pause() -> None:
    work = Clockwork(rule_of(SPANS["a day"]))
    work.lab.error = Unavailable("away")
    work.daemon.tick()
    work.lab.now -= timedelta(hours=2)
    work.daemon.tick()
    assert len(work.kept.reports) == 2


def test_a_rule_that_was_lost_and_comes_back_runs_at_once() -> None:
    part = Some("a", "b")
    rules = [rule_of(60 * MINUTE, rule_id=id_) for id_ in ("a", "b")]
    work = Clockwork(*rules, part=part)
    work.daemon.tick()
    part.owned = {"a"}
    assert work.after(2 * MINUTE) == 0
    part.owned = {"a", "b"}
    assert work.after(MINUTE) == 1
    assert [run.rule_id for run in work.kept.reports[-1].runs if run.kind == "live"] == ["b"]


@pytest.mark.parametrize(
    ("interval", "most"),
    [
        (timedelta(seconds=1), LONGEST),
        (5 * MINUTE, LONGEST),
        (10 * MINUTE, 6),
        (timedelta(minutes=59), 1),
        (timedelta(days=1), 1),
    ],
    ids=str,
)
def test_no_fault_silences_a_rule_for_over_an_hour_or_a_turn(
    interval: timedelta, most: int
) -> None:
    rule, backoff = rule_of(interval), Backoff()
    assert max(backoff.failed(rule) for _ in range(9)) == most
    assert [len(backoff.due([rule])) for _ in range(most + 1)] == [0] * most + [1]
