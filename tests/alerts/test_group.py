"""A match of several documents: its alert, and a building block for each document."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from detector import alerts
from detector.alerts import group
from detector.model import Alert, Document, Match, Rule
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event

EXECUTION = TERMS.execution(NOW, NOW)
LATER = TERMS.execution(NOW + timedelta(hours=1), NOW)
OVERRIDES = {
    "severity_mapping": [
        {"field": "process.name", "operator": "equals", "value": "bash", "severity": "critical"}
    ],
    "rule_name_override": "process.name",
}


def document(id_: str, **changes: Any) -> Document:
    source = shell_event(NOW, event_id=id_) | changes
    return Document(INDEX, id_, source, NOW)


def match(*documents: Document) -> Match:
    return Match(documents, NOW)


def build(rule: Rule | None = None, execution: Any = EXECUTION, *documents: Document) -> Alert:
    made = documents or (document("one"), document("two", host={"name": "node-2"}))
    return alerts.build(match(*made), rule or make_rule(), execution)


def test_ids_depend_on_the_rule_and_the_events_in_their_order_alone() -> None:
    one, two = document("one"), document("two")
    first = build(None, EXECUTION, one, two)
    again = build(make_rule(severity="low"), LATER, one, two)
    assert first.id == again.id
    assert first.id == alerts.alert_id(match(one, two), make_rule(), LATER)
    assert [block.id for block in first.blocks] == [block.id for block in again.blocks]
    others = [
        build(None, EXECUTION, two, one),
        build(None, EXECUTION, one),
        build(make_rule(rule_id="another"), EXECUTION, one, two),
    ]
    every = [first.id, *(block.id for block in first.blocks), *(one.id for one in others)]
    assert len(set(every)) == len(every)


def test_the_blocks_are_the_events_alerts_held_together() -> None:
    documents = (document("one"), document("two", host={"name": "node-2"}))
    alert = build(None, EXECUTION, *documents)
    assert [block.document["kibana.alert.group.index"] for block in alert.blocks] == [0, 1]
    for block, event in zip(alert.blocks, documents, strict=True):
        single = alerts.build(match(event), make_rule(), EXECUTION)
        for key in single.document.keys() - {"kibana.alert.uuid"}:
            assert block.document[key] == single.document[key], key
        assert block.document["kibana.alert.building_block_type"] == "default"
        assert block.document["kibana.alert.group.id"] == alert.id
        assert block.document["kibana.alert.uuid"] == block.id
        assert block.index == alert.index


def test_the_alert_has_what_all_events_agree_on() -> None:
    alert = build().document
    assert alert["container"] == {"id": "3f4c1e0b9a7d", "image": {"name": "nginx"}}
    assert "host" not in alert
    assert "id" not in alert["event"]
    assert (
        alert["kibana.alert.reason"]
        == "process event with process bash, created high alert A shell."
    )
    assert alert["kibana.alert.depth"] == 2
    assert alert["kibana.alert.original_time"] == "2026-03-01T12:00:00.000Z"
    assert "kibana.alert.building_block_type" not in alert
    assert "kibana.alert.group.index" not in alert


def test_the_ancestors_are_each_event_and_its_block() -> None:
    alert = build()
    ancestors = alert.document["kibana.alert.ancestors"]
    assert [one["id"] for one in ancestors] == [
        "one",
        alert.blocks[0].id,
        "two",
        alert.blocks[1].id,
    ]
    assert [one["type"] for one in ancestors] == ["event", "signal"] * 2
    assert [one["depth"] for one in ancestors] == [0, 1, 0, 1]


def test_the_month_is_that_of_the_last_event() -> None:
    before = document("one", **{"@timestamp": "2026-02-28T23:59:59Z"})
    alert = build(None, EXECUTION, before, document("two"))
    assert {one.index for one in (alert, *alert.blocks)} == {"alerts-detector-default-2026.03"}


def test_no_override_is_applied() -> None:
    rule = make_rule(parameters=dict(make_rule().parameters) | OVERRIDES)
    alert = build(rule)
    for one in (alert, *alert.blocks):
        assert one.document["kibana.alert.severity"] == "high"
        assert one.document["kibana.alert.rule.name"] == "A shell"


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {}),
        ({"a": [1, 2, 3]}, {"a": [3, 1]}, {"a": [1, 3]}),
        ({"a": [1, 2]}, {"a": 2}, {"a": [2]}),
        ({"a": [1]}, {"a": [2]}, {}),
        ({"a": 1}, {"a": True}, {}),
        ({"a": {"b": 1}}, {"a": 1}, {}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}, {"a": [{"b": 1}]}),
        ({"a": None}, {"a": None}, {}),
    ],
)
def test_what_two_events_agree_on(
    one: dict[str, Any], other: dict[str, Any], both: dict[str, Any]
) -> None:
    assert group.common([one, other]) == both
