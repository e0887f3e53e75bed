"""Conditions in, what a pass over files asks of every event out, and which are asked together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from detector.language import evaluate, sql
from detector.language.gate import Gate, Gates
from detector.language.tree import Everything, Node
from detector.model import Document, Source
from detector.store.occurrences import Occurrences, Positions
from detector.store.sifting import BEARABLE, Unread
from detector.store.spool import Hit, Spool

FEWEST, LOOKS = 40, 20_000
"""Events of a sample at the least, and for all conditions together."""
WIDE_OPEN = 0.1
"""A gate that lets so many events pass is not asked: each takes Python a look at the condition."""
FIELDS, LENGTH = 120, 250_000
"""The most fields, and characters of SQL, of one pass."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of every event, and by which time; with `without`, of those that lack it."""

    where: Node
    time_field: str
    without: str | None = None


@dataclass(slots=True)
class Sample:
    """Some of the events, by which is told how many satisfy a leaf."""

    events: Sequence[Source]
    known: dict[Node, float] = field(default_factory=dict)

    def rate(self, leaf: Node) -> float:
        if leaf not in self.known:
            holds = evaluate.predicate(leaf)
            self.known[leaf] = sum(map(holds, self.events)) / max(len(self.events), 1)
        return self.known[leaf]


@dataclass(slots=True)
class Asked:
    """A condition, what SQL says for it, and what has been found."""

    condition: Condition
    compiled: sql.Compiled
    whole: evaluate.Predicate
    left: evaluate.Predicate
    gate: Gate | None = None
    hits: list[Hit] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    def holds(self, source: Source, *, certain: bool, document: Callable[[], Document]) -> bool:
        """Whether an admitted event satisfies it; one that cannot be judged is unread."""
        try:
            return (self.left if certain else self.whole)(source)
        except Exception as error:
            if len(self.unread) >= BEARABLE:
                raise
            self.unread.append((document(), f"the condition cannot be evaluated: {error!r}"[:999]))
            return False

    def settle(self) -> None:
        """In order, an event that stands in the files twice once."""
        self.hits.sort()
        kept = [later for one, later in pairwise(self.hits) if not one.same(later)]
        self.hits = self.hits[:1] + kept

    def occurrences(self, spool: Spool) -> Occurrences:
        def read(positions: Positions) -> Iterator[Source]:
            return (source for _, source in spool.read([self.hits[one] for one in positions]))

        return Occurrences([hit.time for hit in self.hits], read)


def compiled(condition: Condition) -> Asked:
    """The condition, ready for a pass. Raises LanguageError where only Elasticsearch can tell."""
    said = sql.translate(condition.where)
    left = evaluate.predicate(said.residual or Everything())
    return Asked(condition, said, evaluate.predicate(condition.where), left)


def shut(asked: Sequence[Asked], sample: Sequence[Source]) -> None:
    """Give each of `asked` its gate, where one keeps most events out."""
    some = Sample(sample[: max(FEWEST, LOOKS // max(len(asked), 1))])
    gates = Gates(some.rate, _shares(asked))
    for one in asked:
        gate = gates.of(one.condition.where)
        one.gate = gate if gate and gate.cost < WIDE_OPEN else None


def _shares(asked: Sequence[Asked]) -> dict[str, float]:
    """For each field the share of the conditions that name it."""
    named = Counter(name for one in asked for name in one.compiled.fields)
    return {name: count / len(asked) for name, count in named.items()}


def alike(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Groups for one pass each: those that share fields are together.

    Every field takes memory for each of the events in hand, so that a pass has room for so many.
    """
    groups: list[list[Asked]] = []
    for one in sorted(asked, key=lambda one: sorted(one.compiled.fields)):
        roomy = [group for group in groups if _fits(group, one)]
        if roomy:
            min(roomy, key=lambda group: len(one.compiled.fields - named(group))).append(one)
        else:
            groups.append([one])
    return groups


def _fits(group: Sequence[Asked], one: Asked) -> bool:
    length = sum(len(other.compiled.condition) for other in (*group, one))
    return len(named(group) | one.compiled.fields) <= FIELDS and length <= LENGTH


def named(group: Sequence[Asked]) -> frozenset[str]:
    """The fields that some of them name."""
    return frozenset(name for one in group for name in one.compiled.fields)
