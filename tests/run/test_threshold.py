"""Threshold rules count exactly what a view holds, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from detector.detect import grouping
from detector.model import Answer, Question, Window
from detector.run import backfill, proof
from detector.store.memory import MemoryStore
from tests.builders import NOW, TERMS
from tests.run.lab import Call, turn, turns
from tests.run.stepwise import People, threshold_rule


@pytest.fixture
def lab() -> People:
    return People()


def counts(lab: People) -> list[int]:
    return [alert.document["kibana.alert.threshold_result"]["count"] for alert in lab.said]


def seconds(first: float, count: int) -> list[float]:
    """So many events from a minute on, a second apart."""
    return [first + number / 60 for number in range(count)]


def test_so_many_events_of_one_person_make_an_alert_with_a_sample_of_them(lab: People) -> None:
    lab.act(seconds(-4, 30))
    lab.act(seconds(-4, 4), "bob")
    assert turn(lab, threshold_rule(), 0).alerts_created == 1
    (alert,) = lab.said
    body = alert.document
    assert body["user"] == {"name": "ann"}
    assert body["kibana.alert.threshold_result"] == {
        "terms": [{"field": "user.name", "value": "ann"}],
        "count": 30,
        "from": "2026-03-01T11:56:00.000Z",
        "cardinality": [],
    }
    assert body["kibana.alert.original_time"] == "2026-03-01T11:56:29.000Z"
    assert [one["id"] for one in body["kibana.alert.ancestors"]] == [f"e{n}" for n in range(20)]
    assert body["kibana.alert.depth"] == 1
    assert "process" not in body, "no event has all of it"
    assert body["kibana.alert.uuid"] == alert.id


@pytest.mark.parametrize("now", [0, 2, 7])
def test_overlapping_views_alert_once_for_the_same_events(lab: People, now: int) -> None:
    lab.act(seconds(-4, 6))
    turns(lab, threshold_rule(), 0, 4)
    turn(lab, threshold_rule(), 20 + now)
    assert counts(lab) == [6]


def test_a_long_window_is_asked_where_there_are_events(
    lab: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in (-6_000, -3_001, -4):
        lab.act(seconds(minute, 6))
        lab.act(seconds(minute + 1.5, 6), "bob")
    window, execution = Window(NOW - timedelta(days=5), NOW), TERMS.execution(NOW, NOW)
    store = Counting([one.stored for one in lab.events])
    found = proof.matches(store, threshold_rule(), window, execution)
    few = store.asked
    monkeypatch.setattr(grouping, "FEW", 10**9)
    assert proof.matches(store, threshold_rule(), window, execution) == found
    assert few < (store.asked - few) / 5
    assert len(found) == 6


class Counting(MemoryStore):
    """Lists that count how often they are asked."""

    asked = 0

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += 1
        return super().search(questions)


def test_who_goes_on_alerts_again_for_the_events_since(lab: People) -> None:
    lab.act([n - 0.5 for n in range(40)])
    turns(lab, threshold_rule(value=10), 1, 9)
    assert counts(lab) == [11, 10, 10]
    spans = [
        (one.document["detector.span.start"], one.document["detector.span.end"]) for one in lab.said
    ]
    assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_what_lies_before_an_alert_counts_together_with_what_lies_after_it(lab: People) -> None:
    rule = threshold_rule(value=4)
    lab.act([-2, -1.9, -1.8, -1.7])
    turn(lab, rule, 0)
    lab.act([-9, -8], seen=12)
    lab.act([3, 3.1])
    turn(lab, rule, 5)
    assert counts(lab) == [4, 4]
    assert lab.said[0].document["kibana.alert.threshold_result"]["from"].endswith("11:51:00.000Z")


def test_a_late_event_inside_the_span_of_an_alert_is_not_counted_again(lab: People) -> None:
    rule = threshold_rule(value=2)
    lab.act([-4, -2])
    turn(lab, rule, 0)
    lab.act([-3.5, -3, -2.5], seen=8)
    turns(lab, rule, 1, 4)
    assert counts(lab) == [2]


def test_late_events_outside_every_span_alert_by_themselves(lab: People) -> None:
    rule = threshold_rule(value=2)
    lab.act([-4, -3])
    turn(lab, rule, 0)
    lab.act([-9, -8], seen=10)
    turns(lab, rule, 1, 4)
    assert counts(lab) == [2, 2]


def test_a_view_is_as_long_as_the_rule_says_after_downtime_too(lab: People) -> None:
    rule = threshold_rule(value=5)
    turn(lab, rule, 0)
    lab.act([10, 30, 50, 70, 90, 110])
    turn(lab, rule, 120)
    assert counts(lab) == [], "six in two hours are not five in twenty minutes"
    assert not lab.gaps()
    lab.act(seconds(111, 5), "bob")
    turn(lab, rule, 125)
    assert counts(lab) == [5]


def test_after_downtime_every_slot_that_was_missed_is_asked(lab: People) -> None:
    rule = threshold_rule(value=5)
    turn(lab, rule, 0)
    lab.act(seconds(31, 5))
    lab.act(seconds(62, 5))
    turn(lab, rule, 120)
    assert counts(lab) == [5, 5]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_backfill_says_what_live_runs_said(lab: People, workers: int) -> None:
    rule = threshold_rule(value=6)
    lab.act([n * 1.7 - 20 for n in range(200)])
    lab.act([n * 2.9 - 20 for n in range(100)], ["bob", "ann"])
    turns(lab, rule, 0, 40)
    live = {id_: alert.document["detector.span.end"] for id_, alert in lab.alerts.items()}
    assert len(live) > 20
    lab.now = NOW + timedelta(minutes=200)
    window = Window(NOW - timedelta(minutes=5), NOW + timedelta(minutes=195))
    manner = backfill.Manner(workers=workers)

    def fill() -> int:
        return backfill.run(
            lab, [rule], window, TERMS, clock=lambda: lab.now, manner=manner
        ).alerts_created

    assert fill() == 0, "all of it has been said"
    lab.alerts.clear()
    assert fill() == len(live)
    assert {i: a.document["detector.span.end"] for i, a in lab.alerts.items()} == live


def test_a_dry_backfill_counts_what_one_that_writes_would_create(lab: People) -> None:
    rule = threshold_rule(value=6)
    lab.act([n * 0.7 for n in range(60)])
    lab.now = NOW + timedelta(hours=1)
    window = Window(NOW, lab.now)
    told = [
        backfill.run(
            lab, [rule], window, TERMS, clock=lambda: lab.now, manner=backfill.Manner(dry=dry)
        ).alerts_created
        for dry in (True, False)
    ]
    assert told[0] == told[1] == len(lab.alerts) > 1


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        pytest.param({"by": ()}, [((), 9)], id="without fields all events are one group"),
        pytest.param({"by": (), "value": 10}, [], id="too few"),
        pytest.param({}, [(("ann",), 6), (("bob",), 5)], id="each value of an array counts"),
        pytest.param(
            {"by": ("user.name", "host.name")},
            [(("ann", "node-1"), 6), (("bob", "node-1"), 5)],
            id="two fields",
        ),
        pytest.param({"by": ("user.id",)}, [], id="a field nothing has"),
        pytest.param({"distinct": [("process.pid", 4)]}, [(("ann",), 6)], id="so many values"),
        pytest.param({"distinct": [("process.pid", 7)]}, [], id="not so many values"),
        pytest.param({"by": (), "distinct": [("process.pid", 7)]}, [((), 9)], id="of all events"),
        pytest.param({"by": (), "distinct": [("process.pid", 8)]}, [], id="of all, too few"),
        pytest.param(
            {"query": "any where length(process.name) == 4"},
            [(("ann",), 6), (("bob",), 5)],
            id="what no query can say",
        ),
    ],
)
def test_groups(lab: People, changes: dict[str, Any], made: list[Any]) -> None:
    pids = [[1], [2, 3], [4], [4], [5, 6], [5, 6], [7], [7], [7]]
    people = [["ann"]] * 4 + [["ann", "bob"]] * 2 + [["bob", "bob"]] * 3
    for number, (pid, names) in enumerate(zip(pids, people, strict=True)):
        process = {"name": "bash", "args": ["bash", "-i"], "pid": pid}
        lab.act(number * 0.1 - 4, names, process=process)
    turn(lab, threshold_rule(**changes), 0)
    told = [
        (tuple(t["value"] for t in result["terms"]), result["count"])
        for alert in lab.said
        if (result := alert.document["kibana.alert.threshold_result"])
    ]
    assert sorted(told) == made


def test_different_values_are_counted_outside_what_has_been_said(lab: People) -> None:
    rule = threshold_rule(value=3, distinct=[("process.pid", 3)])
    for number, pid in enumerate([1, 2, 3, 1, 2, 1]):
        lab.act(number * 2 - 5, process={"name": "a", "pid": pid})
    turns(lab, rule, 0, 4)
    assert [a.document["kibana.alert.threshold_result"]["cardinality"] for a in lab.said] == [
        [{"field": "process.pid", "value": 3}]
    ]


def test_more_groups_than_a_page_holds_are_all_seen(lab: People) -> None:
    for number in range(130):
        lab.act([-3, -2], f"u{number}")
    report = turn(lab, threshold_rule(value=2, max_signals=1_000), 0)
    assert report.alerts_created == 130


def test_what_a_cap_keeps_back_is_said_by_the_next_run(lab: People) -> None:
    rule = threshold_rule(value=2, max_signals=10)
    for number in range(25):
        lab.act([-3, -2], f"u{number}")
    assert [turn(lab, rule, 5 * n).alerts_created for n in range(4)] == [10, 10, 5, 0]


@pytest.mark.parametrize("call", ["search", "known", "write", "save"])
def test_another_daemon_in_the_middle_of_a_run_says_nothing_twice(lab: People, call: Call) -> None:
    def interrupt() -> None:
        turn(lab, threshold_rule(), 0)

    lab.act(seconds(-4, 6))
    lab.faults[call] = interrupt
    turn(lab, threshold_rule(), 0)
    turns(lab, threshold_rule(), 1, 3)
    assert counts(lab) == [6]


def test_events_are_taken_by_either_time_as_one_count(lab: People) -> None:
    rule = replace(threshold_rule(value=4), timestamp_override="event.ingested")
    lab.act([-3, -2])
    lab.act([-2.5, -1.5], event={"id": "x", "kind": "event"})
    turn(lab, rule, 0)
    assert counts(lab) == [4]
