"""An alert as it is and what it stands for by now in, what has to change in it out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from detector.language import evaluate
from detector.model import Source

KEY = "kibana.alert.instance.id"
START = "kibana.alert.suppression.start"
END = "kibana.alert.suppression.end"
COUNT = "kibana.alert.suppression.docs_count"
STATUS = "kibana.alert.workflow_status"
CLOSED = "closed"

READ = (KEY, START, END, COUNT)
"""What has to be known of an alert."""


def changes(alert: Source, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where the alert says all of it already.

    It never says less than it has said: who was slower may have seen less.
    """
    said = {name: next(iter(evaluate.values(alert, name)), None) for name in READ}
    if said[KEY] != fields[KEY]:
        return dict(fields)
    merged = {
        START: min(said[START], fields[START], key=datetime.fromisoformat),
        END: max(said[END], fields[END], key=datetime.fromisoformat),
        COUNT: max(said[COUNT], fields[COUNT]),
    }
    if all(said[name] == value for name, value in merged.items()):
        return None
    return {**fields, **merged}
