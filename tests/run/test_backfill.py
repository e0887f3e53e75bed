"""A backfill on a store of lists: what is asked again, what is not, what is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from detector.errors import StoreError, Unavailable
from detector.model import Answer, Backfilled, Failure, Gap, Question, Rule, Window
from detector.run import backfill, schedule
from detector.run.backfill import Manner, Report
from detector.run.progress import Silent
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, TERMS, make_rule, shell_event, stored

EVENTS = 60
RANGE = Window(NOW - timedelta(hours=1), NOW)
RULE = make_rule(hash="a")
LATER = NOW + timedelta(hours=1)


class Told(Silent):
    """What a person would see."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shares: list[float] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, share: float, text: str) -> None:
        assert "alerts" in text
        self.shares.append(share)


class Watched(MemoryStore):
    """A store that notes what is asked of it, and can refuse some of it."""

    def __init__(self, documents: Sequence[Stored] = ()) -> None:
        super().__init__(documents, page_size=2)
        self.asked: list[Window] = []
        self.refuses: Callable[[Question], bool] = lambda _: False
        self.away = False
        self.threads: set[int] = set()

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        self.threads.add(threading.get_ident())
        self.asked += [search.window for search in searches]
        return [
            Failure(Unavailable("down")) if self.away or self.refuses(search) else answer
            for search, answer in zip(searches, super().search(searches), strict=True)
        ]

    def backfilled(self, rule_ids: Collection[str]) -> dict[str, Backfilled]:
        if self.away:
            raise Unavailable("down")
        return super().backfilled(rule_ids)


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


@pytest.fixture
def store() -> Watched:
    """Give a store with an event a minute."""
    return Watched(stored([shell_event(ago(minutes=n, seconds=30)) for n in range(EVENTS)]))


def run(
    store: MemoryStore, *rules: Rule, window: Window = RANGE, again: bool = False, **manner: object
) -> Report:
    made = Manner(**manner)  # type: ignore[arg-type]
    clock = lambda: LATER  # noqa: E731
    return backfill.run(
        store, rules or (RULE,), window, TERMS, clock=clock, manner=made, again=again
    )


def after(count: int) -> Callable[[], bool]:
    """Turns true when it has been asked `count` times."""
    times = iter(range(count))
    return lambda: next(times, None) is None


@pytest.mark.parametrize("workers", [1, 4])
def test_a_finished_backfill_leaves_one_record_a_rule_and_asks_everything_again(
    store: Watched, workers: int
) -> None:
    other = make_rule(rule_id="other")
    report = run(store, RULE, other, workers=workers)
    assert (report.alerts_created, report.failed) == (2 * EVENTS, False)
    assert [one.window for one in report.runs] == [RANGE, RANGE]
    assert sum(one.alerts_created for one in report.runs) == 2 * EVENTS
    assert {run.window for run in store.runs} >= {RANGE}
    assert store.backfilled([RULE.rule_id, "other"]) == {}
    asked = len(store.asked)
    again = run(store, RULE, other)
    assert (again.alerts_created, again.alerts_existing, again.resumed) == (0, 2 * EVENTS, 0)
    assert len(store.asked) == 2 * asked


def test_workers_share_the_pieces(store: Watched) -> None:
    barrier = threading.Barrier(3, timeout=10)
    first = threading.local()

    def wait(_: Question) -> bool:
        if not getattr(first, "met", False):
            first.met = True
            barrier.wait()  # none goes on before three have begun
        return False

    store.refuses = wait
    assert run(store, workers=3).alerts_created == EVENTS
    assert len(store.threads) == 3


@pytest.mark.parametrize("stop", range(1, 40, 6))
def test_one_that_was_stopped_goes_on_where_it_was(store: Watched, stop: int) -> None:
    first = run(store, stopping=after(stop))
    assert first.failed
    (gap,) = first.uncovered
    assert gap.window.end == NOW
    assert gap.reason == "stopped before it was finished"
    done = [window for kept in store.backfilled([RULE.rule_id]).values() for window in kept.windows]
    assert done == [Window(RANGE.start, gap.window.start)] * (gap.window != RANGE)
    store.asked.clear()
    told = Told()
    second = run(store, progress=told)
    assert not second.failed
    assert min(window.start for window in store.asked) == gap.window.start
    assert len(store.alerts) == EVENTS
    assert first.alerts_created + second.alerts_created == EVENTS
    assert store.backfilled([RULE.rule_id]) == {}
    pieces = (gap.window.start - RANGE.start) // timedelta(minutes=5)
    assert second.resumed == pieces
    said = [f"resuming: {pieces} of 12 pieces were done, since 2026-03-01 13:00 UTC; --again asks"]
    assert [line.startswith(said[0]) for line in told.said] == [True] * bool(pieces)
    assert told.shares == sorted(told.shares)
    assert told.shares[-1] == 1.0


def stopped(store: Watched) -> Gap:
    (gap,) = run(store, stopping=after(24)).uncovered
    assert gap.window.start > RANGE.start
    store.asked.clear()
    return gap


