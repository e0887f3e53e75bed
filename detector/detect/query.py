"""query: every document that satisfies a rule's condition is a match of its own.

A rule with a `timestamp_override` asks twice: for documents in the window by that field, and for
those that lack it by `@timestamp`. One sorted search would put the latter behind all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from detector import questions
from detector.model import Ask, Detection, Document, Found, Match, Page, Rule, Search, Window

if TYPE_CHECKING:
    from detector.language.tree import Node


def searches(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> tuple[Search, ...]:
    """What has to be asked so that every document of the window is seen once.

    The window is asked as Kibana does (`timestamp_override`, else `@timestamp` where it is missing
    and the fallback is not disabled), except that its end is exclusive.
    """
    search = Search(
        rule_id=rule.rule_id,
        index=rule.index,
        where=cast("Node", rule.where),
        window=window,
        time_field=questions.time_field(rule),
        fields=fields,
    )
    return questions.by_either_time(search, fallback=questions.falls_back(rule))


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Matches in the order of their time, a page of each search at a time."""
    return read(searches(rule, window, fields))


def read(asked: Iterable[Search]) -> Detection:
    """A match of every document that the searches find, in the order of their time."""
    streams = [_Stream(search) for search in asked]
    while any(stream.open for stream in streams):
        hungry = [stream for stream in streams if stream.hungry]
        if hungry:
            pages = yield Ask(tuple(cast("Search", stream.next) for stream in hungry))
            for stream, page in zip(hungry, cast("tuple[Page, ...]", pages), strict=True):
                stream.feed(page)
        ready = _in_order(streams)
        if ready:
            yield Found(tuple(Match((document,), document.time) for document in ready))


@dataclass(slots=True)
class _Stream:
    """One search's documents: those at hand, and the search for those that follow."""

    next: Search | None
    documents: list[Document] = field(default_factory=list)

    @property
    def hungry(self) -> bool:
        return self.next is not None and not self.documents

    @property
    def open(self) -> bool:
        return self.next is not None or bool(self.documents)

    def feed(self, page: Page) -> None:
        self.documents = list(page.documents)
        self.next = cast("Search | None", page.next)

    def take(self, until: datetime | None) -> list[Document]:
        if until is None:
            taken, self.documents = self.documents, []
            return taken
        count = sum(1 for document in self.documents if document.time <= until)
        taken, self.documents = self.documents[:count], self.documents[count:]
        return taken


def _in_order(streams: list[_Stream]) -> list[Document]:
    """The documents no later page can precede, oldest first.

    A stream whose page came back empty but has a next one holds everything back: it may yet bring
    older documents than those at hand.
    """
    unread = [stream for stream in streams if stream.next is not None]
    if any(not stream.documents for stream in unread):
        return []
    until = min((stream.documents[-1].time for stream in unread), default=None)
    ready = [document for stream in streams for document in stream.take(until)]
    ready.sort(key=lambda document: (document.time, document.index, document.id))
    return ready
