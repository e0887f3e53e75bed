"""Rules in, how fresh and how late what they read is, and which fields it lacks, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from detector.errors import Forbidden, Rejected
from detector.model import Rule
from detector.questions import EVENT_TIME, time_field
from detector.store import msearch
from detector.store.connection import reason_of
from detector.store.elastic import ElasticStore

INGESTED = "event.ingested"
SAMPLE = 100
"""Documents of each source whose times are looked at."""

TOGETHER = 100
"""Searches in one request."""

ISO = "strict_date_optional_time"

Json: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]
"""A pattern, and the patterns that the rule takes out of it (`-name`)."""


@dataclass(frozen=True, slots=True)
class Delays:
    """From when events happened to when they were ingested, among the newest of them."""

    median: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Source:
    """One pattern of a rule's `index`.

    `newest` is when its last document came: by `event.ingested`, or by `@timestamp` where that is
    later or there is no other; None where there is no document. `error` is why it could not be
    asked, or not in full: there may be newer ones then.
    """

    pattern: str
    newest: datetime | None = None
    ingested: datetime | None = None
    sample: tuple[Mapping[str, datetime], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a rule has before its eyes.

    `late` is the longest time from a document's value of the rule's own time field to its
    ingestion: a look-back that reaches less beyond the interval misses such documents.
    """

    sources: tuple[Source, ...]
    newest: datetime | None
    ingested: datetime | None
    delays: Delays | None
    late: timedelta | None


def views(
    store: ElasticStore, rules: Sequence[Rule], now: datetime, exclude_tiers: Collection[str] = ()
) -> dict[str, View]:
    """What each rule sees, by its id; asks once for what rules share. Raises `StoreError`.

    Documents dated after `now` are left out: a clock that is fast must not make a silent source
    look alive.
    """
    times: dict[Key, set[str]] = defaultdict(set)
    for rule in rules:
        for key in _keys(rule):
            times[key] |= {EVENT_TIME, INGESTED, time_field(rule)}
    bodies = [
        ({"index": list(key), "ignore_unavailable": True, "allow_no_indices": True}, body)
        for key, fields in times.items()
        for body in _bodies(fields, now, exclude_tiers)
    ]
    answers = iter(_ask(store, bodies))
    found = {key: _source(key, next(answers), next(answers)) for key in times}
    return {rule.rule_id: _view(rule, [found[key] for key in _keys(rule)]) for rule in rules}


def missing_fields(store: ElasticStore, rules: Iterable[Rule]) -> dict[str, tuple[str, ...]]:
    """The `required_fields` of each rule that none of its indices has, by its id.

    A rule that lacks none, or whose patterns match no index or may not be asked, is absent. Raises
    `StoreError` where the cluster does not answer.
    """
    wanted: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
    for rule in rules:
        if _required(rule):
            wanted[rule.index].append(rule)
    missing: dict[str, tuple[str, ...]] = {}
    for index, sharing in wanted.items():
        names = sorted({name for rule in sharing for name in _required(rule)})
        lacking = _lacking(store, index, names)
        missing |= {
            rule.rule_id: tuple(name for name in _required(rule) if name in lacking)
            for rule in sharing
            if lacking.intersection(_required(rule))
        }
    return missing


def _lacking(store: ElasticStore, index: Sequence[str], names: Sequence[str]) -> set[str]:
    try:
        caps = store.call(
            lambda: store.client.field_caps(
                index=list(index), fields=names, ignore_unavailable=True, allow_no_indices=True
            )
        )
    except (Forbidden, Rejected):  # `views` says so
        return set()
    if caps.get("failed_indices") or not caps["indices"]:  # who did not answer may have them
        return set()
    return {name for name in names if name not in caps["fields"]}


def _required(rule: Rule) -> list[str]:
    return [str(field["name"]) for field in rule.parameters.get("required_fields") or ()]


def _keys(rule: Rule) -> Iterator[Key]:
    taken_out = tuple(name for name in rule.index if name.startswith("-"))
    return ((name, *taken_out) for name in rule.index if not name.startswith("-"))


def _bodies(
    fields: Collection[str], now: datetime, exclude_tiers: Collection[str]
) -> tuple[Json, Json]:
    """The newest by ingestion, and the newest by their own time."""
    return (
        _newest(INGESTED, SAMPLE, fields, now, exclude_tiers),
        _newest(EVENT_TIME, 1, [EVENT_TIME], now, exclude_tiers),
    )


def _newest(
    by: str, size: int, fields: Collection[str], now: datetime, exclude_tiers: Collection[str]
) -> Json:
    query: Json = {"filter": [{"range": {by: {"lte": now.isoformat(), "format": ISO}}}]}
    if exclude_tiers:
        query["must_not"] = [{"terms": {"_tier": list(exclude_tiers)}}]
    return {
        "size": size,
        "query": {"bool": query},
        "sort": [{by: {"order": "desc", "numeric_type": "date", "unmapped_type": "date"}}],
        "fields": [{"field": field, "format": ISO} for field in sorted(fields)],
        "_source": False,
        "track_total_hits": False,
    }


def _ask(store: ElasticStore, bodies: Sequence[tuple[Json, Json]]) -> Iterator[Json]:
    for start in range(0, len(bodies), TOGETHER):
        lines = [line for pair in bodies[start : start + TOGETHER] for line in pair]
        yield from store.call(lambda lines=lines: store.client.msearch(searches=lines))["responses"]  # type: ignore[misc]


def _source(key: Key, ingested: Json, happened: Json) -> Source:
    pattern = key[0]
    for answer in (ingested, happened):
        if "error" in answer:
            return Source(pattern, error=reason_of(answer["error"]))
        if answer.get("_clusters", {}).get("skipped"):
            return Source(pattern, error="a remote cluster does not answer")
    lacks = filter(None, map(msearch.lack, (ingested, happened)))
    error = next((lack.reason for lack in lacks), None)
    sample = tuple(_times(hit) for hit in ingested["hits"]["hits"])
    last = max((times[INGESTED] for times in sample if INGESTED in times), default=None)
    newest = [
        times[EVENT_TIME]
        for hit in happened["hits"]["hits"]
        if EVENT_TIME in (times := _times(hit))
    ]
    newest += [last] if last else []
    return Source(pattern, max(newest, default=None), last, sample, error)


def _times(hit: Json) -> dict[str, datetime]:
    told = hit.get("fields", {}).items()
    return {field: time for field, values in told if (time := _time(values[0])) is not None}


def _time(text: str) -> datetime | None:
    """None for a year that Python does not have: whoever writes events chooses their dates."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _view(rule: Rule, sources: Sequence[Source]) -> View:
    sample = [times for source in sources for times in source.sample if INGESTED in times]
    sample = sorted(sample, key=lambda times: times[INGESTED], reverse=True)[:SAMPLE]
    delays = sorted(times[INGESTED] - times[EVENT_TIME] for times in sample if EVENT_TIME in times)
    own = [late for times in sample if (late := _late(times, rule)) is not None]
    return View(
        sources=tuple(sources),
        newest=max((source.newest for source in sources if source.newest), default=None),
        ingested=max((source.ingested for source in sources if source.ingested), default=None),
        delays=Delays(delays[len(delays) // 2], delays[-1]) if delays else None,
        late=max(own, default=None),
    )


def _late(times: Mapping[str, datetime], rule: Rule) -> timedelta | None:
    fallback = times.get(EVENT_TIME) if rule.timestamp_fallback else None
    by = times.get(time_field(rule), fallback)
    return None if by is None else times[INGESTED] - by
