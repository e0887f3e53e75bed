"""Matches of the same values share an alert, which counts each of them once. On lists."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from detector.errors import Unavailable
from detector.language import eql
from detector.model import Alert, Rule, Suppression, Window
from detector.run import backfill
from detector.store.memory import Stored
from tests.builders import INDEX, NOW, TERMS, iso, make_rule
from tests.run.lab import Call, Crash, Fault, turn, turns
from tests.run.stepwise import People, new_terms_rule, threshold_rule

START, END = "kibana.alert.suppression.start", "kibana.alert.suppression.end"
COUNT = "kibana.alert.suppression.docs_count"
STATUS = "kibana.alert.workflow_status"


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def suppressing(
    rule: Rule | None = None, by: Sequence[str] = ("user.name",), *, lasts: float = 30, **more: Any
) -> Rule:
    """Any event; one alert for each user in half an hour."""
    asked = Suppression(tuple(by), minutes(lasts), **more)
    plain = rule or make_rule("any where true", lookback=minutes(10))
    return replace(plain, suppression=asked)


def told(lab: People) -> list[tuple[float, float, int]]:
    """From which to which minute after `NOW` alerts speak, and how many matches they stand for."""
    return sorted(
        (_minute(one.document[START]), _minute(one.document[END]), one.document[COUNT] + 1)
        for one in lab.alerts.values()
        if START in one.document
    )


def _minute(text: str) -> float:
    return (datetime.fromisoformat(text) - NOW).total_seconds() / 60


def mark(lab: People, **fields: Any) -> None:
    """What somebody says of the only alert that is open."""
    (alert,) = (one for one in lab.alerts.values() if one.document[STATUS] != "closed")
    lab.alerts[alert.id] = replace(alert, document=alert.document | fields)


def test_matches_of_the_same_values_share_an_alert() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 2, 3])
    lab.act(2, "bob")
    report = turn(lab, rule, 5)
    assert told(lab) == [(1, 3, 3), (2, 2, 1)]
    assert (report.runs[0].matches, report.alerts_created) == (4, 2)
    alert = min(lab.alerts.values(), key=lambda one: str(one.document[START]))
    assert alert.document["event"]["id"] == "e0"
    assert alert.document["kibana.alert.suppression.terms"] == [
        {"field": "user.name", "value": "ann"}
    ]


def test_later_runs_add_to_the_alert_until_it_has_lasted() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 8, 30.9, 31, 40])
    turns(lab, rule, 1, 10)
    assert told(lab) == [(1, 30.9, 3), (31, 40, 2)]
    first = min(lab.alerts.values(), key=lambda one: str(one.document[START])).document
    assert first["kibana.alert.last_detected"] == iso(NOW + minutes(35))
    assert first["kibana.alert.start"] == iso(NOW + minutes(5))


def test_a_late_event_is_counted_inside_and_just_before_an_alert() -> None:
    lab, rule = People(), suppressing(make_rule("any where true", lookback=minutes(60)))
    turn(lab, rule, 0)
    lab.act([10, 20])
    turn(lab, rule, 20.5)
    lab.act(12, seen=10)
    lab.act(4, seen=20)
    turns(lab, rule, 5, 8)
    assert told(lab) == [(4, 20, 4)]


def test_a_late_event_long_before_an_alert_has_its_own_up_to_there() -> None:
    lab, rule = People(), suppressing(make_rule("any where true", lookback=minutes(90)))
    turn(lab, rule, 0)
    lab.act(40)
    turn(lab, rule, 41)
    lab.act([8, 37], seen=35)
    turn(lab, rule, 75)
    assert told(lab) == [(8, 37, 2), (40, 40, 1)]


def test_an_alert_that_is_closed_takes_no_more() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 3])
    turn(lab, rule, 5)
    mark(lab, **{STATUS: "closed"})
    turn(lab, rule, 6)
    assert len(lab.alerts) == 1, "what it counts already is seen again"
    lab.act([7, 8])
    turn(lab, rule, 10)
    lab.act(2, seen=9)
    turn(lab, rule, 11)
    assert told(lab) == [(1, 3, 3), (7, 8, 2)]


def test_what_people_do_to_an_alert_stays() -> None:
    lab, rule = People(), suppressing()
    lab.act(1)
    turn(lab, rule, 5)
    said = {STATUS: "acknowledged", "kibana.alert.workflow_tags": ["mine"]}
    mark(lab, **said)
    lab.act(6)
    turn(lab, rule, 10)
    (alert,) = lab.alerts.values()
    assert alert.document[COUNT] == 1
    assert said.items() <= alert.document.items()


@pytest.mark.parametrize(("missing", "expected"), [(True, [(1, 3, 2), (2, 2, 1)]), (False, [])])
def test_a_missing_field_is_a_value_or_suppresses_nothing(
    missing: bool, expected: list[tuple[float, float, int]]
) -> None:
    lab, rule = People(), suppressing(by=["user.name", "agent.id"], missing=missing)
    lab.act([1, 3])
    lab.act(2, agent={"id": "x"})
    turn(lab, rule, 5)
    assert [one for one in told(lab) if missing or one[0] != 2] == expected
    assert len(lab.alerts) == (2 if missing else 3)


def test_several_values_are_one_whatever_their_order() -> None:
    lab, rule = People(), suppressing()
    lab.act(1, ["ann", "bob"])
    lab.act(2, ["bob", "ann", "bob"])
    lab.act(3, "ann")
    turn(lab, rule, 5)
    assert told(lab) == [(1, 2, 2), (3, 3, 1)]


@pytest.mark.parametrize("far", ["9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", "soon"])
def test_an_event_that_claims_an_odd_time_harms_no_other(far: str) -> None:
    lab, rule = People(), suppressing(lasts=60 * 24 * 3000)
    lab.act([1, 2])
    lab.act(3, "eve")
    source = lab.events[-1].stored.source
    odd = Stored(INDEX, "odd", {**source, "@timestamp": far})
    lab.events[-1] = replace(lab.events[-1], stored=odd)
    report = turn(lab, rule, 5)
    assert (report.runs[0].error, len(lab.alerts)) == (None, 2)
    assert turn(lab, rule, 6).runs[0].error is None
    assert (1, 2, 2) in told(lab)


def test_copies_of_an_event_count_once() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 2])
    for number, one in enumerate(list(lab.events)):
        copy = Stored(INDEX, f"copy-{number}", one.stored.source)
        lab.events.append(replace(one, id=f"copy-{number}", stored=copy))
    turn(lab, rule, 5)
    turn(lab, rule, 8)
    assert told(lab) == [(1, 2, 2)]


def test_an_event_that_had_alerted_before_suppression_takes_others_in() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 2])
    turn(lab, replace(rule, suppression=None), 1.5)
    lab.act([3])
    turn(lab, rule, 5)
    assert told(lab) == [(1, 3, 3)]


def test_max_signals_counts_alerts_alone() -> None:
    lab, rule = People(), replace(suppressing(), max_signals=2)
    lab.act([1, 1.5, 2], "ann")
    lab.act([1, 1.5, 2.5], "bob")
    lab.act([1, 2, 2.7], "eve")
    turn(lab, rule, 5)
    assert len(lab.alerts) == 2
    turn(lab, rule, 10)
    assert [count for *_, count in told(lab)] == [3, 3, 3]


def test_a_sequence_counts_by_what_all_its_events_have() -> None:
    where = eql.parse('sequence by user.name [any where process.name == "a"] [any where true]')
    rule = suppressing(replace(make_rule(), where=where, timestamp_override=None))
    lab = People()
    for minute, name, process in [
        (1, "ann", "a"), (1.1, "ann", "b"), (2, "bob", "a"), (2.1, "bob", "b"), (3, "ann", "a"),
        (3.1, "ann", "b"),
    ]:  # fmt: skip
        lab.act(minute, name, process={"name": process})
    turn(lab, rule, 4)
    assert told(lab) == [(1.1, 3.1, 2), (2.1, 2.1, 1)]
    lab.act(6, "ann", process={"name": "a"})
    lab.act(6.1, "ann", process={"name": "b"})
    turn(lab, rule, 9)
    assert told(lab) == [(1.1, 6.1, 3), (2.1, 2.1, 1)]


def test_a_threshold_counts_how_often_it_was_reached() -> None:
    rule = suppressing(threshold_rule(3, minutes=10), lasts=60)
    lab = People()
    turn(lab, rule, 0)
    lab.act([1, 2, 3, 8, 9, 9.5, 21, 22, 23, 33])
    turns(lab, rule, 1, 10)
    assert told(lab) == [(1, 23, 3)]
    lab.act([62, 63, 64])
    turns(lab, rule, 10, 16)
    assert told(lab) == [(1, 23, 3), (62, 64, 1)]


def test_new_terms_are_suppressed_by_other_fields() -> None:
    rule = suppressing(new_terms_rule(), ["host.name"])
    lab = People()
    turn(lab, rule, 0)
    for minute, name in [(1, "ann"), (2, "bob"), (3, "ann"), (7, "eve"), (8, "bob")]:
        lab.act(minute, name)
    turns(lab, rule, 1, 6)
    assert told(lab) == [(1, 7, 3)]


def test_a_dry_run_says_how_many_alerts_there_would_be() -> None:
    lab, rule = People(), suppressing()
    lab.act([1, 2, 3, 40])
    manner = backfill.Manner(dry=True)
    lab.now = NOW + minutes(60)
    window = Window(NOW, NOW + minutes(60))
    report = backfill.run(lab, [rule], window, TERMS, clock=lambda: lab.now, manner=manner)
    assert (report.alerts_created, len(lab.alerts)) == (2, 0)


# The same, however time is cut, whatever goes wrong, however often it is asked.

RULES = {
    "by event time": make_rule("any where true", lookback=minutes(12), timestamp_override=None),
    "by ingestion": make_rule("any where true", lookback=minutes(12)),
    "capped": make_rule("any where true", lookback=minutes(12), max_signals=2),
    "threshold": threshold_rule(2, minutes=15),
    "new terms": new_terms_rule(),
    "sequence": make_rule(
        "sequence by user.name with maxspan=4m [any where true] [any where true]",
        lookback=minutes(12),
        timestamp_override=None,
    ),
    "absence": make_rule(
        'sequence by user.name with maxspan=3m [any where true] ![any where user.name == "eve"]',
        lookback=minutes(12),
        timestamp_override=None,
    ),
}
FAULTS: list[tuple[Call, Fault]] = [
    (call, kind)
    for call in ("search", "known", "write", "change", "save", "record")
    for kind in ("fails", "crashes", "answer lost")
]
bounded = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
acts = st.lists(
    st.tuples(st.integers(0, 90), st.sampled_from(["ann", "bob"]), st.integers(1, 3)), max_size=12
)
cuts = st.lists(
    st.tuples(
        st.sampled_from([1, 4, 5, 5, 8, 10]),  # minutes
        st.none() | st.sampled_from(FAULTS),
        st.booleans(),  # whether a backfill over all of it comes between
    ),
    min_size=3,
    max_size=12,
)
PAUSES = [(5, None, False)] * 22
Steps: TypeAlias = list[tuple[int, tuple[Call, Fault] | None, bool]]


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@bounded
@given(acted=acts, steps=cuts, lasts=st.sampled_from([5, 17, 120]))
def test_the_same_alerts_as_one_run_over_all(
    name: str, acted: list[tuple[int, str, int]], steps: Steps, lasts: int
) -> None:
    rule = suppressing(RULES[name], lasts=lasts)
    lab, whole = People(7), People(5)
    for one in (lab, whole):
        for minute, who, count in acted:
            one.act([minute + number / 100 for number in range(count)], who)
    minute = -5
    turn(lab, rule, minute)
    for pause, fault, again in (*steps, *PAUSES):
        minute += 5 if rule.stepwise else pause  # its slots are those of the grid
        _tried(lab, rule, minute, fault)
        turn(lab, rule, minute)
        if again:
            _backfilled(lab, rule, minute)
    _backfilled(whole, rule, minute)
    assert _contents(lab) == _contents(whole)
    _backfilled(lab, rule, minute)
    assert _contents(lab) == _contents(whole), "a repeat adds nothing"


@pytest.mark.slow
@bounded
@given(
    name=st.sampled_from(["by event time", "by ingestion", "capped"]),
    acted=acts,
    late=st.lists(st.integers(0, 11), min_size=12, max_size=12),
    steps=cuts,
    slow=st.sampled_from([1, 5]),
)
def test_each_event_is_counted_once_however_late(
    name: str, acted: list[tuple[int, str, int]], late: list[int], steps: Steps, slow: int
) -> None:
    """Late events, and what is caught up with behind live windows."""
    lab, rule = People(7), suppressing(RULES[name], lasts=17)
    rule = replace(rule, lookback=minutes(16))
    for (minute, who, count), seen in zip(acted, late, strict=False):
        lab.act([minute + number / 100 for number in range(count)], who, seen=seen)
    minute = -5
    turn(lab, rule, minute)
    for pause, fault, again in (*steps, *PAUSES):
        minute += slow * pause
        _tried(lab, rule, minute, fault)
        if again:
            _backfilled(lab, rule, minute)
    assert sum(count for *_, count in told(lab)) == len(lab.events)
    assert _apart(lab)


def _tried(lab: People, rule: Rule, minute: float, fault: tuple[Call, Fault] | None) -> None:
    lab.faults = dict([fault] if fault else [])
    with suppress(Crash, Unavailable):
        turn(lab, rule, minute)
    lab.faults = {}


def _backfilled(lab: People, rule: Rule, minute: float) -> None:
    lab.now = NOW + minutes(minute)
    backfill.run(lab, [rule], Window(NOW - minutes(5), lab.now), TERMS, clock=lambda: lab.now)


def _contents(lab: People) -> set[tuple[str, str, str, int]]:
    def of(alert: Alert) -> tuple[str, str, str, int]:
        return alert.id, alert.document[START], alert.document[END], alert.document[COUNT]

    return {of(one) for one in lab.alerts.values() if START in one.document}


def _apart(lab: People) -> bool:
    """Whether no two alerts of a user speak of the same time."""
    spans = sorted(
        (alert.document["kibana.alert.instance.id"], alert.document[START], alert.document[END])
        for alert in lab.alerts.values()
    )
    return all(a[0] != b[0] or a[2] < b[1] for a, b in pairwise(spans))
