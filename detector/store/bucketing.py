"""Buckets in, the body that counts them out; a response, or documents, in, buckets out. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from detector.language import dsl
from detector.language.fields import ECS, FieldTypes, Kind, kind_of
from detector.language.tree import Scalar
from detector.language.values import bring
from detector.model import Bucket, Buckets, Page, Window
from detector.questions import EVENT_TIME
from detector.store import msearch
from detector.store.msearch import EPOCH, Asked, Json

MILLISECOND = timedelta(milliseconds=1)


def ask(
    question: Buckets,
    compiled: dsl.Compiled,
    *,
    size: int,
    types: FieldTypes = ECS,
    timeout: float | None = None,
    exclude_tiers: Sequence[str] = (),
) -> Asked[Buckets]:
    """The request for at most `size` buckets; there must be no residual.

    No scripts: what is too small is left out when the answer is read.
    """
    body: Json = {
        "size": 0,
        "query": msearch.named(
            msearch.query(question, compiled.query, exclude_tiers), question.rule_id
        ),
        "track_total_hits": not question.by,
        "aggs": _groups(question, size, types) if question.by else _times(question),
    }
    if timeout is not None:
        body["timeout"] = msearch.milliseconds(timeout)
    return Asked(question, msearch.header(question.index), body, None, size)


def read(asked: Asked[Buckets], response: Mapping[str, Any]) -> Page:
    """The page in a response without an `error`; its buckets in the order of their keys."""
    question = asked.search
    found = response.get("aggregations", {})
    groups = found.get("groups", {})
    buckets = groups.get("buckets", ())
    if question.by:
        read_ = [_bucket(question, one, one["doc_count"]) for one in buckets]
    else:
        read_ = [_bucket(question, found, response["hits"]["total"]["value"])]
    more = question.by and len(buckets) == asked.size and "after_key" in groups
    page = Page(
        documents=(),
        next=replace(question, after=groups["after_key"]) if more else None,
        hits=len(buckets),
        took_ms=response.get("took", 0),
        warning=msearch.nothing_there(question.index, response),
        timed_out=bool(response.get("timed_out")),
        buckets=tuple(one for one in read_ if one.count >= max(question.least, 1)),
    )
    lacking = msearch.lack(response)
    return lacking.noted(page) if lacking else page


@dataclass(slots=True)
class Tally:
    """Counts documents one by one: exact where no aggregation can say what is asked."""

    question: Buckets
    types: FieldTypes = ECS
    _found: dict[tuple[Scalar, ...], Bucket] = field(default_factory=dict)

    def add(self, held: Mapping[str, Sequence[Any]], time: datetime) -> None:
        """Take in a document that holds these values."""
        for key in keys(self.question.by, held, self.types):
            self.put(Bucket(key, 1, time, time))

    def put(self, bucket: Bucket) -> None:
        """Take in documents that have been counted."""
        old = self._found.get(bucket.key)
        self._found[bucket.key] = bucket if old is None else _both(old, bucket)

    def buckets(self) -> tuple[Bucket, ...]:
        """In the order of their keys."""
        large = [one for one in self._found.values() if one.count >= self.question.least]
        return tuple(sorted(large, key=lambda bucket: [_place(value) for value in bucket.key]))


def keys(
    by: Sequence[str], held: Mapping[str, Sequence[Any]], types: FieldTypes = ECS
) -> Iterator[tuple[Scalar, ...]]:
    """The keys of the buckets that a document with these values counts in, each once."""
    columns = []
    for name in by:
        brought = (term(name, value, types) for value in held.get(name, ()))
        columns.append(list(dict.fromkeys(value for value in brought if value is not None)))
    return product(*columns)


def _both(one: Bucket, other: Bucket) -> Bucket:
    first, last = min(one.first, other.first), max(one.last, other.last)
    return Bucket(one.key, one.count + other.count, first, last)


def term(name: str, value: Any, types: FieldTypes = ECS) -> Scalar | None:
    """A value as a bucket's key tells it; None for what an index would not count."""
    kind, type_ = kind_of(name, types), types.type_of(name)
    limit = types.ignore_above(name)
    if limit is not None and isinstance(value, str) and len(value) > limit:
        return None
    if kind is Kind.IP:
        try:
            return str(ipaddress.ip_address(str(value)))
        except ValueError:
            return None
    if kind is Kind.DATE:
        nanos = bring(value, kind, "date")
        return None if nanos is None else _stamp(int(nanos))
    if kind in {Kind.UNKNOWN, Kind.OPAQUE}:
        return value if isinstance(value, str | int | float) else None
    return bring(value, kind, type_)


def _stamp(ticks: int) -> str:
    time = EPOCH + timedelta(microseconds=ticks // 1000)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _place(value: Scalar) -> tuple[bool, float, str]:
    text = isinstance(value, str)
    return text, 0.0 if text else float(value), str(value)


def _groups(question: Buckets, size: int, types: FieldTypes) -> Json:
    by = [types.exact(name) or name for name in question.by]  # text has no buckets
    sources = [{str(i): {"terms": {"field": name}}} for i, name in enumerate(by)]
    composite: Json = {"size": size, "sources": sources}
    if question.after:
        composite["after"] = dict(question.after)
    return {"groups": {"composite": composite, "aggs": _times(question)}}


def _times(question: Buckets) -> Json:
    times = _first_and_last(question.time_field)
    if question.fallback:
        lacking: Json = {"bool": {"must_not": {"exists": {"field": question.time_field}}}}
        times["lacking"] = {"filter": lacking, "aggs": _first_and_last(EVENT_TIME)}
    return times


def _first_and_last(name: str) -> Json:
    return {"first": {"min": {"field": name}}, "last": {"max": {"field": name}}}


def _bucket(question: Buckets, said: Mapping[str, Any], count: int) -> Bucket:
    values = said.get("key", {})
    key = [values[str(number)] for number in range(len(question.by))]
    told = [term(name, value) for name, value in zip(question.by, key, strict=True)]
    span = [said, said.get("lacking", {})]
    first = [_time(one, "first", question.window) for one in span]
    last = [_time(one, "last", question.window) for one in span]
    return Bucket(
        tuple(value if value is not None else raw for value, raw in zip(told, key, strict=True)),
        count,
        min((time for time in first if time), default=question.window.start),
        max((time for time in last if time), default=question.window.start),
    )


def _time(said: Mapping[str, Any], name: str, window: Window) -> datetime | None:
    """Inside the window: of several times of one document any may be the first."""
    value = said.get(name, {}).get("value")
    if value is None:
        return None
    try:
        time = EPOCH + timedelta(milliseconds=int(value))
    except OverflowError:
        return window.start
    return max(window.start, min(time, window.end - MILLISECOND)).astimezone(UTC)
