"""Nothing is lost: every event in time has an alert, waits, or lies in a gap. On lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import Rejected, Unavailable
from detector.model import Alert, Answer, Checkpoint, Failure, Question, Rule, Window, Written
from detector.run import cycle, schedule
from detector.run.backoff import Backoff
from detector.run.daemon import Daemon, Fixed
from detector.run.lockstep import Budget
from detector.run.schedule import CatchUp, Sweep
from detector.store.memory import MemoryStore
from tests.builders import NOW, TERMS, make_rule
from tests.run.lab import Call, Crash, Fault, Kept, Lab, fill, turn, turns


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


LONG = minutes(120)


@pytest.mark.parametrize("fault", ["crashes", "fails"])
def test_a_floods_gap_is_told_before_the_checkpoint_forgets_it(fault: Fault) -> None:
    lab, rule = Lab(), make_rule(max_signals=5)
    turn(lab, rule, -5)
    lab.flood(NOW - minutes(2), 300)
    lab.faults["record"] = fault
    try:
        turn(lab, rule, 0)
    except Crash:
        assert fault == "crashes"
    turns(lab, rule, 1, 5)
    assert lab.lost(rule) == []


def test_what_is_too_old_is_told_before_the_checkpoint_forgets_it() -> None:
    lab, rule = Lab(), make_rule()
    turn(lab, rule, -60 * 30)
    lab.log(NOW - minutes(60 * 28))
    lab.faults["record"] = "fails"
    turn(lab, rule, 0)
    assert lab.lost(rule) == []


def test_a_flood_beside_what_waits_hides_no_late_event() -> None:
    lab, rule = Lab(), make_rule(max_signals=5, lookback=LONG)
    turn(lab, rule, -5)
    lab.flood(NOW - minutes(2), 20)
    turn(lab, rule, 0)
    lab.flood(NOW + minutes(2), 300)
    turns(lab, rule, 1, 12)
    lab.log(NOW - minutes(3), NOW + minutes(61))
    turns(lab, rule, 12, 40)
    assert lab.lost(rule) == []


def test_a_flood_met_while_catching_up_hides_no_late_event() -> None:
    lab, rule = Lab(), make_rule(max_signals=5, lookback=LONG)
    turn(lab, rule, -5)
    lab.log(NOW - minutes(30))
    lab.flood(NOW - minutes(2), 95)
    turn(lab, rule, 0)
    lab.flood(NOW + minutes(1), 90)
    turns(lab, rule, 1, 8)
    lab.log(NOW - minutes(20), NOW + minutes(41))
    turns(lab, rule, 8, 40)
    assert lab.lost(rule) == []


def test_a_fill_leaves_a_gap_open_where_events_may_still_come() -> None:
    lab, rule = Lab(), make_rule(max_signals=5)
    turn(lab, rule, -5)
    lab.flood(NOW - minutes(2), 300)
    lab.log(NOW - timedelta(seconds=20), NOW + timedelta(seconds=30))
    turn(lab, rule, 0)
    lab.now = NOW + timedelta(seconds=10)
    fill(lab, rule)
    turns(lab, rule, 1, 6)
    assert lab.lost(rule) == []
    fill(lab, rule)
    assert (lab.gaps(), len(lab.alerted)) == ([], 301)


def test_what_another_daemon_made_wait_is_not_taken_as_done() -> None:
    """One has asked and is stopped; the other finds late events there, and its cap holds them."""
    lab, rule = Lab(), make_rule(max_signals=5)
    turn(lab, rule, -5)
    lab.log(NOW - minutes(3))

    def other() -> None:
        for number in range(30):
            at = NOW - timedelta(seconds=50 - number / 10)
            lab.log(at, NOW + timedelta(seconds=5))
        turn(lab, rule, 5)

    lab.faults["known"] = other
    turn(lab, rule, 0)
    turns(lab, rule, 2, 12)
    assert lab.lost(rule) == []


def test_an_end_in_the_future_is_neither_recorded_nor_believed() -> None:
    lab, rule = Lab(), make_rule()
    cycle.run(lab, [rule], NOW + minutes(60), TERMS, clock=lambda: lab.now)
    assert lab.checkpoints([rule.rule_id])[rule.rule_id].end == NOW
    turn(lab, rule, 19)  # a daemon nine minutes fast
    lab.log(NOW + minutes(12))
    lab.log(NOW + minutes(17.5))
    turn(lab, rule, 18)
    assert lab.alerted == {"e0", "e1"}


def test_clocks_that_differ_by_seconds_do_not_bring_back_a_day() -> None:
    checkpoint = Checkpoint("r", NOW + timedelta(seconds=2))
    assert schedule.believed(checkpoint, NOW, minutes(60)).end == NOW - timedelta(seconds=5)


def test_a_sweep_goes_past_a_flood() -> None:
    lab, rule = Lab(), make_rule(max_signals=5)
    terms = replace(TERMS, sweep=Sweep(minutes(60), minutes(360)))
    turns(lab, rule, -12, 0, terms)
    lab.flood(NOW - minutes(2), 300)
    turn(lab, rule, 0, terms)
    late = lab.log(NOW - minutes(30), NOW + minutes(6))
    turns(lab, rule, 1, 14, terms)
    assert late in lab.alerted


def test_a_sweep_of_a_delayed_rule_comes_once_in_its_time() -> None:
    lab, rule = Lab(), make_rule(lookback=minutes(26), delay=minutes(20))
    terms = replace(TERMS, sweep=Sweep(minutes(60), minutes(360)))
    turns(lab, rule, 0, 61, terms)
    assert len({record.started for record in lab.runs if record.kind == "late"}) in {4, 5}


SWEEPING = replace(TERMS, sweep=Sweep(minutes(60), minutes(120)))


@pytest.mark.parametrize("fault", ["fails", "crashes"])
def test_a_sweep_that_fails_is_made_up_for(fault: Fault) -> None:
    lab, rule = Lab(), make_rule()
    turns(lab, rule, 0, 12, SWEEPING)
    late = lab.log(NOW + minutes(2), NOW + minutes(58))

    lab.faults["known"] = fault  # only the sweep finds something to look up
    try:
        turn(lab, rule, 60, SWEEPING)
    except Crash:
        assert fault == "crashes"
    lab.faults.clear()
    assert late not in lab.alerted
    turn(lab, rule, 65, SWEEPING)
    assert late in lab.alerted


def test_all_that_a_sweep_finds_is_marked_though_a_cap_spreads_it() -> None:
    lab, rule = Lab(), make_rule(max_signals=5)
    turns(lab, rule, 0, 12, SWEEPING)
    for number in range(20):
        lab.log(NOW + minutes(2) + timedelta(seconds=number), NOW + minutes(58))
    turns(lab, rule, 12, 20, SWEEPING)
    late = [alert.document.get("detector.late") for alert in lab.alerts.values()]
    assert late == [True] * 20


def test_a_flood_met_by_a_sweep_is_said() -> None:
    lab, rule = Lab(), make_rule(max_signals=5)
    turns(lab, rule, 0, 12, SWEEPING)
    for number in range(300):
        lab.log(NOW + minutes(2) + timedelta(seconds=number / 10), NOW + minutes(58))
    turns(lab, rule, 12, 20, SWEEPING)
    floods = [a for a in lab.alerts.values() if "detector.flood.matches" in a.document]
    assert len(floods) == 1
    assert len(lab.gaps()) == 1


def test_the_past_is_caught_up_with_oldest_first() -> None:
    lab, rule = Lab(), make_rule()
    turn(lab, rule, -60 * 6)
    report = turn(lab, rule, 0)
    starts = [record.window.start for record in report.runs if record.kind == "catch-up"]
    assert len(starts) > 4
    assert starts == sorted(starts)


def test_what_makes_way_for_live_windows_goes_on_in_idle_moments_within_its_cap() -> None:
    lab, rule, unfinished = Lab(), make_rule(max_signals=30), dict[Rule, Budget]()
    turn(lab, rule, -60 * 10)
    for hour in range(10):
        for number in range(5):
            lab.log(NOW - minutes(60 * hour + 20) + timedelta(seconds=number))
    lab.now = NOW
    cycle.run(
        lab,
        [rule],
        NOW,
        TERMS,
        clock=lambda: lab.now,
        hurried=lambda: True,
        unfinished=unfinished,
    )
    assert len(lab.alerted) < 15
    for _ in range(12):
        if unfinished:
            cycle.go_on(
                lab,
                unfinished,
                TERMS,
                stopping=lambda: False,
                backoff=Backoff(),
                clock=lambda: lab.now,
                hurried=lambda: True,
            )
    assert not unfinished
    assert len(lab.alerted) == 30, "the cap is a rate"
    assert lab.lost(rule) == []


def test_a_look_back_longer_than_the_catch_up_limit_is_not_given_up() -> None:
    lab, rule = Lab(), make_rule(max_signals=5, lookback=minutes(26 * 60))
    turn(lab, rule, 0)
    lab.flood(NOW + minutes(2), 50)
    turns(lab, rule, 1, 15)
    assert not any(record.gaps for record in lab.runs)


def test_a_gap_is_no_wider_than_what_was_given_up() -> None:
    spans = [(60, 59), (55, 54.5)]
    waiting = tuple(Window(NOW - minutes(60 * a), NOW - minutes(60 * b)) for a, b in spans)
    plan = schedule.due(make_rule(), Checkpoint("r", NOW, waiting=waiting), NOW)
    assert plan.too_old == waiting


def test_a_rule_that_changed_while_something_waits_says_so() -> None:
    lab = Lab()
    lab.flood(NOW - minutes(2), 20)
    turn(lab, make_rule(max_signals=5, hash="1"), 0)
    report = turn(lab, make_rule(max_signals=5, hash="2"), 5)
    assert any("the rule has changed" in said for said in report.runs[0].warnings)


def test_the_warning_names_the_cap_in_force() -> None:
    lab = Lab()
    lab.flood(NOW - minutes(1), 20)
    report = turn(lab, make_rule(), 0, replace(TERMS, max_signals=5))
    assert "max_signals (5)" in report.runs[0].warnings[0]


def test_a_piece_of_the_past_that_fails_holds_up_none_behind_it() -> None:
    class Broken(Lab):
        def search(self, searches: Sequence[Question]) -> list[Answer]:
            return [
                Failure(Unavailable("time-out")) if _within(search.window) else answer
                for search, answer in zip(searches, super().search(searches), strict=True)
            ]

    def _within(window: Window) -> bool:
        return NOW - minutes(300) <= window.start and window.end <= NOW - minutes(120)

    lab, rule, backoff = Broken(), make_rule(), Backoff()
    turn(lab, rule, -240)
    event = lab.log(NOW - minutes(30))
    for number in range(3):
        turn(lab, rule, 5 * number, backoff=backoff)
    assert event in lab.alerted


def test_a_rule_whose_alerts_are_refused_fails_alone() -> None:
    class Picky(Lab):
        def write_alerts(self, alerts: Sequence[Alert]) -> Written:
            if any(one.document["kibana.alert.rule.rule_id"] == "bad" for one in alerts):
                raise Rejected("no")
            return super().write_alerts(alerts)

    lab = Picky()
    lab.log(NOW - minutes(1))
    rules = [make_rule(rule_id="bad"), make_rule(rule_id="good")]
    report = cycle.run(lab, rules, NOW, TERMS, clock=lambda: NOW)
    status = {record.rule_id: record.status for record in report.runs}
    assert status == {"bad": "failed", "good": "succeeded"}


def test_a_clock_that_is_set_back_by_an_hour_stops_no_rule() -> None:
    lab, rule, kept = Lab(), make_rule(), Kept()
    daemon = Daemon(lab, Fixed([rule]), TERMS, kept, clock=lambda: lab.now)
    for at in (60, 65):
        lab.now = NOW + minutes(at)
        daemon.tick()
    events = []
    for at in range(6, 90):
        lab.now = NOW + minutes(at)
        events.append(lab.log(lab.now - timedelta(seconds=30)))
        daemon.tick()
    assert not kept.errors
    assert set(events[:-6]) <= lab.alerted


@pytest.mark.slow
def test_one_rules_backlog_does_not_keep_the_others_from_their_time() -> None:
    asked: list[float] = []

    class Slow(MemoryStore):
        def search(self, searches: Sequence[Question]) -> list[Answer]:
            if any(search.rule_id == "quick" for search in searches):
                asked.append(time.monotonic())
            time.sleep(0.2)
            return super().search(searches)

    store, now = Slow(), datetime.now(UTC)
    old = make_rule(rule_id="old")
    second = timedelta(seconds=1)
    quick = make_rule(rule_id="quick", interval=second, lookback=3 * second)
    before = now - timedelta(hours=20)
    cycle.run(store, [old], before, TERMS, clock=lambda: before)
    asked.clear()
    daemon = Daemon(store, Fixed([old, quick]), TERMS, Kept())
    thread = threading.Thread(target=daemon.run, args=(second,))
    thread.start()
    time.sleep(4)
    daemon.stop()
    thread.join(10)
    assert len(asked) >= 3


# The same, whatever happens: turns and pauses, faults, crashes, late events, floods, two engines.

CALLS: list[Call] = ["search", "known", "write", "save", "survey", "checkpoints", "record"]
RULES: list[dict[str, Any]] = [
    {},
    {"lookback": minutes(3)},
    {"lookback": minutes(35)},
    {"lookback": minutes(65)},
    {"lookback": minutes(7), "delay": minutes(1)},
    {"lookback": minutes(27), "delay": minutes(20)},
]
events = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.5, 0.9]),  # when in the pause
        st.sampled_from([0, 0, 0.05, 0.3, 1]),  # how late, of what is allowed
        st.sampled_from([1, 3, 14, 30]),  # how many
    ),
    max_size=3,
)
steps = st.lists(
    st.tuples(
        st.sampled_from([0.2, 4, 5, 5, 5, 6, 12, 70, 700]),
        events,
        st.none()
        | st.tuples(
            st.sampled_from(CALLS), st.sampled_from(["fails", "crashes", "answer lost", "other"])
        ),
        st.booleans(),
    ),
    min_size=2,
    max_size=7,
)
bounded = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@bounded
@given(
    changes=st.sampled_from(RULES),
    steps=steps,
    cap=st.sampled_from([2, 5, 100]),
    sweeping=st.booleans(),
)
def test_every_event_in_time_is_alerted_waits_or_lies_in_a_gap(
    changes: dict[str, Any],
    steps: list[tuple[float, list[tuple[float, float, int]], tuple[Call, str] | None, bool]],
    cap: int,
    sweeping: bool,
) -> None:
    lab, rule = Lab(7), make_rule(max_signals=cap, **changes)
    sweep = Sweep(minutes(60), minutes(360)) if sweeping else None
    terms = replace(TERMS, flood=4, catch_up=CatchUp(minutes(600), minutes(60)), sweep=sweep)
    begun: list[dict[str, Checkpoint]] = [{}, {}]

    def go(engine: int) -> Callable[[], None]:
        def one() -> None:
            try:
                turn(lab, rule, terms=terms, begun=begun[engine])
            except Crash:
                begun[engine] = {}
            except Unavailable:
                pass

        return one

    def other() -> None:
        lab.now += minutes(5)
        go(1)()

    go(0)()
    for pause, logged, fault, filling in steps:
        _log(lab, logged, minutes(pause), schedule.lateness(rule))
        lab.now += minutes(pause)
        if fault is not None:
            call, kind = fault
            lab.faults[call] = other if kind == "other" else kind  # type: ignore[assignment]
        go(0)()
        lab.faults.clear()
        if filling:
            fill(lab, rule)
        assert lab.lost(rule) == []
    for _ in range(4):
        lab.now += minutes(5)
        go(0)()
    assert lab.lost(rule) == []


def _log(
    lab: Lab, logged: list[tuple[float, float, int]], pause: timedelta, allowed: timedelta
) -> None:
    for share, late, count in logged:
        for number in range(count):
            at = lab.now + pause * share + timedelta(milliseconds=10 * (number // 2))
            at = at.replace(microsecond=at.microsecond // 1000 * 1000)
            lab.log(at, at + allowed * late)
