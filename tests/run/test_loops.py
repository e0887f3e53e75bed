"""Rules that read alerts, their own among them: each comes to an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from detector.model import Rule, Suppression
from detector.run import cycle
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event
from tests.run.stepwise import new_terms_rule, threshold_rule


class Echo(MemoryStore):
    """Its alerts are found as events are, once it has been refreshed."""

    def refresh(self) -> None:
        every = [one for alert in self.alerts.values() for one in (alert, *alert.blocks)]
        known = {stored.id for stored in self.documents}
        self.documents += [
            Stored(one.index, one.id, one.document) for one in every if one.id not in known
        ]


def on_all(query: str = "any where true", **changes: Any) -> Rule:
    """A rule on events and alerts, by the time both have."""
    return make_rule(query, timestamp_override=None, index=("*",), **changes)


def on_alerts(**changes: Any) -> Rule:
    return replace(on_all(rule_id="alerts"), index=("alerts-detector-*",), **changes)


PAIR = "sequence by host.name [any where true] [any where true]"
COUNTED = replace(threshold_rule(1), index=("*",))
ALIKE = Suppression(("host.name",), timedelta(hours=1))
NEW = replace(new_terms_rule(("kibana.alert.uuid",), rule_id="new"), index=("*",))


@pytest.mark.parametrize(
    ("rules", "made"),
    [
        pytest.param([on_all()], [1, 0], id="its own alerts"),
        pytest.param([on_all(suppression=ALIKE)], [1, 0], id="its own alerts, suppressed"),
        pytest.param([on_all(), on_alerts()], [1, 1], id="two that would call each other"),
        pytest.param([COUNTED], [1, 0], id="counted"),
        pytest.param([on_all(), NEW], [1, 1], id="new terms of alerts"),
        pytest.param([on_all(), on_all(PAIR, rule_id="pair")], [1, 1, 1], id="a sequence"),
    ],
)
def test_a_rule_does_not_alert_on_what_it_said(rules: list[Rule], made: list[int]) -> None:
    store = Echo([Stored(INDEX, "e", _event())])
    told = [_created(store, rules, NOW + timedelta(minutes=5 * turn)) for turn in range(5)]
    assert told == [*made, *[0] * (5 - len(made))]


def test_what_a_rule_said_is_not_counted_by_its_alert() -> None:
    store, rule = Echo([Stored(INDEX, "e", _event())]), on_all(suppression=ALIKE)
    for minute in (0, 5, 10):
        _created(store, [rule], NOW + timedelta(minutes=minute))
    (alert,) = store.alerts.values()
    assert alert.document["kibana.alert.suppression.docs_count"] == 0


def _created(store: MemoryStore, rules: list[Rule], now: datetime) -> int:
    return cycle.run(store, rules, now, TERMS, clock=lambda: now).alerts_created


def _event() -> dict[str, Any]:
    return shell_event(NOW - timedelta(minutes=1), event_id="e") | {"user": {"name": "ann"}}
