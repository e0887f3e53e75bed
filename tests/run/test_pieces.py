"""Spans cut into pieces, and the records of pieces put together again."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.model import Gap, RunRecord, Window
from detector.run import lockstep, pieces
from detector.windows import merged, without
from tests.builders import NOW, make_rule

RULE = make_rule()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 20_000).map(lambda minutes: NOW + timedelta(minutes=minutes))
SPANS = st.lists(st.builds(Window, MOMENTS, MOMENTS), max_size=5)


@given(SPANS, SPANS)
def test_pieces_ask_for_what_is_wanted_and_not_covered(
    wanted: list[Window], covered: list[Window]
) -> None:
    plan = pieces.plan({RULE: wanted}, {RULE: covered})
    asked = [window for piece in plan for _, window in piece.asks]
    assert merged(asked) == merged(without(wanted, covered))
    assert sum((one.end - one.start for one in asked), timedelta(0)) == sum(
        (one.end - one.start for one in merged(asked)), timedelta(0)
    ), "no moment twice"
    for piece in plan:
        assert without([window for _, window in piece.asks], [piece.window]) == ()
        left = [window for _, window in piece.asks]
        assert piece.begun == (left != [piece.window])
    assert [piece.window.start for piece in plan] == sorted(p.window.start for p in plan)


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(seconds=1), timedelta(minutes=1)),
        (timedelta(minutes=5), timedelta(minutes=1)),
        (timedelta(hours=1), timedelta(minutes=5)),
        (timedelta(days=1), timedelta(hours=1)),
        (timedelta(days=7), timedelta(hours=6)),
        (timedelta(days=30), timedelta(days=1)),
        (timedelta(days=365), timedelta(days=7)),
    ],
)
def test_a_span_is_cut_into_few_pieces_at_the_same_places_whenever_it_is_asked(
    length: timedelta, step: timedelta
) -> None:
    assert pieces.step(Window(NOW, NOW + length)) == step
    start = NOW + timedelta(seconds=17)
    plan = pieces.plan({RULE: [Window(start, start + length)]}, {})
    assert all((piece.window.end - EPOCH) % step == timedelta(0) for piece in plan[:-1])
    assert len(plan) <= max(pieces.AT_MOST, length / timedelta(days=7)) + 2


def test_rules_with_the_same_span_share_its_pieces() -> None:
    other = make_rule(rule_id="other")
    window = Window(NOW, NOW + timedelta(minutes=3))
    minute = Window(NOW, NOW + timedelta(minutes=1))
    plan = pieces.plan({RULE: [window], other: [window]}, {RULE: [minute]})
    assert [[rule for rule, _ in piece.asks] for piece in plan] == [[other]] + [[RULE, other]] * 2


def record(minute: int, **changes: object) -> RunRecord:
    start = NOW + timedelta(minutes=minute)
    window = Window(start, start + timedelta(minutes=1))
    whole = RunRecord(f"u{minute}", "r", "name", window, start, "succeeded", "backfill", matches=1)
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_records_in_any_order_come_to_one_that_keeps_the_id_of_the_first_begun(seed: int) -> None:
    records = [record(minute) for minute in range(10)]
    random.Random(seed).shuffle(records)
    found: list[RunRecord] = []
    for one in records:
        found = pieces.joined([*found, one])
    (whole,) = found
    assert whole.window == Window(NOW, NOW + timedelta(minutes=10))
    assert (whole.matches, whole.started, whole.uuid) == (10, NOW, "u0")


def test_what_ended_otherwise_stays_apart_and_is_uncovered() -> None:
    failed = {"error": "down", "status": "failed"}
    hole = (Gap("r", record(5).window, "field is long"),)
    records = pieces.joined(
        [
            record(0),
            record(1, **failed),
            record(2, **failed),
            record(3, warnings=("said",), status="partial failure"),
            record(4),
            record(5, gaps=hole),
        ]
    )
    minutes = [(one.window.start - NOW) // timedelta(minutes=1) for one in records]
    assert minutes == [0, 1, 3, 5]
    assert records[2].status == "partial failure"
    never = Gap("r", record(6).window, "stopped")
    assert pieces.uncovered(records, [never]) == (
        Gap("r", Window(record(1).window.start, record(2).window.end), "down"),
        *hole,
        never,
    )


def test_many_pieces_with_warnings_of_their_own_keep_only_so_many() -> None:
    (whole,) = pieces.joined(record(n, warnings=(f"such as {n}",)) for n in range(100))
    assert len(whole.warnings) == lockstep.SAID
