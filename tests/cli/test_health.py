"""How a rule is judged by what is known of it, without a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from detector.cli import health
from detector.cli.health import Known, State
from detector.model import Checkpoint, Gap, Leases, Member, Window
from detector.store.sources import Delays, Source, View
from tests.builders import NOW, make_rule

RULE = make_rule()
ID = RULE.rule_id
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FAILED = {"status": "failed", "error": "it broke"}
WARNED = {"status": "partial failure", "warnings": ["reached max_signals"]}
PARTIAL = {"status": "partial failure", "error": "a shard failed"}


def at(behind: timedelta, *waiting: Window) -> Checkpoint:
    return Checkpoint(ID, NOW - behind, waiting)


def view(*ages: timedelta | None, late: timedelta | None = None) -> View:
    sources = tuple(
        Source(f"logs-{n}", None if age is None else NOW - age) for n, age in enumerate(ages)
    )
    newest = max((source.newest for source in sources if source.newest), default=None)
    return View(sources, newest, newest, Delays(MINUTE, MINUTE), late)


def judged(checkpoint: Checkpoint | None, seen: View | None = None, **known: Any) -> State:
    checkpoints = {ID: checkpoint} if checkpoint else {}
    views = {ID: seen} if seen else {}
    return health.judge(RULE, Known(NOW, HOUR, checkpoints, views=views, **known))


@pytest.mark.parametrize(
    ("checkpoint", "run", "seen", "expected"),
    [
        (None, {}, None, "never ran"),
        (None, {}, view(2 * HOUR), "never ran"),
        (None, FAILED, None, "failing"),
        (at(MINUTE), {}, None, "fine"),
        (at(MINUTE), {}, view(MINUTE), "fine"),
        (at(10 * MINUTE), {}, view(MINUTE), "fine"),
        (at(11 * MINUTE), {}, view(MINUTE), "late"),
        (at(11 * MINUTE), FAILED, view(2 * HOUR), "failing"),
        (at(11 * MINUTE), {}, view(2 * HOUR), "late"),
        (at(MINUTE), {}, view(HOUR), "fine"),
        (at(MINUTE), {}, view(2 * HOUR), "silent"),
        (at(MINUTE), {}, view(MINUTE, 2 * HOUR), "silent"),
        (at(MINUTE), {}, view(MINUTE, None), "fine"),
        (at(MINUTE), {}, view(None), "fine"),
        (at(-MINUTE), {}, view(MINUTE), "fine"),
    ],
)
def test_health_is_the_worst_that_is_known(
    checkpoint: Checkpoint | None, run: dict[str, str], seen: View | None, expected: str
) -> None:
    assert judged(checkpoint, seen, runs={ID: run}).health == expected


@pytest.mark.parametrize(
    ("seen", "known", "said"),
    [
        (view(MINUTE), {}, []),
        (view(2 * HOUR), {}, ["nothing new in logs-0 since 2026-03-01 10:00:00"]),
        (view(None, None), {}, ["no documents in logs-0, logs-1"]),
        (view(MINUTE, late=MINUTE), {}, []),
        (view(MINUTE, late=2 * MINUTE), {}, ["up to 2 m after their time, the look-back overlap"]),
        (view(MINUTE), {"runs": {ID: FAILED}}, ["the last run failed: it broke"]),
        (view(MINUTE), {"runs": {ID: PARTIAL}}, ["not see its whole window: a shard failed"]),
        (view(MINUTE), {"runs": {ID: WARNED}}, ["reached max_signals"]),
        (view(MINUTE), {"letters": {ID: 2}}, ["2 matches could not become alerts"]),
        (view(MINUTE), {"missing": {ID: ("a.b", "c")}}, ["that no index has: a.b, c"]),
    ],
)
def test_what_makes_a_rule_blind_is_said(
    seen: View, known: dict[str, Any], said: list[str]
) -> None:
    warnings = judged(at(MINUTE), seen, **known).warnings
    assert len(warnings) == len(said)
    for warning, part in zip(warnings, said, strict=True):
        assert part in warning


def test_what_waits_is_a_span_and_gaps_are_the_rules_own() -> None:
    first = Window(NOW - 5 * HOUR, NOW - 4 * HOUR)
    second = Window(NOW - 3 * HOUR, NOW - 2 * HOUR - 30 * MINUTE)
    gaps = [Gap(ID, first, "too old"), Gap("other", first, "too old")]
    state = judged(at(MINUTE, first, second), gaps=gaps)
    assert (state.windows, state.waiting, state.gaps) == (2, 90 * MINUTE, 1)
    assert state.due == NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 m"), (61, "1 m 1 s"), (7203, "2 h"), (-5, "-5 s"), (90_061, "1 d 1 h")],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert health.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("checkpoint", "shards", "unattended"),
    [
        (None, None, 1),
        (None, (), 1),
        (None, (0,), 1),
        (at(MINUTE), None, 0),
        (at(MINUTE), (0,), 0),
    ],
)
def test_a_rule_that_never_ran_is_late_where_nothing_runs_it(
    checkpoint: Checkpoint | None, shards: tuple[int, ...] | None, unattended: int
) -> None:
    members = () if shards is None else (Member("one", 0, "1:", shards),)
    states = [judged(checkpoint)]
    assert health.unattended(states, Leases(members)) == unattended


def test_a_rule_that_is_new_to_a_daemon_that_runs_others_is_not_late() -> None:
    states = [judged(None), judged(at(MINUTE))]
    assert health.unattended(states, Leases((Member("one", 0, "1:", (0,)),))) == 0
    assert health.unattended(states, Leases((Member("one", 0, "1:", ()),))) == 1
