"""The hidden indices that hold state: their names and templates, and what is written there.

Checkpoints, run records and dead letters to documents, checkpoints back. Times are ISO 8601 in UTC
with microseconds. All mappings are strict: what is written here is ours alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from detector.model import (
    Backfilled,
    Checkpoint,
    Gap,
    Leases,
    Letter,
    Member,
    RunRecord,
    Window,
)

SCHEMA = 3
"""Raised with every change of a mapping, so that setup knows what to renew."""

PRIORITY = 300
HIDDEN = "all"  # a pattern alone does not find hidden indices

KEYWORD = {"type": "keyword", "ignore_above": 1024}
DATE = {"type": "date"}
LONG = {"type": "long"}
TEXT = {"type": "text"}
UNREAD = {"type": "object", "enabled": False}
SPAN = {"properties": {"start": DATE, "end": DATE}}

STATE: Mapping[str, Any] = {
    "rule_id": KEYWORD,
    "end": DATE,
    "waiting": SPAN,
    "flooded": SPAN,
    "sweeping": SPAN,
    "since": DATE,
    "updated": DATE,
    "rule_hash": KEYWORD,
    "covered": SPAN,
    "members": UNREAD,
}
RUNS: Mapping[str, Any] = {
    "uuid": KEYWORD,
    "rule_id": KEYWORD,
    "name": KEYWORD,
    "window": SPAN,
    "started": DATE,
    "status": KEYWORD,
    "kind": KEYWORD,
    "matches": LONG,
    "alerts_created": LONG,
    "alerts_existing": LONG,
    "differing": LONG,
    "warnings": TEXT,
    "error": TEXT,
    "gap": {"properties": {**SPAN["properties"], "reason": TEXT}},
    "search_ms": LONG,
    "write_ms": LONG,
    "lateness_ms": LONG,
    "rule_hash": KEYWORD,
    "rule_commit": KEYWORD,
}
DEADLETTER: Mapping[str, Any] = {
    "alert": UNREAD,
    "event": UNREAD,
    "events": {"properties": {"index": KEYWORD, "id": KEYWORD}},
    "index": KEYWORD,
    "reason": TEXT,
    "rule_id": KEYWORD,
    "time": DATE,
    "buried": DATE,
}


@dataclass(frozen=True, slots=True)
class Names:
    """What the indices of a space are called; a space's name has no hyphen."""

    space: str

    @property
    def alerts(self) -> str:
        """The alias over all alerts of the space, and the name of their template."""
        return f"alerts-detector-{self.space}"

    @property
    def shadow(self) -> str:
        """The alias over the alerts of shadow rules, and the name of their template."""
        return f"{self.alerts}_shadow"

    @property
    def all_alerts(self) -> str:
        """Both aliases."""
        return f"{self.alerts},{self.shadow}"

    @property
    def state(self) -> str:
        return f"detector-state-{self.space}"

    @property
    def deadletter(self) -> str:
        return f"detector-deadletter-{self.space}"

    def runs(self, started: datetime) -> str:
        """The index for runs that started in this month."""
        return f"detector-runs-{self.space}-{started.astimezone(UTC):%Y.%m}"

    @property
    def all_runs(self) -> str:
        """A pattern over the run records of every month."""
        return f"detector-runs-{self.space}-*"

    def templates(self) -> dict[str, dict[str, Any]]:
        """Index templates by name; the alerts' own is `alerts.mapping.template`."""
        return {
            self.state: _template(self.state, STATE),
            f"detector-runs-{self.space}": _template(self.all_runs, RUNS),
            self.deadletter: _template(self.deadletter, DEADLETTER),
        }


def checkpoint(saved: Checkpoint, updated: datetime | None = None) -> dict[str, Any]:
    """A checkpoint as a document; its version is the store's and not written."""
    written = {} if updated is None else {"updated": _iso(updated)}
    return written | {
        "rule_id": saved.rule_id,
        "end": _iso(saved.end),
        "waiting": [_span(window) for window in saved.waiting],
        "flooded": [_span(window) for window in saved.flooded],
        "sweeping": [_span(window) for window in saved.sweeping],
        "since": None if saved.since is None else _iso(saved.since),
        "rule_hash": saved.rule_hash,
    }


