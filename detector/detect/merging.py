"""Pages of several searches -> their documents in one order, as soon as it is certain."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import TypeAlias

from detector.language import dates, evaluate
from detector.model import Document, Page, Search

Rank: TypeAlias = tuple[tuple[int, float, str], str, str]

Taken: TypeAlias = tuple[Document, list[int]]
"""A document and the roles it was found for."""

_NONE: tuple[int, float, str] = (2, 0.0, "")


@dataclass(slots=True)
class Stream:
    """The documents of one `role` that are at hand, and the search for those that follow.

    A `hungry` one is to be fed: what it lacks holds up the others, or soon will.
    """

    role: int
    next: Search | None
    documents: list[Document] = field(default_factory=list)
    hungry: bool = True
    page: int = 0

    @property
    def open(self) -> bool:
        return self.next is not None or bool(self.documents)

    def feed(self, page: Page) -> None:
        self.documents += page.documents
        self.page = len(page.documents)
        self.next = page.next if isinstance(page.next, Search) else None
        self.hungry = False

    def take(self, before: datetime | None) -> list[Document]:
        """What is older than `before`, or all."""
        count = sum(before is None or one.time < before for one in self.documents)
        taken, self.documents = self.documents[:count], self.documents[count:]
        return taken


@dataclass(frozen=True, slots=True)
class Ordered:
    """A document and the roles its searches say it can take."""

    document: Document
    roles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """How events of one millisecond are told apart: by finer time, then `tiebreaker`, then id.

    Elasticsearch takes the order of documents in the index for the last; ours is the same whoever
    asks. An event with a tiebreaker comes before one without.
    """

    time_field: str
    tiebreaker: str

    def of(self, document: Document) -> tuple[int, Rank]:
        return (self._nanos(document), (self._tie(document), document.index, document.id))

    def _nanos(self, document: Document) -> int:
        """Nanoseconds inside the millisecond that the index may have dropped."""
        values = evaluate.values(document.source, self.time_field)
        span = dates.span(values[0]) if values and isinstance(values[0], str) else None
        return 0 if span is None else span[0] % dates.MILLISECOND

    def _tie(self, document: Document) -> tuple[int, float, str]:
        values = evaluate.values(document.source, self.tiebreaker) or evaluate.values(
            document.fields, self.tiebreaker
        )
        if not values:
            return _NONE
        value = values[0]
        if isinstance(value, int | float):
            return (0, value, "")
        return (1, 0.0, str(value))


def ready(streams: Sequence[Stream], order: Order) -> list[Ordered]:
    """The documents that no later page can precede, each event once.

    Where none is ready, the streams that hold it up are hungry: more of one millisecond may follow.
    """
    unread = [stream for stream in streams if stream.next is not None]
    for stream in unread:
        stream.hungry = stream.hungry or not stream.documents
    if any(stream.hungry for stream in unread):
        return []
    before = min((stream.documents[-1].time for stream in unread), default=None)
    found: dict[tuple[str, str], Taken] = {}
    for stream in streams:
        for document in stream.take(before):
            known = found.setdefault((document.index, document.id), (document, []))
            known[1].append(stream.role)
    for stream in unread:
        held_up = not stream.documents or stream.documents[-1].time == before
        stream.hungry = held_up or 2 * len(stream.documents) < stream.page
    timed = sorted(found.values(), key=lambda item: item[0].time)
    groups = (list(group) for _, group in groupby(timed, key=lambda item: item[0].time))
    return [
        Ordered(document, tuple(dict.fromkeys(roles)))
        for group in groups
        for document, roles in (group if len(group) == 1 else _told_apart(group, order))
    ]


def _told_apart(group: Sequence[Taken], order: Order) -> Iterable[Taken]:
    """The events of one millisecond in their order, copies as one."""
    once: dict[Hashable, Taken] = {}
    for document, roles in sorted(group, key=lambda item: order.of(item[0])):
        once.setdefault(_event(document), (document, []))[1].extend(roles)
    return once.values()


def _event(document: Document) -> Hashable:
    """What makes two documents of one time the same event, as identities have it by default.

    A copy in another index must not be taken for the next event of a sequence.
    """
    for held in (document.source, document.fields):
        ids = evaluate.values(held, "event.id")
        if len(ids) == 1 and isinstance(ids[0], str) and ids[0]:
            return (document.time, ids[0], *map(str, evaluate.values(held, "event.dataset")))
    return (document.index, document.id)
