"""Earlier in, the search for a rule's alerts out; its response in, what they have said out. Pure.

Both ends of an alert's span lie inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from detector.model import Alerted, Earlier, Page, Source
from detector.store import msearch, standing
from detector.store.msearch import Asked, Json

RULE = "kibana.alert.rule.rule_id"
ID = "kibana.alert.uuid"
SHADOW = "_shadow"
"""What the names of the alerts of shadow rules have behind their space."""

SIZE = 5_000
"""Alerts of a page."""


@dataclass(frozen=True, slots=True)
class Names:
    """Where an alert has what stands for its terms, and the time it speaks of."""

    key: str
    start: str
    end: str


GROUP = Names("detector.key", "detector.span.start", "detector.span.end")
SUPPRESSION = Names(standing.KEY, standing.START, standing.END)


def ask(question: Earlier, alerts: str) -> Asked[Earlier]:
    """The request for one page; `alerts` is the alias of the space, which need not be there."""
    form = "strict_date_optional_time"
    start, end = (msearch.stamp(t) for t in (question.window.start, question.window.end))
    names = _names(question)
    body: Json = {
        "size": SIZE,
        "query": {
            "bool": {
                "filter": [
                    {"term": {RULE: question.rule_id}},
                    {"terms": {names.key: list(question.keys)}},
                    {"range": {names.start: {"lt": end, "format": form}}},
                    {"range": {names.end: {"gte": start, "format": form}}},
                ]
            }
        },
        "_source": False,
        "fields": [
            names.key,
            standing.STATUS,
            *({"field": name, "format": form} for name in (names.start, names.end)),
        ],
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
        earlier=tuple(_alerted(asked.search, hit) for hit in hits),
    )
    lacking = msearch.lack(response)
    return lacking.noted(page) if lacking else page


def said(question: Earlier, id_: str, alert: Source, index: str) -> Alerted | None:
    """The same of an alert as it was written; None where it is none of those asked for."""
    if (f"{SHADOW}-" in index) != question.shadow:
        return None
    names = _names(question)
    if alert.get(names.key) not in question.keys or alert.get(RULE) != question.rule_id:
        return None
    if names.start not in alert:
        return None
    first, last = _instant(alert[names.start]), _instant(alert[names.end])
    if first >= question.window.end or last < question.window.start:
        return None
    closed = alert.get(standing.STATUS) == standing.CLOSED
    return Alerted(alert[names.key], first, last, id_, index, closed)


def _alerted(question: Earlier, hit: Mapping[str, Any]) -> Alerted:
    held, names = hit["fields"], _names(question)
    return Alerted(
        key=held[names.key][0],
        first=_instant(held[names.start][0]),
        last=_instant(held[names.end][0]),
        id=str(hit["_id"]),
        index=str(hit["_index"]),
        closed=standing.CLOSED in held.get(standing.STATUS, ()),
    )


def _names(question: Earlier) -> Names:
    return SUPPRESSION if question.suppression else GROUP


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
