"""What a rule makes of its own alerts is no match, however many rules lie between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from detector import alerts
from detector.model import Alert, Document, Group, Match, Rule
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event

EXECUTION = TERMS.execution(NOW, NOW)
RULE = make_rule()
OTHER = make_rule(rule_id="on-alerts")
KIBANAS = ".internal.alerts-security.alerts-default-000001"
EVENT = Document(INDEX, "doc-1", shell_event(NOW, event_id="a"), NOW)


def hit(alert: Alert, index: str | None = None) -> Document:
    return Document(index or alert.index, alert.id, alert.document, NOW)


def alerted(rule: Rule, *documents: Document) -> Alert:
    return alerts.build(Match(documents, NOW), rule, EXECUTION)


def looped(rule: Rule, documents: Sequence[Document], group: Group | None = None) -> bool:
    return alerts.looped(Match(tuple(documents), NOW, group), rule, EXECUTION)


OWN = hit(alerted(RULE, EVENT))
DERIVED = hit(alerted(OTHER, OWN))
SEQUENCE = alerted(RULE, EVENT, Document(INDEX, "doc-2", shell_event(NOW, event_id="b"), NOW))


@pytest.mark.parametrize(
    ("documents", "is_looped"),
    [
        pytest.param([EVENT], False, id="an event"),
        pytest.param([OWN], True, id="its own alert"),
        pytest.param([DERIVED], True, id="the alert of a rule on its alert"),
        pytest.param([hit(SEQUENCE)], True, id="its own sequence"),
        pytest.param([hit(SEQUENCE.blocks[0])], True, id="a building block of its own"),
        pytest.param([hit(alerted(OTHER, EVENT))], False, id="the alert of another rule"),
        pytest.param([EVENT, OWN], True, id="a sequence with its own alert"),
        pytest.param([EVENT, hit(alerted(OTHER, EVENT))], False, id="with an alert of another"),
        pytest.param([hit(alerted(OTHER, OWN), KIBANAS)], True, id="by way of Kibana's alerts"),
        pytest.param([hit(alerted(RULE, EVENT), f"a:{OWN.index}")], True, id="in another cluster"),
    ],
)
def test_a_match(documents: list[Document], is_looped: bool) -> None:
    assert looped(RULE, documents) is is_looped


def test_the_same_rule_in_another_space_is_another() -> None:
    elsewhere = TERMS.execution(NOW, NOW, shadow=True)
    assert not alerts.looped(Match((OWN,), NOW), RULE, elsewhere)


@pytest.mark.parametrize("spelt", ["with dots", "with objects"])
def test_an_event_that_calls_itself_an_alert_is_none(spelt: str) -> None:
    """Anyone could mute a rule that way: its uuid is no secret."""
    uuid = alerts.rule_uuid(RULE.rule_id, EXECUTION.space)
    ancestors = [{"id": "x", "type": "signal", "depth": 1, "rule": uuid}]
    forged: dict[str, dict[str, Any]] = {
        "with dots": {"kibana.alert.uuid": "x", "kibana.alert.ancestors": ancestors},
        "with objects": {"kibana": {"alert": {"uuid": "x", "ancestors": ancestors}}},
    }
    source = {**EVENT.source, **forged[spelt]}
    assert not looped(RULE, [Document(INDEX, "doc-1", source, NOW)])
    assert looped(RULE, [Document(OWN.index, "doc-1", source, NOW)])


def test_a_group_is_looped_when_all_of_it_that_is_shown_is() -> None:
    group = Group("k", (), 2, NOW, NOW)
    assert looped(RULE, [OWN, DERIVED], group)
    assert not looped(RULE, [OWN, EVENT], group)
