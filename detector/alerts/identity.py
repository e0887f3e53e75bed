"""A match and its rule -> the id of its alert: the same event, the same id, for ever.

Nothing here may change once alerts have been written: another id is another alert.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from detector.alerts import instants, overrides, reading, reason
from detector.model import Document, Execution, Group, Match, Row, Rule, Source

Patterns: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]

EVENT_ID = "event.id"
ALERT_ID = "kibana.alert.uuid"
TIME = "@timestamp"
INGESTED = "event.ingested"
ORIGINAL_TIME = "kibana.alert.original_time"
DATA_STREAM = ("data_stream.dataset", "data_stream.namespace", "data_stream.type")

_NAMESPACE = uuid.UUID("6f1d2c0e-55a7-4b8f-9a3d-0c6a1e7b42f9")
_MOVED = re.compile(r"(?:restored-|partial-|shrink-[\w-]{4}-)+")
_BACKING = re.compile(r"\.ds-(.+?)(?:-\d{4}\.\d{2}\.\d{2})?-\d{6,}")
_OF_ALERTS = re.compile(r"\.(?:internal\.|preview\.)*alerts-|\.siem-signals-|alerts-detector-")
# Escapes keep what UTF-8 cannot hold: Elasticsearch stores and returns lone surrogates.
_COMPACT = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=True)


def alert_id(match: Match, rule: Rule, execution: Execution) -> str:
    """SHA-256, in hex, of compact JSON: the rule's uuid, the space, the events' identity."""
    if match.group is not None:
        return of_group(match.group, rule, execution)
    sources = [seen(document, rule, execution) for document in match.documents]
    if len(sources) > 1:
        return of_events(match.documents, sources, rule, execution)
    return of_event(match.documents[0], sources[0], rule, execution, match.row)


def seen(document: Document, rule: Rule, execution: Execution) -> Source:
    """The source as identity and alert see it: with what only the index holds.

    Only what lies in an index of alerts is an alert: an event that calls itself one must not share
    the id of another, which would mute it.
    """
    needed = needed_fields(rule, execution.identity)
    source = reading.filled(document.source, document.fields, needed)
    if not reading.found(source, ALERT_ID) or of_alerts(document.index):
        return source
    return {key: value for key, value in source.items() if key.partition(".")[0] != "kibana"}


def of_event(
    document: Document, source: Source, rule: Rule, execution: Execution, row: Row | None = None
) -> str:
    """The id of the alert for a single document; `source` is what `seen` gave for it."""
    parts = [rule_uuid(rule.rule_id, execution.space), execution.space]
    key = [["row", *row.key]] if row and row.key else []
    return _digest([*parts, *_of(document, source, rule, execution), *key])


def of_events(
    documents: Sequence[Document], sources: Sequence[Source], rule: Rule, execution: Execution
) -> str:
    """The id of the alert for several documents, in their order."""
    uuid_ = rule_uuid(rule.rule_id, execution.space)
    events = [_of(*one, rule, execution) for one in zip(documents, sources, strict=True)]
    return _digest([uuid_, execution.space, "events", events])


def of_group(group: Group, rule: Rule, execution: Execution) -> str:
    """The id of the alert for a group: its terms, and when its first event was.

    Where several events have that time, whichever of them is taken makes the same alert.
    """
    uuid_ = rule_uuid(rule.rule_id, execution.space)
    terms = [list(term) for term in group.terms]
    first = instants.stamp(group.first)
    return _digest([uuid_, execution.space, rule.type, terms, first])


def of_block(group: str, number: int) -> str:
    """The id of the building block for one of the documents of the alert `group`."""
    return _digest([group, number])


def _of(document: Document, source: Source, rule: Rule, execution: Execution) -> list[Any]:
    if rule.type == "machine_learning" and rule.identity is None:
        return [_value(source, "job_id"), document.id]  # no event: results move between indices
    fields = rule.identity or _fields(execution.identity, document.index)
    return _identity(document, source, fields, named=rule.identity is not None)


def _digest(parts: Sequence[Any]) -> str:
    return hashlib.sha256(_COMPACT.encode(parts).encode()).hexdigest()


@lru_cache(maxsize=65536)
def rule_uuid(rule_id: str, space: str) -> str:
    """What every machine calls this rule in this space, without a saved object to ask."""
    return str(uuid.uuid5(_NAMESPACE, _COMPACT.encode([space, rule_id])))


@lru_cache(maxsize=4096)
def needed_fields(rule: Rule, identity: Patterns) -> tuple[str, ...]:
    """The `fields` a search must ask for, so that identity and alert see what the index holds."""
    named = rule.identity or [name for _, fields in identity for name in fields]
    needed = [*named, TIME, INGESTED, ALERT_ID, ORIGINAL_TIME, *DATA_STREAM]
    return tuple(dict.fromkeys([*needed, *reason.FIELDS, *overrides.fields(rule)]))


@lru_cache(maxsize=65536)
def home(index: str) -> str:
    """The data stream or index a concrete index belongs to, wherever its life cycle has moved it.

    A remote cluster's name stays: `a:.ds-logs-x-2026.11.20-000001` is `a:logs-x`.
    """
    remote, colon, name = index.rpartition(":")
    moved = _MOVED.match(name)
    name = name[moved.end() :] if moved else name
    backing = _BACKING.fullmatch(name)
    return f"{remote}{colon}{backing[1] if backing else name}"


def of_alerts(index: str) -> bool:
    """Whether an index holds alerts: Kibana's or the engine's own."""
    return _OF_ALERTS.match(_local(index)) is not None


def _local(index: str) -> str:
    """What a remote cluster itself calls the data stream or index."""
    return home(index).rpartition(":")[2]


@lru_cache(maxsize=65536)
def _fields(patterns: Patterns, index: str) -> tuple[str, ...]:
    """The fields of the first pattern that fits; none where none does."""
    name, local = home(index), _local(index)
    for pattern, fields in patterns:
        fits = re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
        if fits.fullmatch(local) or fits.fullmatch(name):
            return fields
    return ()


def _identity(
    document: Document, source: Source, fields: tuple[str, ...], *, named: bool
) -> list[Any]:
    if not named and (parent := reading.first(source, ALERT_ID)) is not None:
        return [parent]
    values = [_value(source, name) for name in fields]
    if all(value is None for value in values) or (
        EVENT_ID in fields and values[fields.index(EVENT_ID)] is None
    ):
        return [home(document.index), document.id]
    return values


def _value(source: Source, name: str) -> Any:
    """A field's value in one notation; None where there is none. An array of one is its element."""
    if name == EVENT_ID:
        return _event_id(source)
    values = reading.values(source, name)
    if name == TIME:
        values = [value if (at := instants.nanoseconds(value)) is None else at for value in values]
    return values[0] if len(values) == 1 else values or None


def _event_id(source: Source) -> str | None:
    """Nothing but one text that is not empty can tell events apart."""
    found = reading.found(source, EVENT_ID)
    return found[0] if len(found) == 1 and isinstance(found[0], str) and found[0] else None
