"""Windows leave no moment uncovered, whatever the daemon did in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.model import Checkpoint, Rule, Window
from detector.run import schedule
from detector.run.schedule import CatchUp, Outcome
from detector.windows import cut

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def window(start: float, end: float) -> Window:
    """A window in minutes from noon."""
    return Window(NOON + minutes(start), NOON + minutes(end))


def make_rule(interval: float = 5, lookback: float = 6, delay: float = 0) -> Rule:
    return Rule(
        rule_id="r",
        name="r",
        type="eql",
        index=("logs-*",),
        severity="low",
        risk_score=1,
        interval=minutes(interval),
        lookback=minutes(lookback),
        delay=minutes(delay),
        where=None,
        parameters={},
    )


@pytest.mark.parametrize(
    ("checkpoint_end", "live", "backlog"),
    [
        pytest.param(None, (-6, 0), [], id="a rule that never ran asks for what `from` says"),
        pytest.param(-5, (-6, 0), [], id="on time, the look-back overlaps the last run"),
        pytest.param(-1, (-6, 0), [], id="run again early, the whole of `from` is asked again"),
        pytest.param(-7, (-8, 0), [], id="a little late, the live window stretches"),
        pytest.param(-65, (-6, 0), [(-66, -60), (-60, -6)], id="after downtime the rest waits"),
    ],
)
def test_due_continues_where_the_last_run_ended(
    checkpoint_end: float | None, live: tuple[float, float], backlog: list[tuple[float, float]]
) -> None:
    checkpoint = None
    if checkpoint_end is not None:
        checkpoint = Checkpoint("r", NOON + minutes(checkpoint_end))
    plan = schedule.due(make_rule(), checkpoint, NOON)
    assert plan.live == window(*live)
    assert list(plan.backlog) == [window(*piece) for piece in backlog]
    assert plan.too_old == ()


@pytest.mark.parametrize(
    ("checkpoint_end", "live", "backlog"),
    [
        pytest.param(None, (-5, 0), [], id="a rule that never ran has the last slot to ask"),
        pytest.param(-5, (-5, 0), [], id="on time, slots do not overlap"),
        pytest.param(-7, (-7, 0), [], id="a little late, the window has two slots"),
        pytest.param(-65, (-5, 0), [(-65, -60), (-60, -5)], id="after downtime the rest waits"),
    ],
)
def test_windows_of_a_stepwise_rule_hold_whole_slots(
    checkpoint_end: float | None, live: tuple[float, float], backlog: list[tuple[float, float]]
) -> None:
    rule = replace(make_rule(lookback=20), stepwise=True)
    checkpoint = None
    if checkpoint_end is not None:
        checkpoint = Checkpoint("r", NOON + minutes(checkpoint_end))
    plan = schedule.due(rule, checkpoint, NOON)
    assert plan.live == window(*live)
    assert list(plan.backlog) == [window(*piece) for piece in backlog]
    assert schedule.lateness(rule) == minutes(15), "what its view reaches back beyond the slot"


def test_a_stepwise_rule_is_cut_only_where_its_slots_end() -> None:
    rule = replace(make_rule(interval=7, lookback=20), stepwise=True)
    assert schedule.coarse(minutes(60), rule) == minutes(63)
    assert schedule.coarse(minutes(60), make_rule(interval=7)) == minutes(60)
    assert schedule.coarse(minutes(1), rule) == minutes(7)


def test_due_gives_up_what_is_older_than_the_catch_up_limit_and_says_so() -> None:
    checkpoint = Checkpoint("r", NOON - minutes(300))
    plan = schedule.due(make_rule(), checkpoint, NOON, CatchUp(limit=minutes(120)))
    assert plan.too_old == (window(-301, -120),)
    assert plan.backlog[0].start == NOON - minutes(120)
    assert plan.backlog[-1].end == NOON - minutes(6)


def test_cut_ends_its_pieces_on_the_grid() -> None:
    pieces = list(cut(window(-61, 3), minutes(60)))
    assert pieces == [window(-61, -60), window(-60, 0), window(0, 3)]


def test_advance_keeps_what_a_cap_left_undone() -> None:
    outcome = Outcome(window(-6, 0), "live", remaining=window(-2, 0))
    after = schedule.advance(Checkpoint("r", NOON - minutes(5)), "r", outcome)
    assert after.end == NOON
    assert after.waiting == (window(-2, 0),)


def test_advance_never_moves_the_end_back() -> None:
    outcome = Outcome(window(-66, -60), "live")
    assert schedule.advance(Checkpoint("r", NOON), "r", outcome).end == NOON


def test_advance_of_a_catch_up_leaves_the_end_alone() -> None:
    old = Checkpoint("r", NOON, waiting=(window(-60, -6),))
    after = schedule.advance(old, "r", Outcome(window(-60, -30), "catch-up"))
    assert after == Checkpoint("r", NOON, waiting=(window(-30, -6),))


pauses = st.lists(st.floats(0.1, 200), min_size=1, max_size=12)


@given(
    pauses=pauses,
    failing=st.lists(st.booleans(), min_size=12, max_size=12),
    interval=st.sampled_from([1, 5, 15]),
    overlap=st.sampled_from([0, 1, 4]),
)
def test_every_moment_since_the_first_run_is_covered_or_waiting(
    pauses: list[float], failing: list[bool], interval: int, overlap: int
) -> None:
    rule = make_rule(interval, interval + overlap)
    now, checkpoint, covered = NOON, None, []
    for pause, fails in zip(pauses, failing, strict=False):
        now += minutes(pause)
        plan = schedule.due(rule, checkpoint, now)
        if fails:
            continue
        covered.append(plan.live)
        outcome = Outcome(plan.live, "live", opened=plan.opened, given_up=plan.too_old)
        checkpoint = schedule.advance(checkpoint, "r", outcome)
        if plan.backlog:
            covered.append(plan.backlog[0])
            checkpoint = schedule.advance(checkpoint, "r", Outcome(plan.backlog[0], "catch-up"))
    if checkpoint is not None:
        reached = covered[0].start
        for piece in sorted((*covered, *checkpoint.waiting), key=lambda w: w.start):
            assert piece.start <= reached, "a moment nobody covers"
            reached = max(reached, piece.end)
        assert reached == checkpoint.end
