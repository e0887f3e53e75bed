"""A draft in, the alert document out: an ordered list of small functions, later ones win.

Their order and their fields are those of Kibana's alert builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from detector.alerts import (
    columns,
    fitting,
    identity,
    instants,
    overrides,
    placement,
    reading,
    reason,
    rulefields,
)
from detector.model import Alert, Document, Execution, Match, Rule, Source

_REMOVED = ("kibana", "signal", "threshold_result")
_COPIED = ("event", "data_stream")
_INHERITED = ("kibana.alert.original_event.", "kibana.alert.original_data_stream.")


@dataclass(frozen=True, slots=True)
class Draft:
    """What an alert is made from.

    `source` is the document's, with what only the index holds and without what the alerts' mapping
    would refuse.
    """

    id: str
    index: str
    document: Document
    source: Source
    rule: Rule
    execution: Execution

    @property
    def on_alert(self) -> bool:
        """Whether the document is an alert itself."""
        return reading.first(self.source, identity.ALERT_ID) is not None


def build(match: Match, rule: Rule, execution: Execution) -> Alert:
    """The alert for a match of a single document; the document is not changed.

    The values of the event and the rule are shared with the alert, not copied. The same match
    under the same rule and space has the same id and index, whenever it is built.
    """
    (document,) = match.documents
    source = identity.seen(document, rule, execution)
    id_ = identity.of_event(document, source, rule, execution, match.row)
    index = placement.index(execution.space, source)
    told = source if match.row is None else columns.over(source, match.row.columns)
    alert = composed(Draft(id_, index, document, fitting.fitted(told), rule, execution))
    return Alert(id_, index, alert, match.time)


def composed(draft: Draft) -> dict[str, Any]:
    """What all the layers say."""
    alert: dict[str, Any] = {}
    for layer in LAYERS:
        alert.update(layer(draft))
    return alert


def event(draft: Draft) -> Mapping[str, Any]:
    """The whole source, without what an alert says in its own words."""
    inherited = _INHERITED if draft.on_alert else ()
    kept = {
        key: value
        for key, value in draft.source.items()
        if not key.startswith(_REMOVED) or _is_kept(key, inherited)
    }
    if "event" in kept:
        kept["event"] = _without_kind(kept["event"])
    return kept


def originals(draft: Draft) -> Mapping[str, Any]:
    """What the event said of itself, where the alert's own `event.kind` does not hide it."""
    copies: dict[str, Any] = {}
    for key, value in draft.source.items():
        if key.startswith(_COPIED) and key.partition(".")[0] in _COPIED:
            copies |= reading.leaves(value, f"kibana.alert.original_{key}")
    time = reading.first(draft.source, identity.TIME)
    return copies if time is None else copies | {identity.ORIGINAL_TIME: _notation(time)}


def ancestry(draft: Draft) -> Mapping[str, Any]:
    """The event, or the alert and all it came from."""
    document = draft.document
    parent: dict[str, Any] = {"id": document.id, "type": "event", "index": document.index}
    ancestors: list[Any] = []
    depth = 0
    if draft.on_alert:
        ancestors = _objects(draft.source, "kibana.alert.ancestors")
        depth = _depth(draft.source)
        parent["type"] = "signal"
        parent["rule"] = reading.first(draft.source, "kibana.alert.rule.uuid")
    parent["depth"] = depth
    return {"kibana.alert.ancestors": [*ancestors, parent], "kibana.alert.depth": depth + 1}


def run(draft: Draft) -> Mapping[str, Any]:
    """What is the same in every alert of a run."""
    return rulefields.of_run(draft.rule, draft.execution)


def judgement(draft: Draft) -> Mapping[str, Any]:
    """How bad it is and why, after the rule's overrides."""
    found = overrides.judge(draft.source, draft.rule)
    return {
        "kibana.alert.severity": found.severity,
        "kibana.alert.risk_score": found.risk_score,
        "kibana.alert.rule.name": found.name,
        "kibana.alert.reason": reason.text(draft.source, found),
        "kibana.alert.uuid": draft.id,
    }


def link(draft: Draft) -> Mapping[str, Any]:
    """Where people open the alert, if there is a Kibana.

    Discover, on the data view of the dashboard: Kibana's own alerts page reads only its own index.
    """
    return link_to(draft.id, draft.index, draft.execution)


def link_to(id_: str, index: str, execution: Execution) -> dict[str, Any]:
    """The same for an alert that has no draft."""
    url = execution.kibana_url
    if not url:
        return {}
    path = f"/app/discover#/doc/{placement.alias(execution.space)}/{index}?id={id_}"
    return {"kibana.alert.url": url.rstrip("/") + path}


LAYERS: tuple[Callable[[Draft], Mapping[str, Any]], ...] = (
    event,
    originals,
    ancestry,
    run,
    judgement,
    link,
)


def _is_kept(key: str, inherited: tuple[str, ...]) -> bool:
    """Whether a key only begins like one that is removed, or a parent's is handed on."""
    return key.partition(".")[0] not in _REMOVED or key.startswith(inherited)


def _without_kind(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_kind(item) for item in value]
    if isinstance(value, Mapping) and "kind" in value:
        return {key: inner for key, inner in value.items() if key != "kind"}
    return value


def _notation(time: Any) -> Any:
    """ISO 8601 in UTC, as precise as it was; what is no time stays as it is."""
    nanos = instants.nanoseconds(time)
    if nanos is None:
        return time
    try:
        return instants.iso(nanos)
    except OverflowError:
        return time


def _objects(source: Source, name: str) -> list[Any]:
    return [
        item
        for hit in reading.found(source, name)
        for item in (hit if isinstance(hit, list) else [hit])
        if isinstance(item, Mapping)
    ]


def _depth(source: Source) -> int:
    depth = reading.first(source, "kibana.alert.depth")
    return depth if isinstance(depth, int) else 1