def read_checkpoint(document: Mapping[str, Any]) -> Checkpoint:
    """A checkpoint back, without its version."""
    return Checkpoint(
        rule_id=document["rule_id"],
        end=_time(document["end"]),
        waiting=tuple(_window(span) for span in document.get("waiting", ())),
        flooded=tuple(_window(span) for span in document.get("flooded", ())),
        sweeping=tuple(_window(span) for span in document.get("sweeping", ())),
        since=_time(document["since"]) if document.get("since") else None,
        rule_hash=document.get("rule_hash", ""),
    )


def backfilled_id(rule_id: str) -> str:
    """Beside the checkpoints, whose ids are the rules' own."""
    return f"backfill:{rule_id}"


def backfilled(saved: Backfilled, updated: datetime) -> dict[str, Any]:
    """How far a backfill has got with a rule, as a document."""
    return {
        "rule_id": saved.rule_id,
        "rule_hash": saved.rule_hash,
        "since": _iso(saved.since),
        "covered": [_span(window) for window in saved.windows],
        "updated": _iso(updated),
    }


def read_backfilled(document: Mapping[str, Any]) -> Backfilled:
    """How far a backfill has got, back."""
    return Backfilled(
        rule_id=document["rule_id"],
        rule_hash=document["rule_hash"],
        since=_time(document["since"]),
        windows=tuple(_window(span) for span in document["covered"]),
    )


LEASES = "lease:table"
"""The one document that says which daemons there are and what each of them runs."""


def leases(table: Leases, updated: datetime) -> dict[str, Any]:
    """The daemons of a space, as a document; its version is the store's and not written."""
    return {"members": [_member(member) for member in table.members], "updated": _iso(updated)}


def read_leases(document: Mapping[str, Any]) -> Leases:
    """The daemons back, without the version."""
    return Leases(tuple(_read_member(member) for member in document["members"]))


def _member(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "beat": member.beat,
        "group": member.group,
        "shards": list(member.shards),
        "place": member.place,
        "renewed": None if member.renewed is None else _iso(member.renewed),
    }


def _read_member(document: Mapping[str, Any]) -> Member:
    return Member(
        id=document["id"],
        beat=document["beat"],
        group=document["group"],
        shards=tuple(document["shards"]),
        place=document["place"],
        renewed=_time(document["renewed"]) if document.get("renewed") else None,
    )


def run(record: RunRecord) -> dict[str, Any]:
    """A run record as a document."""
    return {
        "uuid": record.uuid,
        "rule_id": record.rule_id,
        "name": record.name,
        "window": _span(record.window),
        "started": _iso(record.started),
        "status": record.status,
        "kind": record.kind,
        "matches": record.matches,
        "alerts_created": record.alerts_created,
        "alerts_existing": record.alerts_existing,
        "differing": record.differing,
        "warnings": list(record.warnings),
        "error": record.error,
        "gap": [_gap(gap) for gap in record.gaps],
        "search_ms": record.search_ms,
        "write_ms": record.write_ms,
        "lateness_ms": record.lateness_ms,
        "rule_hash": record.rule_hash,
        "rule_commit": record.rule_commit or None,
    }


def dead_letter(letter: Letter, buried: datetime) -> dict[str, Any]:
    """A dead letter as a document, with the alert or, where none could be made, the event."""
    return {
        "alert": letter.document if letter.index else None,
        "event": None if letter.index else letter.document,
        "events": [{"index": index, "id": id_} for index, id_ in letter.events],
        "index": letter.index,
        "reason": letter.reason,
        "rule_id": letter.rule_id,
        "time": _iso(letter.time),
        "buried": _iso(buried),
    }


def _template(pattern: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "_meta": {"managed_by": "detector", "schema": SCHEMA},
        "template": {
            "settings": {
                "index.hidden": True,
                "index.number_of_shards": 1,
                "index.auto_expand_replicas": "0-1",
            },
            "mappings": {
                "dynamic": "strict",
                "_meta": {"schema": SCHEMA},
                "properties": dict(properties),
            },
        },
    }


def _gap(gap: Gap) -> dict[str, str]:
    return _span(gap.window) | {"reason": gap.reason}


def _span(window: Window) -> dict[str, str]:
    return {"start": _iso(window.start), "end": _iso(window.end)}


def _window(span: Mapping[str, str]) -> Window:
    return Window(_time(span["start"]), _time(span["end"]))


@lru_cache(maxsize=256)
def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
