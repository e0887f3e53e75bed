"""A cycle on a store of lists: what is asked, written, recorded, and what a fault costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from detector.errors import Unavailable
from detector.model import Alert, Answer, Checkpoint, Failure, Question, Rule, Window, Written
from detector.run import backfill, cycle
from detector.run.backfill import Manner
from detector.run.cycle import Report
from detector.run.schedule import Sweep
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event, stored


def run(store: MemoryStore, *rules: Rule, now: datetime = NOW) -> Report:
    return cycle.run(store, rules or (make_rule(),), now, TERMS, clock=lambda: now)


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


def test_a_second_run_creates_nothing() -> None:
    store = MemoryStore(stored([shell_event(ago(minutes=2))]))
    assert run(store).alerts_created == 1
    again = run(store)
    assert (again.alerts_created, again.alerts_existing) == (0, 1)


def test_a_copy_of_an_event_in_another_index_is_the_same_event() -> None:
    event = shell_event(ago(minutes=2))
    store = MemoryStore([Stored(INDEX, "a", event), Stored("logs-cloud_defend.copy", "b", event)])
    report = run(store)
    assert report.alerts_created == 1
    assert report.runs[0].matches == 2


def test_copies_that_differ_in_content_are_said() -> None:
    event = shell_event(ago(minutes=2))
    other = event | {"host": {"name": "elsewhere"}}
    report = run(MemoryStore([Stored(INDEX, "a", event), Stored(INDEX, "b", other)]))
    (record,) = report.runs
    assert record.differing == 1
    assert "1 documents share the identity of another and differ" in record.warnings[0]


def test_fifty_requests_in_one_zeek_connection_are_fifty_alerts() -> None:
    events = [
        shell_event(ago(seconds=n), event_id="CxZ7", dataset="zeek.http") for n in range(1, 51)
    ]
    rule = make_rule(index=("logs-*",))
    assert run(MemoryStore(stored(events, "logs-zeek.http-default")), rule).alerts_created == 50


def test_a_document_without_the_override_is_found_by_its_event_time() -> None:
    event = shell_event(ago(minutes=2))
    del event["event"]["ingested"]
    assert run(MemoryStore(stored([event]))).alerts_created == 1


def test_all_pages_are_read() -> None:
    events = [shell_event(ago(seconds=n)) for n in range(1, 60)]
    assert run(MemoryStore(stored(events), page_size=7)).alerts_created == 59


def test_a_late_event_is_found_after_a_restart() -> None:
    store = MemoryStore()
    run(store)
    late = shell_event(ago(minutes=30), ingested=ago(seconds=30))
    store.documents += stored([late])
    assert run(store, now=NOW + timedelta(minutes=5)).alerts_created == 1


def test_downtime_is_caught_up_with_after_the_live_window() -> None:
    store = MemoryStore()
    run(store, now=ago(hours=3))
    store.documents += stored([shell_event(ago(minutes=m)) for m in (2, 50, 110, 170)])
    report = run(store)
    assert [record.kind for record in report.runs[:2]] == ["live", "catch-up"]
    assert report.alerts_created == 4
    assert store.checkpoints(["8d3d0794-c776-476b-8674-ee2e685f6470"]).popitem()[1].waiting == ()


def test_a_cap_is_a_rate_and_nothing_is_lost() -> None:
    events = [shell_event(ago(seconds=n)) for n in range(1, 351)]
    store = MemoryStore(stored(events), page_size=30)
    rule = make_rule(max_signals=100)
    created = []
    for turn in range(6):
        report = run(store, rule, now=NOW + turn * timedelta(minutes=5))
        created.append(report.alerts_created)
    assert created == [100, 100, 100, 50, 0, 0]
    assert len(store.alerts) == 350


def test_a_cap_says_so_on_every_run() -> None:
    events = [shell_event(ago(seconds=n)) for n in range(1, 20)]
    record = run(MemoryStore(stored(events)), make_rule(max_signals=5)).runs[0]
    assert record.status == "partial failure"
    assert "max_signals (5)" in record.warnings[0]


def test_more_events_at_one_instant_than_the_cap_still_make_progress() -> None:
    store = MemoryStore(stored([shell_event(ago(minutes=1)) for _ in range(25)]))
    rule = make_rule(max_signals=10)
    created = [
        run(store, rule, now=NOW + n * timedelta(minutes=5)).alerts_created for n in range(3)
    ]
    assert created == [10, 10, 5]


class Faulty(MemoryStore):
    """A store whose named calls fail while `broken`."""

    def __init__(self, broken: str, documents: Sequence[Stored]) -> None:
        super().__init__(documents)
        self.broken = broken

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        if self.broken == "search":
            return [Failure(Unavailable("down")) for _ in searches]
        return super().search(searches)

    def known(self, ids: Collection[str]) -> frozenset[str]:
        self._fail("known")
        return super().known(ids)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        if self.broken == "half":
            super().write_alerts(alerts[: len(alerts) // 2])
        self._fail("write_alerts", "half")
        return super().write_alerts(alerts)

    def save_checkpoints(self, checkpoints: Any) -> dict[str, Checkpoint]:
        self._fail("save_checkpoints")
        return super().save_checkpoints(checkpoints)

    def record_runs(self, records: Any) -> None:
        self._fail("record_runs")
        super().record_runs(records)

    def _fail(self, *calls: str) -> None:
        if self.broken in calls:
            raise Unavailable("down")


@pytest.mark.parametrize(
    "broken", ["search", "known", "write_alerts", "half", "save_checkpoints", "record_runs"]
)
def test_whatever_fails_the_next_run_makes_up_for_it(broken: str) -> None:
    store = Faulty(broken, stored([shell_event(ago(minutes=m)) for m in range(1, 6)]))
    first = run(store)
    assert first.runs[0].status != "succeeded"
    store.broken = ""
    run(store, now=NOW + timedelta(minutes=20))
    assert len(store.alerts) == 5


def test_a_rule_that_fails_leaves_the_others_alone() -> None:
    class Picky(MemoryStore):
        def search(self, searches: Sequence[Question]) -> list[Answer]:
            answers = super().search(searches)
            return [
                Failure(Unavailable("down")) if search.rule_id == "bad" else answer
                for search, answer in zip(searches, answers, strict=True)
            ]

    store = Picky(stored([shell_event(ago(minutes=2))]))
    report = run(store, make_rule(rule_id="bad"), make_rule(rule_id="good"))
    status = {record.rule_id: record.status for record in report.runs}
    assert status == {"bad": "failed", "good": "succeeded"}
    assert report.alerts_created == 1
    ends = {id_: c.end for id_, c in store.checkpoints(["bad", "good"]).items()}
    assert ends == {"bad": ago(minutes=5), "good": NOW}


def test_another_daemons_checkpoint_is_built_upon_not_overwritten() -> None:
    waiting = Window(ago(hours=2), ago(hours=1))

    class Raced(MemoryStore):
        saves = 0

        def save_checkpoints(self, checkpoints: Any) -> dict[str, Checkpoint]:
            self.saves += 1
            if self.saves == 2:  # after the run, behind our back
                theirs = replace(self.checkpoints(["r"])["r"], waiting=(waiting,))
                super().save_checkpoints([theirs])
            return super().save_checkpoints(checkpoints)

    store = Raced()
    run(store, make_rule(rule_id="r"))
    checkpoint = store.checkpoints(["r"])["r"]
    assert (checkpoint.end, checkpoint.waiting) == (NOW, (waiting,))


def test_backfill_has_no_cap_and_moves_no_checkpoint() -> None:
    store = MemoryStore(stored([shell_event(ago(minutes=m)) for m in range(1, 200)]))
    window = Window(ago(hours=4), NOW)
    report = backfill.run(store, [make_rule(max_signals=10)], window, TERMS, clock=lambda: NOW)
    assert report.alerts_created == 199
    assert store.checkpoints(["8d3d0794-c776-476b-8674-ee2e685f6470"]) == {}


def test_a_dry_backfill_counts_and_writes_nothing() -> None:
    store = MemoryStore(stored([shell_event(ago(minutes=m)) for m in range(1, 20)]))
    window = Window(ago(hours=4), NOW)
    terms = replace(TERMS)
    report = backfill.run(
        store, [make_rule()], window, terms, clock=lambda: NOW, manner=Manner(dry=True)
    )
    assert (report.alerts_created, store.alerts, store.runs) == (19, {}, [])


def test_an_end_recorded_by_a_fast_clock_is_pulled_back() -> None:
    store = MemoryStore()
    run(store, now=NOW + timedelta(minutes=10))  # a daemon ten minutes fast
    store.documents += stored([shell_event(NOW + timedelta(minutes=1))])
    run(store, now=NOW + timedelta(minutes=3))
    report = run(store, now=NOW + timedelta(minutes=13))
    assert len(store.alerts) == 1
    assert report.runs[0].window.start <= NOW + timedelta(minutes=7)


def test_a_flood_is_one_alert_and_a_gap_and_the_live_end_goes_on() -> None:
    events = [shell_event(ago(seconds=n / 10)) for n in range(1, 501)]
    store = MemoryStore(stored(events), page_size=50)
    rule = make_rule(max_signals=10)
    report = run(store, rule)
    (record,) = report.runs
    assert report.alerts_created == 10 + 1
    assert [gap.window.end for gap in record.gaps] == [NOW]
    assert "flood" in record.gaps[0].reason
    assert report.failed
    (told,) = [
        alert for alert in store.alerts.values() if "detector.flood.matches" in alert.document
    ]
    assert told.document["detector.flood.matches"] == 490
    assert told.document["host.name"] == ["node-1"]
    checkpoint = store.checkpoints([rule.rule_id])[rule.rule_id]
    assert (checkpoint.end, checkpoint.waiting) == (NOW, ())
    backfill.run(store, [rule], record.gaps[0].window, TERMS, clock=lambda: NOW)
    assert len(store.alerts) == 501


def test_a_flood_that_is_read_again_says_nothing_twice() -> None:
    events = [shell_event(ago(seconds=n / 10)) for n in range(1, 501)]
    store = Faulty("save_checkpoints", stored(events))
    rule = make_rule(max_signals=10)
    run(store, rule)
    store.broken = ""
    report = run(store, rule)
    floods = [a for a in store.alerts.values() if "detector.flood.matches" in a.document]
    assert len(floods) == 1
    assert report.alerts_created == 10


def test_what_waits_adds_up_to_a_flood_over_turns() -> None:
    """Each window holds less than a flood; together they never drain."""
    rule = make_rule(max_signals=10)
    store = MemoryStore(page_size=50)
    seen = []
    for turn in range(6):
        now = NOW + turn * timedelta(minutes=5)
        events = [shell_event(now - timedelta(seconds=n / 2)) for n in range(1, 101)]
        store.documents += [Stored(INDEX, f"{turn}-{n}", e) for n, e in enumerate(events)]
        report = run(store, rule, now=now)
        gaps = [gap.window for record in report.runs for gap in record.gaps]
        seen.append(bool(gaps))
        for gap in gaps:
            backfill.run(store, [rule], gap, TERMS, clock=lambda now=now: now)  # type: ignore[misc]
    assert any(seen)
    assert not seen[0]
    for _ in range(60):
        now += timedelta(minutes=5)
        run(store, rule, now=now)
    made = [a for a in store.alerts.values() if "detector.flood.matches" not in a.document]
    assert len(made) == 600


def test_a_cap_that_truncates_drops_the_rest_as_kibana_does() -> None:
    events = [shell_event(ago(seconds=90 + n)) for n in range(1, 20)]  # before the next overlap
    store = MemoryStore(stored(events))
    terms = replace(TERMS, truncate=True)
    rule = make_rule(max_signals=5)
    reports = [
        cycle.run(store, [rule], now, terms, clock=lambda now=now: now)  # type: ignore[misc]
        for now in (NOW, NOW + timedelta(minutes=10))
    ]
    assert [report.alerts_created for report in reports] == [5, 0]
    assert "on_limit: truncate" in reports[0].runs[0].warnings[0]
    assert not reports[0].runs[0].gaps


SWEEP = replace(TERMS, sweep=Sweep(timedelta(hours=1), timedelta(hours=6)))


def sweep(store: MemoryStore, minutes: float, **changes: Any) -> Report:
    now = NOW + timedelta(minutes=minutes)
    return cycle.run(store, [make_rule(**changes)], now, SWEEP, clock=lambda: now)


def test_an_event_that_became_searchable_late_is_swept_up_and_marked() -> None:
    store = MemoryStore()
    for minutes in range(0, 60, 5):
        sweep(store, minutes)
    store.documents += stored([shell_event(NOW + timedelta(minutes=12))])  # visible only now
    assert sweep(store, 59).alerts_created == 0, "no look-back reaches it, no sweep is due"
    report = sweep(store, 61)
    assert report.alerts_created == 1
    (found,) = [record for record in report.runs if record.alerts_created]
    assert found.kind == "late"
    assert "after the look-back had passed" in found.warnings[0]
    (alert,) = store.alerts.values()
    assert alert.document["detector.late"] is True
    assert [record.kind for record in sweep(store, 65).runs] == ["live"], "once an hour"


def test_a_sweep_begins_where_the_rule_began() -> None:
    store = MemoryStore(stored([shell_event(ago(minutes=30))]))
    for minutes in range(50, 70, 5):
        assert sweep(store, minutes).alerts_created == 0


def test_a_sweep_leaves_what_waits_and_what_is_a_gap_to_them() -> None:
    store = MemoryStore()
    sweep(store, 0)
    flood = [shell_event(NOW + timedelta(minutes=50, seconds=n / 10)) for n in range(600)]
    store.documents += stored(flood)
    assert sweep(store, 55, max_signals=10).alerts_created == 10 + 1
    late = sweep(store, 61, max_signals=10)
    assert late.alerts_created == 0
    assert not any(record.gaps for record in late.runs)
