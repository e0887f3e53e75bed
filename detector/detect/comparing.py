"""Events and indicators in, which indicators each event meets out, and the events that show it.

What an alert says of an indicator has Kibana's shape (`enrich_signal_threat_matches.ts`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from detector.language import evaluate, values
from detector.language.fields import ECS, Kind, kind_of
from detector.language.functions import string
from detector.language.tree import Node, OneOf, Scalar, all_of, any_of
from detector.model import Document, Indicators, Pair, Source

MOST_ENRICHMENTS = 200
"""Indicators an alert tells of, as Kibana's."""
FEED = "threat.feed.name"

Key = Any
"""A value as the event's field holds it, so that equal addresses are equal however written."""


@dataclass(frozen=True, slots=True)
class Compared:
    """An event, with its values in each field of the mapping by their keys."""

    document: Document
    held: Mapping[str, Mapping[Key, Scalar]]

    @property
    def size(self) -> int:
        return sum(map(len, self.held.values()))


@dataclass(slots=True)
class Batch:
    """Events that are compared together, and what has been found of each."""

    asked: Indicators
    events: Sequence[Compared]
    found: list[dict[tuple[str, str, str], Source]] = field(init=False)
    places: dict[str, dict[Key, list[int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.found = [{} for _ in self.events]
        self.places = defaultdict(lambda: defaultdict(list))
        for number, event in enumerate(self.events):
            for name, held in event.held.items():
                for key in held:
                    self.places[name][key].append(number)

    @property
    def full(self) -> bool:
        """Whether no event has room for another indicator."""
        return all(len(some) >= MOST_ENRICHMENTS for some in self.found)

    def condition(self) -> Node:
        """What the indicators that some event may meet have in common."""
        return any_of(
            all_of(OneOf(pair.value, self._values(pair.field)) for pair in group if not pair.negate)
            for group in self.asked.groups
            if all(self.places.get(pair.field) for pair in group if not pair.negate)
        )

    def take(self, indicators: Iterable[Document]) -> None:
        """Note each with the events that meet it."""
        for indicator in indicators:
            for group in self.asked.groups:
                self._meet(indicator, group)

    def shown(self) -> Iterator[Document]:
        """The events that meet an indicator, each with what it meets."""
        for event, enrichments in zip(self.events, self.found, strict=True):
            if enrichments:
                yield enriched(event.document, list(enrichments.values()))

    def _values(self, name: str) -> tuple[Scalar, ...]:
        spelled = (value for event in self.events for value in event.held.get(name, {}).values())
        return tuple(dict.fromkeys(spelled))

    def _meet(self, indicator: Document, group: Sequence[Pair]) -> None:
        wanted = {pair: keyed(indicator, pair.value, pair.field) for pair in group}
        if not all(wanted.values()):
            return
        first = next(pair for pair in group if not pair.negate)
        places = self.places.get(first.field, {})
        numbers = dict.fromkeys(n for key in wanted[first] for n in places.get(key, ()))
        for number in numbers:
            held = self.events[number].held
            if _hold(wanted, held):
                self._note(number, indicator, _shared(wanted, held))

    def _note(
        self, number: int, indicator: Document, shared: Iterable[tuple[Pair, Scalar]]
    ) -> None:
        some = self.found[number]
        for pair, atomic in shared:
            name = (indicator.index, indicator.id, pair.field)
            if len(some) < MOST_ENRICHMENTS and name not in some:
                some[name] = _enrichment(self.asked, indicator, pair, atomic)


def batches(
    asked: Indicators, documents: Iterable[Document], most: int
) -> Iterator[Sequence[Compared]]:
    """The events that have what is compared, of at most `most` values together where possible."""
    some: list[Compared] = []
    size = 0
    for one in filter(None, (compared(asked, document) for document in documents)):
        if some and size + one.size > most:
            yield some
            some, size = [], 0
        some.append(one)
        size += one.size
    if some:
        yield some


def compared(asked: Indicators, document: Document) -> Compared | None:
    """The event with its values; None where it has none that an indicator could have."""
    names = dict.fromkeys(pair.field for group in asked.groups for pair in group)
    held = {name: found for name in names if (found := keyed(document, name, name))}
    comparable = any(
        all(pair.field in held for pair in group if not pair.negate) for group in asked.groups
    )
    return Compared(document, held) if comparable else None


def keyed(document: Document, name: str, like: str) -> dict[Key, Scalar]:
    """The values at `name`, by what they are in a field of the type of `like`."""
    found = evaluate.values(document.fields, name) or evaluate.values(document.source, name)
    kind, type_ = kind_of(like, ECS), ECS.type_of(like)
    keys = ((_key(value, kind, type_), value) for value in found)
    return {key: value for key, value in keys if key is not None}


def enriched(document: Document, enrichments: Sequence[Source]) -> Document:
    """The event with the indicators it meets, after those it came with."""
    threat = document.source.get("threat")
    kept = dict(threat) if isinstance(threat, Mapping) else {}
    own = kept.get("enrichments") or []
    kept["enrichments"] = [*(own if isinstance(own, list) else [own]), *enrichments]
    return replace(document, source={**document.source, "threat": kept})


def _key(value: Any, kind: Kind, type_: str | None) -> Key:
    if kind is Kind.UNKNOWN or kind is Kind.OPAQUE:
        return string(value)
    return values.bring(value, kind, type_)


def _hold(
    wanted: Mapping[Pair, Mapping[Key, Scalar]], held: Mapping[str, Mapping[Key, Scalar]]
) -> bool:
    return all(
        pair.negate == held.get(pair.field, {}).keys().isdisjoint(keys)
        for pair, keys in wanted.items()
    )


def _shared(
    wanted: Mapping[Pair, Mapping[Key, Scalar]], held: Mapping[str, Mapping[Key, Scalar]]
) -> Iterator[tuple[Pair, Scalar]]:
    """For each pair that is equal, the first of the event's values that the indicator has."""
    for pair, keys in wanted.items():
        if not pair.negate:
            yield pair, next(v for key, v in held[pair.field].items() if key in keys)


def _enrichment(asked: Indicators, indicator: Document, pair: Pair, atomic: Scalar) -> Source:
    feeds = evaluate.values(indicator.source, FEED)
    return {
        "indicator": _told(indicator.source, asked.path),
        "feed": {"name": feeds[0]} if feeds else {},
        "matched": {
            "atomic": atomic,
            "field": pair.field,
            "id": indicator.id,
            "index": indicator.index,
            "type": "indicator_match_rule",
        },
    }


def _told(source: Source, path: str) -> Mapping[str, Any]:
    """The object at `path`; in a document that spells it with dots, what lies below."""
    if found := values.objects(source, path):
        return found[0]
    below = f"{path}."
    return {key[len(below) :]: value for key, value in source.items() if key.startswith(below)}
