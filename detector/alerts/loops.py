"""A match in, whether its rule has made it of its own alerts out.

A rule that reads alerts would alert on what it said itself, again and again. Kibana's guard
(`wrap_hits.ts`, `build_alert_group_from_sequence.ts`): the ancestors of an alert name every rule it
came through, and a match in which the rule meets itself is none.
"""

from __future__ import annotations

from detector.alerts import identity, reading
from detector.model import Document, Execution, Match, Rule

_MAKERS = ("kibana.alert.rule.uuid", "kibana.alert.ancestors.rule")


def looped(match: Match, rule: Rule, execution: Execution) -> bool:
    """Whether some document came through the rule; of a group, which counts others too, all."""
    if not any(identity.of_alerts(one.index) for one in match.documents):
        return False
    uuid = identity.rule_uuid(rule.rule_id, execution.space)
    own = [_came_through(uuid, one) for one in match.documents]
    return any(own) if match.group is None else all(own)


def _came_through(uuid: str, document: Document) -> bool:
    return identity.of_alerts(document.index) and any(
        uuid in reading.values(document.source, name) for name in _MAKERS
    )
