"""New terms rules alert once for values that nothing before had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from detector.model import Answer, Buckets, Page, Question, Window
from detector.run import backfill
from tests.builders import NOW, TERMS
from tests.run.lab import Call, turn, turns
from tests.run.stepwise import People, new_terms_rule


@pytest.fixture
def lab() -> People:
    return People()


def new(lab: People) -> list[list[Any]]:
    return [alert.document["kibana.alert.new_terms"] for alert in lab.said]


def test_a_value_the_history_lacks_makes_an_alert_of_its_oldest_event(lab: People) -> None:
    lab.act([-300, -3])
    lab.act([-4, -2], "bob")
    assert turn(lab, new_terms_rule(), 0).alerts_created == 1
    (alert,) = lab.said
    body = alert.document
    assert body["kibana.alert.new_terms"] == ["bob"]
    assert body["kibana.alert.original_event.id"] == "e2"
    assert body["process"]["name"] == "bash"
    assert [one["id"] for one in body["kibana.alert.ancestors"]] == ["e2"]
    assert body["kibana.alert.reason"].endswith("by bob on node-1 created high alert A shell.")
    assert body["detector.span.start"] == "2026-03-01T11:56:00.000Z"
    assert body["detector.span.end"] == "2026-03-01T11:58:00.000Z"


@pytest.mark.parametrize(
    ("before", "made"),
    [
        pytest.param(-10, [], id="just before the view"),
        pytest.param(-360, [], id="where the history begins"),
        pytest.param(-361, [["ann"]], id="before the history begins"),
        pytest.param(-9.9, [["ann"]], id="inside the view"),
    ],
)
def test_the_history_ends_where_the_view_begins(lab: People, before: float, made: Any) -> None:
    lab.act([before if before != -10 else -10.001, -1])
    turn(lab, new_terms_rule(), 0)
    assert new(lab) == made


def test_overlapping_views_alert_once_whichever_event_is_the_oldest(lab: People) -> None:
    lab.act([-4, -1])
    turn(lab, new_terms_rule(), 0)
    lab.act(-4.5, seen=6)
    lab.act([2, 7, 11, 16])
    turns(lab, new_terms_rule(), 1, 6)
    assert new(lab) == [["ann"]]
    assert lab.said[0].document["kibana.alert.original_event.id"] == "e0"


def test_a_value_is_new_again_when_the_history_has_forgotten_it(lab: People) -> None:
    rule = new_terms_rule(history=timedelta(minutes=30))
    lab.act([-3, 60])
    turns(lab, rule, 0, 14)
    assert new(lab) == [["ann"], ["ann"]]


def test_after_downtime_every_slot_that_was_missed_is_asked(lab: People) -> None:
    rule = new_terms_rule()
    turn(lab, rule, 0)
    lab.act(33)
    lab.act([34, 90], "bob")
    turn(lab, rule, 120)
    assert new(lab) == [["ann"], ["bob"]]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_backfill_says_what_live_runs_said(lab: People, workers: int) -> None:
    rule = new_terms_rule(history=timedelta(minutes=40))
    for number in range(40):
        lab.act([number * 1.3, number * 4.1], f"u{number % 17}")
    turns(lab, rule, 0, 40)
    live = set(lab.alerts)
    assert len(live) > 17
    lab.now = NOW + timedelta(minutes=200)
    window = Window(NOW - timedelta(minutes=5), NOW + timedelta(minutes=195))
    for made in (0, len(live)):
        manner = backfill.Manner(workers=workers)
        report = backfill.run(lab, [rule], window, TERMS, clock=lambda: lab.now, manner=manner)
        assert report.alerts_created == made
        assert set(lab.alerts) == live
        lab.alerts.clear()


@pytest.mark.parametrize(
    ("by", "made"),
    [
        (("user.name",), [["carl"]]),
        (("user.name", "process.pid"), [["ann", 2], ["carl", 1], ["carl", 2]]),
        (("process.pid",), []),
        (
            ("user.name", "process.pid", "host.name"),
            [["ann", 2, "node-1"], ["carl", 1, "node-1"], ["carl", 2, "node-1"]],
        ),
        (("user.name", "user.id"), []),
    ],
)
def test_combinations_are_new_where_their_values_are_not(
    lab: People, by: tuple[str, ...], made: list[Any]
) -> None:
    lab.act(-60, ["ann", "bob"], process={"pid": 1})
    lab.act(-59, "bob", process={"pid": 2})
    lab.act(-2, ["ann", "bob", "carl"], process={"pid": [1, 2, 2]})
    turn(lab, new_terms_rule(by), 0)
    assert sorted(new(lab), key=str) == made


@pytest.mark.parametrize("query", ["any where true", "any where length(process.name) == 4"])
def test_many_values_are_asked_for_in_batches(lab: People, query: str) -> None:
    for number in range(620):
        lab.act(-2 + number / 1_000, f"u{number}")
    for number in range(610):
        lab.act(-30, f"u{number}")
    report = turn(lab, new_terms_rule(query=query), 0)
    assert report.alerts_created == 10
    assert sorted(name for (name,) in new(lab)) == [f"u{number}" for number in range(610, 620)]


def test_far_too_many_new_values_are_a_flood_that_is_said(lab: People) -> None:
    for number in range(100):
        lab.act(-2, f"u{number}")
    report = turn(lab, new_terms_rule(max_signals=4), 0)
    assert report.alerts_created == 5
    assert any("flood" in text for run in report.runs for text in run.warnings)


def test_the_history_is_seen_by_either_time(lab: People) -> None:
    rule = replace(new_terms_rule(), timestamp_override="event.ingested")
    lab.act(-60, event={"id": "x", "kind": "event"})
    lab.act(-3)
    lab.act(-2, "bob", event={"id": "y", "kind": "event"})
    turn(lab, rule, 0)
    assert new(lab) == [["bob"]]


class Shattered(People):
    """A lab in which some shards of the history are away until they are `whole`."""

    whole = False

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        answers = super().search(searches)
        if self.whole:
            return answers
        return [
            replace(answer, buckets=(), incomplete="1 of 2 shards failed")
            if isinstance(asked, Buckets) and asked.among and isinstance(answer, Page)
            else answer
            for asked, answer in zip(searches, answers, strict=True)
        ]


def test_nothing_is_new_while_the_history_cannot_be_read() -> None:
    lab = Shattered()
    lab.act([-30, -3])
    lab.act(-2, "bob")
    report = turn(lab, new_terms_rule(), 0)
    assert report.failed
    assert new(lab) == []
    assert "shards" in str(report.runs[0].error)
    lab.whole = True
    turn(lab, new_terms_rule(), 5)
    assert new(lab) == [["bob"]]


@pytest.mark.parametrize("fault", ["write", "known", "save", "record"])
def test_a_fault_at_any_step_repeats_and_loses_nothing(lab: People, fault: Call) -> None:
    for number in range(12):
        lab.act([-3, -2], f"u{number}")
    lab.faults[fault] = "answer lost" if fault in {"write", "save"} else "fails"
    turn(lab, new_terms_rule(), 0)
    turns(lab, new_terms_rule(), 1, 3)
    assert sorted(new(lab)) == sorted([f"u{number}"] for number in range(12))
