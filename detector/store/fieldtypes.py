"""Index patterns and names of fields in, what their indices know about them out.

Asked of `field_caps`, for all rules that share a request together, and again after a while. What is
not mapped, or cannot be asked, is of the type that ECS gives it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from detector.errors import Forbidden, Rejected, StoreError
from detector.language.fields import ECS, KINDS, FieldTable, FieldTypes, Kind, Layered, near
from detector.language.saying import stands_for_several
from detector.store.connection import Connection

Patterns: TypeAlias = tuple[str, ...]
Told: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What `field_caps` says of a field: each of its types, where there are several with indices."""

GOOD_FOR = 300.0
"""Seconds until a mapping is asked for again."""
AGAIN_AFTER = 30.0
"""Seconds until it is asked for again where there was no answer."""
AT_ONCE = 500
"""Fields of one request."""
LINE = 2_500
"""Characters of patterns in one request: Elasticsearch reads 4,096 bytes of a first line."""
MOST_INDICES = 50
"""Patterns of indices that a query names; with more it asks all."""

_NO_FIELDS = frozenset({"unmapped", "object"})
_NUMBERS = frozenset({Kind.INTEGER, Kind.FLOAT})
_GENERATION = re.compile(r"(?:\d{4}\.\d{2}\.\d{2}-)?\d+$")


@dataclass(slots=True)
class _Known:
    """What is known of one set of patterns, and until when.

    `named` are the fields somebody wants to know of, `asked` those and what is near them.
    """

    told: dict[str, Told] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    types: FieldTypes = ECS
    until: float = 0.0

    def learn(self, names: Collection[str], told: Mapping[str, Told]) -> None:
        """The types stay the same object while nothing has changed: others remember by it."""
        learnt = {name: one for name, one in self.told.items() if name not in names} | dict(told)
        if learnt != self.told:
            self.told, self.types = learnt, types(learnt)


class Mappings:
    """What the indices of one cluster know about fields; shared by all that search it."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._known: dict[Patterns, _Known] = {}

    def of(self, patterns: Patterns) -> FieldTypes:
        """What has been learnt; ECS where nothing has."""
        known = self._known.get(patterns)
        return ECS if known is None else known.types

    def learn(self, wanted: Mapping[Patterns, Collection[str]]) -> None:
        """See to it that `of` knows these fields, where the cluster tells. Never raises."""
        now = self._clock()
        lacking: dict[Patterns, set[str]] = {}
        for patterns, names in wanted.items():
            known = self._known.setdefault(patterns, _Known())
            if now >= known.until or not known.named.issuperset(names):
                known.named.update(name for name in names if not stands_for_several(name))
                every = {one for name in known.named for one in near(name)}
                lacking[patterns] = every if now >= known.until else every - known.asked
        for group in _groups({patterns: names for patterns, names in lacking.items() if names}):
            self._ask(group)

    def _ask(self, group: Mapping[Patterns, set[str]]) -> None:
        """All together; where some of them may not be asked, each for itself."""
        try:
            found = self._found(group)
        except StoreError as error:
            if len(group) > 1 and isinstance(error, Forbidden | Rejected):
                for patterns, names in group.items():
                    self._ask({patterns: names})
            else:  # the search itself says what is wrong; what was known stays
                self._learnt(group, None, AGAIN_AFTER)
            return
        self._learnt(group, found, GOOD_FOR)

    def _found(self, group: Mapping[Patterns, set[str]]) -> dict[Patterns, dict[str, Told]]:
        """What each is told; fields whose types differ among all are asked of each for itself."""
        everywhere = tuple(dict.fromkeys(name for patterns in group for name in patterns))
        told = self._told(everywhere, set().union(*group.values()))
        several = {name for name, one in told.items() if len(group) > 1 and len(_fields(one)) > 1}
        return {
            patterns: {name: one for name, one in told.items() if name in names - several}
            | self._told(patterns, names & several)
            for patterns, names in group.items()
        }

    def _learnt(
        self,
        group: Mapping[Patterns, set[str]],
        found: Mapping[Patterns, Mapping[str, Told]] | None,
        good_for: float,
    ) -> None:
        until = self._clock() + good_for
        for patterns, names in group.items():
            known = self._known[patterns]
            known.asked |= names
            known.until = until
            if found is not None:
                known.learn(names, found[patterns])

    def _told(self, patterns: Patterns, names: Collection[str]) -> dict[str, Told]:
        told: dict[str, Told] = {}
        asked = sorted(names)
        for start in range(0, len(asked), AT_ONCE):
            some = asked[start : start + AT_ONCE]
            answer = self._connection.attempt(
                lambda some=some: self._connection.client.field_caps(  # type: ignore[misc]
                    index=list(patterns),
                    fields=some,
                    ignore_unavailable=True,
                    allow_no_indices=True,
                ),
            )
            told |= answer["fields"]
        return told


def types(told: Mapping[str, Told]) -> FieldTypes:
    """What indices know, over what ECS does."""
    merged = {name: type_ for name, one in told.items() if (type_ := _merged(one))}
    return Layered(
        FieldTable(
            merged,
            unsearchable={name for name, one in told.items() if not _is_searchable(one)},
            analysed={name: where for name, one in told.items() if (where := _analysed(one))},
        ),
        ECS,
    )


def _groups(wanted: Mapping[Patterns, set[str]]) -> Iterator[dict[Patterns, set[str]]]:
    """What fits into a request; patterns that are taken out (`-name`) hold for one set only."""
    group: dict[Patterns, set[str]] = {}
    length = 0
    for patterns, names in wanted.items():
        if any(name.startswith("-") for name in patterns):
            yield {patterns: names}
            continue
        added = sum(len(name) + 1 for name in patterns)
        if group and length + added > LINE:
            yield group
            group, length = {}, 0
        group[patterns] = names
        length += added
    if group:
        yield group


def _fields(told: Told) -> dict[str, Mapping[str, Any]]:
    return {type_: about for type_, about in told.items() if type_ not in _NO_FIELDS}


def _merged(told: Told) -> str | None:
    """One type for all indices; None where they have nothing in common."""
    found = list(_fields(told))
    kinds = {KINDS.get(type_, Kind.OPAQUE) for type_ in found}
    if len(found) <= 1:
        return found[0] if found else None
    if kinds == {Kind.INTEGER}:
        return "long"
    if kinds <= _NUMBERS:
        return "double"
    if kinds == {Kind.STRING, Kind.TEXT}:
        return "keyword"
    return min(found) if len(kinds) == 1 else None


def _analysed(told: Told) -> tuple[str, ...]:
    """Where it is analysed text, if it is something else elsewhere."""
    found = _fields(told)
    texts = [about for type_, about in found.items() if KINDS.get(type_) is Kind.TEXT]
    if not texts or len(texts) == len(found):
        return ()
    where = {_GENERATION.sub("*", name) for about in texts for name in about.get("indices", ())}
    return tuple(sorted(where)) if len(where) <= MOST_INDICES else ("*",)


def _is_searchable(told: Told) -> bool:
    return all(about.get("searchable", True) for about in _fields(told).values())
