"""Two matches of one identity in, whether they tell the same out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detector.model import Match, Source


def same_content(first: Match, second: Match) -> bool:
    """Whether the documents say the same, but for when they were ingested."""
    return [_told(document.source) for document in first.documents] == [
        _told(document.source) for document in second.documents
    ]


def _told(source: Source) -> dict[str, Any]:
    told = {key: value for key, value in source.items() if key != "event.ingested"}
    event = told.get("event")
    if isinstance(event, Mapping):
        told["event"] = {key: value for key, value in event.items() if key != "ingested"}
    return told
