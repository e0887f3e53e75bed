"""Earlier in, the search for a rule's alerts out; its response in, what they have said out. Pure.

Both ends of an alert's span lie inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from detector.model import Alerted, Earlier, Page, Source
from detector.store import msearch
from detector.store.msearch import Asked, Json

RULE = "kibana.alert.rule.rule_id"
KEY = "detector.key"
START = "detector.span.start"
END = "detector.span.end"
ID = "kibana.alert.uuid"
SHADOW = "_shadow"
"""What the names of the alerts of shadow rules have behind their space."""

SIZE = 5_000
"""Alerts of a page."""


def ask(question: Earlier, alerts: str) -> Asked[Earlier]:
    """The request for one page; `alerts` is the alias of the space, which need not be there."""
    form = "strict_date_optional_time"
    start, end = (msearch.stamp(t) for t in (question.window.start, question.window.end))
    body: Json = {
        "size": SIZE,
        "query": {
            "bool": {
                "filter": [
                    {"term": {RULE: question.rule_id}},
                    {"terms": {KEY: list(question.keys)}},
                    {"range": {START: {"lt": end, "format": form}}},
                    {"range": {END: {"gte": start, "format": form}}},
                ]
            }
        },
        "_source": False,
        "fields": [KEY, *({"field": name, "format": form} for name in (START, END))],
        "sort": [{ID: {"order": "asc", "unmapped_type": "keyword"}}],
        "track_total_hits": False,
    }
    if question.after is not None:
        body["search_after"] = [question.after]
    return Asked(question, msearch.header((alias(question, alerts),)), body, None, SIZE)


def alias(question: Earlier, alerts: str) -> str:
    """Where the alerts of such a rule are read; `alerts` is where those of the others are."""
    return f"{alerts}{SHADOW}" if question.shadow else alerts


def read(asked: Asked[Earlier], response: Mapping[str, Any]) -> Page:
    """The page in a response without an `error`."""
    hits = response["hits"]["hits"]
    page = Page(
        documents=(),
        next=replace(asked.search, after=hits[-1]["sort"][0]) if len(hits) == SIZE else None,
        hits=len(hits),
        took_ms=response.get("took", 0),
        earlier=tuple(_alerted(hit) for hit in hits),
    )
    lacking = msearch.lack(response)
    return lacking.noted(page) if lacking else page


def said(question: Earlier, id_: str, alert: Source, index: str) -> Alerted | None:
    """The same of an alert as it was written; None where it is none of those asked for."""
    if (f"{SHADOW}-" in index) != question.shadow:
        return None
    if alert.get(KEY) not in question.keys or alert.get(RULE) != question.rule_id:
        return None
    first, last = _instant(alert[START]), _instant(alert[END])
    if first >= question.window.end or last < question.window.start:
        return None
    return Alerted(alert[KEY], first, last, id_)


def _alerted(hit: Mapping[str, Any]) -> Alerted:
    held = hit["fields"]
    return Alerted(held[KEY][0], _instant(held[START][0]), _instant(held[END][0]), str(hit["_id"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
