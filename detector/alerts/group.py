"""A match of several documents in, its alert with a building block for each document out.

The shape is Kibana's (`build_alert_group_from_sequence.ts`): the alert has what all events agree
on, the blocks have an event each, and `kibana.alert.group.id` holds them together. The rule's
overrides are not applied: they would read one event of several. Unlike Kibana's, the alert's
`original_time` is that of its last event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detector.alerts import fitting, identity, layers, overrides, placement, reason, rulefields
from detector.alerts.layers import Draft
from detector.alerts.overrides import Judgement
from detector.model import Alert, Execution, Match, Rule, Source


def build(match: Match, rule: Rule, execution: Execution) -> Alert:
    """All of them go to the index of the last event's month, so that a group is never divided."""
    sources = [identity.seen(one, rule, execution) for one in match.documents]
    group = identity.of_events(match.documents, sources, rule, execution)
    index = placement.index(execution.space, sources[-1])
    drafts = [
        Draft(
            identity.of_block(group, number),
            index,
            document,
            fitting.fitted(source),
            rule,
            execution,
        )
        for number, (document, source) in enumerate(zip(match.documents, sources, strict=True))
    ]
    blocks = [_block(draft, group, number) for number, draft in enumerate(drafts)]
    kept = tuple(
        Alert(draft.id, index, block, match.time)
        for draft, block in zip(drafts, blocks, strict=True)
    )
    return Alert(group, index, _shell(group, drafts, blocks), match.time, kept)


def _block(draft: Draft, group: str, number: int) -> dict[str, Any]:
    return {
        **layers.composed(draft),
        **_judgement(draft.source, draft.rule),
        "kibana.alert.building_block_type": "default",
        "kibana.alert.group.id": group,
        "kibana.alert.group.index": number,
    }


def _shell(group: str, drafts: Sequence[Draft], blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, last = drafts[0], drafts[-1]
    merged = common([{**layers.event(draft), **layers.originals(draft)} for draft in drafts])
    time = layers.originals(last).get(identity.ORIGINAL_TIME)
    return {
        **merged,
        **({} if time is None else {identity.ORIGINAL_TIME: time}),
        **rulefields.of_run(first.rule, first.execution),
        **_judgement(merged, first.rule),
        "kibana.alert.ancestors": _ancestors(drafts, blocks),
        "kibana.alert.depth": max(block["kibana.alert.depth"] for block in blocks) + 1,
        "kibana.alert.group.id": group,
        "kibana.alert.uuid": group,
        **layers.link_to(group, first.index, first.execution),
    }


def _ancestors(drafts: Sequence[Draft], blocks: Sequence[dict[str, Any]]) -> list[Any]:
    """Each event, and the block made of it."""
    found: list[Any] = []
    for draft, block in zip(drafts, blocks, strict=True):
        found += block["kibana.alert.ancestors"]
        found.append(
            {
                "id": draft.id,
                "type": "signal",
                "index": draft.index,
                "depth": block["kibana.alert.depth"],
                "rule": identity.rule_uuid(draft.rule.rule_id, draft.execution.space),
            }
        )
    return found


def _judgement(source: Source, rule: Rule) -> dict[str, Any]:
    """How bad it is in the rule's own words."""
    found = Judgement(rule.severity, overrides.plain(rule.risk_score), rule.name)
    return {
        "kibana.alert.severity": found.severity,
        "kibana.alert.risk_score": found.risk_score,
        "kibana.alert.rule.name": found.name,
        "kibana.alert.reason": reason.text(source, found),
    }


def common(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all have: equal values, and of lists the values that all of them have."""
    merged: Mapping[str, Any] = sources[0]
    for source in sources[1:]:
        merged = _common(merged, source)
    return dict(merged)


def _common(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in one.items():
        if key in other and (shared := _shared(value, other[key])) is not None:
            kept[key] = shared
    return kept


def _shared(one: Any, other: Any) -> Any:
    """None where there is nothing."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _common(one, other) or None
    if isinstance(one, list) or isinstance(other, list):
        ones = one if isinstance(one, list) else [one]
        others = other if isinstance(other, list) else [other]
        return [value for value in ones if value in others] or None
    return one if type(one) is type(other) and one == other else None
