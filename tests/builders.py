"""What tests are built from: rules, container events, runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from detector import alerts
from detector.language import eql
from detector.model import Rule
from detector.run.cycle import Terms
from detector.store import installation
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INDEX = "logs-cloud_defend.process-default"
SHELL = 'process where event.type == "start" and process.args : ("-i", "-it")'

TERMS = Terms(
    identity=(
        ("logs-cloud_defend*", ("event.id",)),
        ("*", ("event.id", "event.dataset", "@timestamp")),
    )
)


def make_rule(query: str = SHELL, **changes: Any) -> Rule:
    """A rule that runs every 5 minutes over the last 6, by `event.ingested`."""
    rule_id = changes.pop("rule_id", "8d3d0794-c776-476b-8674-ee2e685f6470")
    parameters = {
        "rule_id": rule_id,
        "name": "A shell",
        "description": "A shell was started.",
        "type": "eql",
        "language": "eql",
        "query": query,
        "index": ["logs-cloud_defend*"],
        "severity": "high",
        "risk_score": 73,
        "from": "now-6m",
        "to": "now",
        "interval": "5m",
        "max_signals": 100,
        "threat": [],
        "tags": [],
    }
    fields: dict[str, Any] = {
        "rule_id": rule_id,
        "name": "A shell",
        "type": "eql",
        "language": "eql",
        "query": query,
        "index": ("logs-cloud_defend*",),
        "severity": "high",
        "risk_score": 73,
        "interval": timedelta(minutes=5),
        "lookback": timedelta(minutes=6),
        "where": eql.parse(query),
        "parameters": parameters,
        "timestamp_override": "event.ingested",
    }
    return Rule(**fields | changes)


def install(store: ElasticStore) -> list[installation.Installed]:
    """Give the store's cluster the templates of its alerts, as `detector setup` does."""
    space = store.names.space
    return installation.install(
        store, lambda lacking: alerts.template(space, missing_types=lacking)
    )


def iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shell_event(
    at: datetime, *, ingested: datetime | None = None, event_id: str | None = None, **event: Any
) -> dict[str, Any]:
    """An interactive shell in a container, as the sensor logs it."""
    return {
        "@timestamp": iso(at),
        "event": {
            "id": event_id or str(uuid.uuid4()),
            "kind": "event",
            "category": ["process"],
            "type": ["start"],
            "action": ["exec"],
            "dataset": "cloud_defend.process",
            "module": "cloud_defend",
            "ingested": iso(ingested or at),
            **event,
        },
        "container": {"id": "3f4c1e0b9a7d", "image": {"name": "nginx"}},
        "host": {"name": "node-1", "os": {"type": "linux"}},
        "process": {
            "name": "bash",
            "executable": "/bin/bash",
            "args": ["bash", "-i"],
            "entry_leader": {"same_as_process": False},
        },
    }


def stored(sources: Iterable[dict[str, Any]], index: str = INDEX) -> list[Stored]:
    return [Stored(index, f"doc-{n}", source) for n, source in enumerate(sources)]
