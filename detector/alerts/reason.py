"""An event and its alert's severity and name -> one sentence that says what happened.

The words and the punctuation are those of Kibana's reason formatter, odd commas included: the one
after an address belongs to its port.
"""

from __future__ import annotations

from typing import Any

from detector.alerts import reading
from detector.alerts.overrides import Judgement
from detector.model import Source

_CATEGORY = "event.category"
_ACTORS = (
    ("process.name", " process {},"),
    ("process.parent.name", " parent process {},"),
    ("file.name", " file {},"),
    ("source.ip", " source {}"),
    ("source.port", ":{},"),
    ("destination.ip", " destination {}"),
    ("destination.port", ":{},"),
)
_PLACES = (("user.name", " by {}"), ("host.name", " on {}"))

FIELDS = (_CATEGORY, *(name for name, _ in (*_ACTORS, *_PLACES)))


def text(source: Source, judgement: Judgement) -> str:
    """The sentence; a part whose field is missing, empty or a lone hyphen is left out."""
    category = _part(source, _CATEGORY, "{} ")
    actors = "".join(_part(source, name, form) for name, form in _ACTORS)
    places = "".join(_part(source, name, form) for name, form in _PLACES)
    return (
        f"{category}event{' with' if actors else ''}{actors}{places}"
        f" created {judgement.severity} alert {judgement.name}."
    )


def _part(source: Source, name: str, form: str) -> str:
    values = reading.values(source, name)
    if not values:
        return ""
    joined = ", ".join([word for word in map(_word, values) if word])
    return form.format(joined) if joined and joined != "-" else ""


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