def test_a_range_that_has_moved_on_with_the_time_resumes_what_overlaps(store: Watched) -> None:
    gap = stopped(store)
    later = Window(RANGE.start + timedelta(minutes=2), RANGE.end + timedelta(minutes=2))
    told = Told()
    report = run(store, window=later, progress=told)
    assert report.resumed
    assert told.said
    assert min(window.start for window in store.asked) == gap.window.start
    assert len(store.alerts) == EVENTS
    assert store.backfilled([RULE.rule_id]) == {}, "nothing is left over"


def test_asked_to_it_begins_again_and_a_crash_then_does_not_bring_back_the_old(
    store: Watched,
) -> None:
    stopped(store)
    run(store, again=True, stopping=after(1))
    assert store.backfilled([RULE.rule_id]) == {}
    stopped(store)
    told = Told()
    report = run(store, again=True, progress=told)
    assert (report.resumed, told.said) == (0, [])
    assert min(window.start for window in store.asked) == RANGE.start


def test_a_rule_that_has_changed_is_asked_again(store: Watched) -> None:
    stopped(store)
    told = Told()
    run(store, replace(RULE, hash="b"), progress=told)
    assert told.said == []
    assert min(window.start for window in store.asked) == RANGE.start


def test_another_range_is_neither_taken_for_done_nor_forgotten(store: Watched) -> None:
    gap = stopped(store)
    run(store, window=Window(ago(hours=3), ago(hours=2)))
    (kept,) = store.backfilled([RULE.rule_id]).values()
    assert kept.windows == (Window(RANGE.start, gap.window.start),)


def test_the_newest_moments_are_asked_again_since_late_events_may_have_come(
    store: Watched,
) -> None:
    window = Window(LATER - timedelta(hours=1), LATER)
    first = Window(window.start, window.start + timedelta(minutes=5))
    store.refuses = lambda search: search.window == first
    run(store, window=window)
    store.refuses = lambda _: False
    store.asked.clear()
    run(store, window=window)
    assert set(store.asked) == {first, Window(LATER - schedule.lateness(RULE), LATER)}


def test_a_dry_one_neither_resumes_nor_records(store: Watched) -> None:
    stopped(store)
    runs, alerts = list(store.runs), dict(store.alerts)
    report = run(store, dry=True)
    assert report.alerts_created + report.alerts_existing == EVENTS
    assert min(window.start for window in store.asked) == RANGE.start
    assert (store.runs, store.alerts) == (runs, alerts)
    assert store.backfilled([RULE.rule_id])


def test_a_piece_that_fails_costs_itself_alone_and_is_what_the_next_one_asks(
    store: Watched,
) -> None:
    bad = Window(ago(minutes=30), ago(minutes=25))
    other = make_rule(rule_id="other")
    store.refuses = lambda search: search.rule_id == "other" and search.window == bad
    first = run(store, RULE, other, workers=2)
    assert first.uncovered == (Gap("other", bad, "down"),)
    assert first.alerts_created == 2 * EVENTS - 5
    failed = [run.window for run in first.runs if run.error]
    assert failed == [bad]
    store.refuses = lambda _: False
    store.asked.clear()
    second = run(store, RULE, other)
    assert (second.alerts_created, second.failed, second.resumed) == (5, False, 11)
    assert set(store.asked) == {bad}
    assert store.backfilled([RULE.rule_id, "other"]) == {}


def test_a_store_that_goes_away_ends_it_and_what_was_not_asked_is_said(store: Watched) -> None:
    def fall(_: Question) -> bool:
        store.away = len(store.asked) > 20
        return store.away

    store.refuses = fall
    report = run(store)
    (gap,) = report.uncovered
    assert (gap.window.end, gap.reason) == (NOW, "down")
    assert len(store.asked) < 30, "it goes on asking a store that is away"
    store.away, store.refuses = False, lambda _: False
    run(store)
    assert len(store.alerts) == EVENTS


def test_what_cannot_be_recorded_is_said_and_done_again(store: Watched) -> None:
    class Forgetful(Watched):
        def save_backfilled(self, progress: Iterable[Backfilled]) -> None:
            if list(progress):
                raise StoreError("no room")

    store = Forgetful(store.documents)
    report = run(store)
    assert report.alerts_created == EVENTS
    assert any("no room" in warning for one in report.runs for warning in one.warnings)


def test_spans_of_rules_are_filled_each_with_its_own(store: Watched) -> None:
    other = make_rule(rule_id="other")
    spans = [Window(ago(minutes=50), ago(minutes=40)), Window(ago(minutes=20), ago(minutes=10))]
    wanted = {RULE: spans, other: spans[:1]}
    report = backfill.fill(store, wanted, TERMS, clock=lambda: NOW)
    assert report.alerts_created == 30
    assert [(one.rule_id, one.window) for one in report.runs] == [
        (RULE.rule_id, spans[0]),
        (RULE.rule_id, spans[1]),
        ("other", spans[0]),
    ]
    assert store.backfilled([RULE.rule_id, "other"]) == {}
