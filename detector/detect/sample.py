"""sample: one event for each condition, in any order, joined by keys; a match for each key.

The events are those of the rule's window. Of several that fit a condition the first is taken, and
none twice: Elasticsearch leaves open which, and takes one sample of a key as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from detector.detect import joining, pipes, query
from detector.detect.joining import Joined, Keys
from detector.detect.matching import Key
from detector.detect.merging import Order, Ordered, Stream, ready
from detector.model import Ask, Detection, Document, Found, Match, Page, Rule, Search, Window


def searches(rule: Rule, window: Window) -> tuple[Search, ...]:
    """The events of the first condition: there are no more samples than these."""
    return tuple(one.next for one in _streams(joining.of(rule), rule, window)[:1] if one.next)


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Each key as soon as all its conditions have an event."""
    joined = joining.of(rule)
    return pipes.cut(_samples(rule, joined, window, fields), joined.pipes)


class Sampler:
    """Keeps as many events for a key and condition as there are conditions: no more are needed."""

    def __init__(self, stages: Sequence[int]) -> None:
        self._stages = stages
        self._open: dict[Key, list[list[Document]]] = {}
        self._done: set[Key] = set()

    def feed(
        self, document: Document, hits: dict[int, list[Key]]
    ) -> Iterator[tuple[Document, ...]]:
        """The samples that this event completes, their events in the order of the conditions."""
        for key in dict.fromkeys(key for keys in hits.values() for key in keys):
            if key in self._done:
                continue
            kept = self._open.setdefault(key, [[] for _ in self._stages])
            for place, role in zip(kept, self._stages, strict=True):
                if key in hits.get(role, ()) and len(place) < len(self._stages):
                    place.append(document)
            if chosen := _distinct(kept):
                self._done.add(key)
                del self._open[key]
                yield chosen


def _distinct(places: Sequence[Sequence[Document]]) -> tuple[Document, ...] | None:
    """One of each, none twice; the first combination there is."""
    if not all(places):
        return None
    chosen: list[Document] = []

    def choose(at: int) -> bool:
        if at == len(places):
            return True
        for document in places[at]:
            if all(document is not other for other in chosen):
                chosen.append(document)
                if choose(at + 1):
                    return True
                chosen.pop()
        return False

    return tuple(chosen) if choose(0) else None


def _samples(rule: Rule, joined: Joined, window: Window, fields: tuple[str, ...]) -> Detection:
    if joined.impossible:
        return
    keys, sampler = Keys(joined.roles), Sampler(joined.shape.stages)
    order = Order(joined.time_field, joined.tiebreaker)
    streams = _streams(joined, rule, window, tuple(dict.fromkeys((*fields, *joined.fields))))
    while any(stream.open for stream in streams):
        hungry = [stream for stream in streams if stream.hungry and stream.next]
        if hungry:
            asked = Ask(tuple(cast("Search", stream.next) for stream in hungry))
            pages = cast("tuple[Page, ...]", (yield asked))
            for stream, page in zip(hungry, pages, strict=True):
                stream.feed(page)
        found = [
            chosen
            for event in ready(streams, order)
            for chosen in sampler.feed(event.document, _hits(keys, event))
        ]
        if found:
            yield Found(tuple(Match(chosen, window.start) for chosen in found))


def _hits(keys: Keys, event: Ordered) -> dict[int, list[Key]]:
    source = joining.texts(event.document)
    return {role: keys.of(role, source) for role in event.roles}


def _streams(
    joined: Joined, rule: Rule, window: Window, fields: tuple[str, ...] = ()
) -> list[Stream]:
    streams = []
    for role in joined.needed:
        for search in query.searches(rule, window, fields):
            asked = replace(search, where=joined.roles[role].where)
            streams.append(Stream(role, asked))
    return streams
