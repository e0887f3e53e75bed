"""A match of a group of events in, its one alert out: what the events have in common, and how many.

The shapes are Kibana's (`bulk_create_threshold_signals.ts`, `wrap_new_terms_alerts.ts`). The key
and the span are ours: by them the next runs know what has been said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detector.alerts import columns, fitting, identity, instants, layers, placement, reading
from detector.alerts.layers import Draft
from detector.model import Alert, Document, Execution, Group, Match, Row, Rule, Source


def build(match: Match, group: Group, rule: Rule, execution: Execution) -> Alert:
    """The alert stands in the month of the group's first event, on which its id depends as well."""
    id_ = identity.of_group(group, rule, execution)
    index = placement.of_time(execution.space, group.first)

    def draft(document: Document) -> Draft:
        source = fitting.fitted(identity.seen(document, rule, execution))
        return Draft(id_, index, document, source, rule, execution)

    shown = [draft(document) for document in match.documents]
    if rule.type == "new_terms":
        body = layers.composed(shown[0])
        body["kibana.alert.new_terms"] = [value for _, value in group.terms]
    else:
        told = _told(match.row, group, rule, id_) if match.row else _common(group, rule, id_)
        body = layers.composed(draft(told)) | _ancestry(shown)
        if rule.type == "threshold":
            body["kibana.alert.threshold_result"] = _result(group)
    return Alert(id_, index, body | _span(group), match.time)


def _common(group: Group, rule: Rule, id_: str) -> Document:
    """No event has all of it: the values of the group, the time of its last event."""
    held: Mapping[str, list[Any]] = {name: [value] for name, value in group.terms}
    plain: Source = {identity.TIME: instants.stamp(group.last)}
    source = reading.filled(plain, held, [name for name, _ in group.terms])
    return Document(",".join(rule.index), id_, source, group.last)


def _told(row: Row, group: Group, rule: Rule, id_: str) -> Document:
    """What a query says of its groups; the time is the end of what it looked at."""
    plain: Source = {identity.TIME: instants.stamp(group.last)}
    return Document(",".join(rule.index), id_, columns.over(plain, row.columns), group.last)


def _ancestry(shown: Sequence[Draft]) -> dict[str, Any]:
    """The events that are shown, which need not be all."""
    found = [layers.ancestry(draft) for draft in shown]
    ancestors = [ancestor for one in found for ancestor in one["kibana.alert.ancestors"]]
    return {
        "kibana.alert.ancestors": ancestors,
        "kibana.alert.depth": max((one["kibana.alert.depth"] for one in found), default=1),
    }


def _result(group: Group) -> dict[str, Any]:
    return {
        "terms": [{"field": name, "value": _text(value)} for name, value in group.terms],
        "count": group.count,
        "from": instants.stamp(group.first),
        "cardinality": [{"field": name, "value": count} for name, count in group.distinct],
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _span(group: Group) -> dict[str, Any]:
    return {
        "detector.key": group.key,
        "detector.span.start": instants.stamp(group.first),
        "detector.span.end": instants.stamp(group.last),
    }
