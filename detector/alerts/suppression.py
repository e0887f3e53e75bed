"""What an alert stands for in, the fields that say so out; the shapes are Kibana's.

`docs_count` is how many matches there are besides the first. What a match is compared by is kept as
`kibana.alert.instance.id`: by it the next runs find the alert.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from detector.alerts import instants
from detector.language.tree import Scalar
from detector.model import Alike


def fields(alike: Alike) -> dict[str, Any]:
    """For an alert that is new."""
    return {
        "kibana.alert.instance.id": alike.key,
        "kibana.alert.suppression.terms": [
            {"field": name, "value": _plain(values)} for name, values in alike.terms
        ],
        "kibana.alert.suppression.start": instants.stamp(alike.first),
        "kibana.alert.suppression.end": instants.stamp(alike.last),
        "kibana.alert.suppression.docs_count": alike.count - 1,
    }


def changed(alike: Alike, now: datetime) -> dict[str, Any]:
    """For one that is there."""
    return fields(alike) | {"kibana.alert.last_detected": instants.stamp(now)}


def _plain(values: tuple[Scalar, ...]) -> Any:
    return list(values) if len(values) > 1 else next(iter(values), None)
