"""Questions in, their conditions as this cluster takes them out, by the types of its fields."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias, TypeVar

from detector.language import dsl, tree
from detector.language.fields import FieldTypes, Kind, kind_of
from detector.model import Buckets, Rows, Search
from detector.store.connection import Connection
from detector.store.fieldtypes import Mappings

T = TypeVar("T")
OfEvents: TypeAlias = Search | Buckets | Rows

KEPT = 20_000
"""Conditions that are remembered."""


class Translations:
    """What has been made of conditions, each once for all runs; shared by all that search.

    Keyed by identity, since hashing a large tree costs as much as translating it.
    """

    def __init__(self, connection: Connection) -> None:
        self._mappings = Mappings(connection)
        self._compiled: dict[int, tuple[tree.Node, FieldTypes, dsl.Compiled]] = {}
        self._fields: dict[int, tuple[tree.Node, frozenset[str]]] = {}

    def learn(self, questions: Iterable[OfEvents]) -> None:
        """Get to know the fields of all of them, before the first is translated. Never raises."""
        wanted: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for question in questions:
            if question.index:
                wanted[question.index] |= self._fields_of(question.where)
            if isinstance(question, Buckets):
                wanted[question.index].update(question.by)
        self._mappings.learn(wanted)

    def types_for(self, patterns: Sequence[str], names: Collection[str]) -> FieldTypes:
        """What the indices know of these fields; ECS where they are not mapped or do not tell."""
        self._mappings.learn({tuple(patterns): names})
        return self._mappings.of(tuple(patterns))

    def types(self, question: OfEvents) -> FieldTypes:
        """What has been learnt of the indices that are asked."""
        return self._mappings.of(question.index)

    def counts(self, question: Buckets) -> bool:
        """Whether an index can count by these fields: not by analysed text."""
        types = self.types(question)
        return not any(types.analysed_in(name) or _is_text(name, types) for name in question.by)

    def of(self, question: OfEvents) -> dsl.Compiled:
        """The query for the question's condition, and what is left to check."""
        types = self.types(question)
        compiled = self._translated(question.where, types)
        if isinstance(question, Rows) or question.among is None:
            return compiled
        return dsl.both(compiled, dsl.translate(question.among, types))

    def _translated(self, where: tree.Node, types: FieldTypes) -> dsl.Compiled:
        known = self._compiled.get(id(where))
        if known is None or known[0] is not where or known[1] is not types:
            known = (where, types, dsl.translate(where, types))
            _remember(self._compiled, id(where), known)
        return known[2]

    def _fields_of(self, where: tree.Node) -> frozenset[str]:
        known = self._fields.get(id(where))
        if known is None or known[0] is not where:
            known = (where, tree.fields_of(where))
            _remember(self._fields, id(where), known)
        return known[1]


def _is_text(name: str, types: FieldTypes) -> bool:
    return kind_of(name, types) is Kind.TEXT and types.exact(name) is None


def _remember(known: dict[int, T], key: int, value: T) -> None:
    """Keep it among at most `KEPT`: a condition with date math is another in each run."""
    if len(known) >= KEPT:
        known.clear()
    known[key] = value
