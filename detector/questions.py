"""A search by a rule's own time in, those that together see each document once out. Pure.

A document that lacks the rule's `timestamp_override` goes by the event's time, as in Kibana; one
sorted search would put such documents behind all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detector.model import Buckets, Rule, Search

EVENT_TIME = "@timestamp"


def time_field(rule: Rule) -> str:
    """The time that the rule's windows are asked of."""
    return rule.timestamp_override or EVENT_TIME


def falls_back(rule: Rule) -> bool:
    """Whether documents without that time go by the event's."""
    return rule.timestamp_fallback and time_field(rule) != EVENT_TIME


def by_either_time(search: Search, *, fallback: bool) -> tuple[Search, ...]:
    """The search, and with `fallback` the one for documents that lack its time."""
    if not fallback:
        return (search,)
    return (search, replace(search, time_field=EVENT_TIME, without=search.time_field))


def finding(
    question: Buckets, fields: Sequence[str], limit: int | None = None
) -> tuple[Search, ...]:
    """What finds the documents that `question` counts; with `limit` the first of each search."""
    search = Search(
        rule_id=question.rule_id,
        index=question.index,
        where=question.where,
        window=question.window,
        time_field=question.time_field,
        fields=tuple(fields),
        among=question.among,
        limit=limit,
    )
    return by_either_time(search, fallback=question.fallback)
