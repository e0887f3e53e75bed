"""Rules in the shadow: their alerts are of another space, and keep nobody else's back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from detector import alerts
from detector.model import Window
from detector.run import backfill, cycle
from detector.store.memory import MemoryStore
from tests.builders import NOW, TERMS, make_rule, shell_event, stored
from tests.run.lab import turn
from tests.run.stepwise import People, threshold_rule


def test_a_shadow_rules_alerts_have_ids_and_an_index_of_their_own() -> None:
    store = MemoryStore(stored([shell_event(NOW - timedelta(minutes=1))]))
    window, live = Window(NOW - timedelta(hours=1), NOW), make_rule()
    shadow = replace(live, shadow=True)
    assert cycle.run(store, [shadow], NOW, TERMS, clock=lambda: NOW).alerts_created == 1
    assert backfill.run(store, [shadow], window, TERMS, clock=lambda: NOW).alerts_created == 0
    assert backfill.run(store, [live], window, TERMS, clock=lambda: NOW).alerts_created == 1
    hidden, seen = store.alerts.values()
    assert hidden.index == "alerts-detector-default_shadow-2026.03"
    assert seen.index == "alerts-detector-default-2026.03"
    assert hidden.id != seen.id
    pattern, *_ = alerts.template("default", missing_types=())[0]["index_patterns"]
    assert not hidden.index.startswith(pattern.rstrip("*"))


def test_what_was_counted_in_the_shadow_counts_again_in_the_light() -> None:
    lab = People()
    lab.act([-4, -3.9, -3.8, -3.7, -3.6, -3.5])
    assert turn(lab, replace(threshold_rule(), shadow=True), 0).alerts_created == 1
    assert turn(lab, replace(threshold_rule(), shadow=True), 1).alerts_created == 0
    assert turn(lab, threshold_rule(), 2).alerts_created == 1


def test_what_a_rule_lacks_is_said_with_each_run() -> None:
    rule, said = make_rule(), "the exception list `x` is in no file: nothing is excepted by it"
    store = MemoryStore(stored([shell_event(NOW - timedelta(minutes=1))]))
    (run,) = cycle.run(store, [replace(rule, warnings=(said,))], NOW, TERMS, clock=lambda: NOW).runs
    assert (run.status, run.warnings, run.alerts_created) == ("partial failure", (said,), 1)
