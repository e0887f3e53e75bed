"""Files of events as a store: NDJSON and Parquet through DuckDB, all questions in one pass.

What satisfies a condition is found once and kept on disk; every window and every value that is
asked for later is looked up among that. Alerts go to whoever wants them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from detector.errors import LanguageError
from detector.language import evaluate
from detector.language.tree import Everything, Node
from detector.model import (
    Alert,
    Answer,
    Buckets,
    Cursor,
    Document,
    Earlier,
    Page,
    Question,
    Search,
    Window,
    Written,
)
from detector.questions import finding
from detector.store import asking, bucketing, earlier
from detector.store.asking import Asked, Condition
from detector.store.eventfiles import Found
from detector.store.memory import MemoryStore
from detector.store.occurrences import Occurrences, Positions
from detector.store.passes import NEVER, Reader, Watch
from detector.store.sifting import Unread
from detector.store.spool import Spool

EVER = Window(NEVER, datetime.max.replace(tzinfo=UTC))
"""A window in which events without a time lie as well."""

UNDATED = datetime.fromtimestamp(0, UTC)
PAGE = 1_000
ASKED = (earlier.RULE, earlier.GROUP.key, earlier.GROUP.start, earlier.GROUP.end)
"""What is remembered of an alert, where runs may ask for it."""

Index: TypeAlias = tuple[str, ...]
Name: TypeAlias = tuple[Index, int, str, str | None]
"""A condition's files, itself by its identity (`1` and `true` are equal), and its times."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What has been found of a condition."""

    asked: Asked
    occurrences: Occurrences


class DuckStore(MemoryStore):
    """The contract of `store.base.Store` over files; index patterns are not asked.

    Only the files of `apart` hold what is asked of the patterns they are given for, and nothing
    else. `wanted` is given every new alert as it is written. Raises StoreError where a file cannot
    be read at all.
    """

    def __init__(
        self,
        files: Found,
        wanted: Callable[[Alert], None] = lambda _: None,
        watch: Watch = lambda _: None,
        *,
        page_size: int = PAGE,
        apart: Mapping[Index, Found] | None = None,
    ) -> None:
        super().__init__(page_size=page_size)
        self._wanted, self._watch = wanted, watch
        self._ids: set[str] = set()
        self._told: dict[str, list[Alert]] = defaultdict(list)
        self._found: dict[Name, Kept | LanguageError] = {}
        self._spool = Spool()
        self.readers = {(): Reader(files, self._spool)} | {
            index: Reader(some, self._spool) for index, some in (apart or {}).items()
        }

    def close(self) -> None:
        """Let go of the files beneath."""
        for reader in self.readers.values():
            reader.close()
        self._spool.file.close()

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        missing: dict[Index, dict[Name, Condition]] = defaultdict(dict)
        for search in (one for question in questions for one in _searches(question)):
            name = self._name(search)
            if name not in self._found:
                condition = Condition(_first(search), search.time_field, search.without)
                missing[name[0]][name] = condition
        for index, conditions in missing.items():
            self._find(index, conditions)
        return super().search(questions)

    def release(self) -> None:
        self._found.clear()

    def known(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(id_ for id_ in ids if id_ in self._ids)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        fresh = {alert.id: alert for alert in alerts if alert.id not in self._ids}
        self._ids |= fresh.keys()
        for alert in fresh.values():
            self._remember(alert)
            self._wanted(alert)
        return Written(frozenset(fresh), frozenset(a.id for a in alerts) - fresh.keys())

    def _remember(self, alert: Alert) -> None:
        """What later questions ask of an alert: millions of whole ones would fill the memory."""
        if (key := alert.document.get(earlier.GROUP.key)) is not None:
            document = {name: alert.document[name] for name in ASKED}
            self._told[key].append(replace(alert, document=document, blocks=()))

    def _find(self, index: Index, conditions: Mapping[Name, Condition]) -> None:
        """Read the files for all of `conditions`; one that cannot be asked is remembered so."""
        asked: dict[Name, Asked] = {}
        for name, condition in conditions.items():
            try:
                asked[name] = asking.compiled(condition)
            except LanguageError as error:
                self._found[name] = error
        self.readers[index].find(list(asked.values()), self._watch)
        for name, one in asked.items():
            self._found[name] = Kept(one, one.occurrences(self._spool))

    def _name(self, search: Search) -> Name:
        index = search.index if search.index in self.readers else ()
        return index, id(_first(search)), search.time_field, search.without

    def _kept(self, search: Search) -> Kept:
        kept = self._found[self._name(search)]
        if isinstance(kept, LanguageError):
            raise kept
        return kept

    def _page(self, search: Search) -> Page:
        kept = self._kept(search)
        found = kept.occurrences.within(search.window, _further(search))
        start = search.cursor.after[0] if search.cursor else 0
        end = start + (self._page_size if search.limit is None else search.limit)
        follows = search.limit is None and end < len(found)
        documents = tuple(_documents(search, kept, found[start:end]))
        return Page(
            documents=documents,
            next=replace(search, cursor=Cursor("files", (end,))) if follows else None,
            hits=len(documents),
            unread=() if start else _unread(search, kept),
        )

    def _count(self, question: Buckets, tally: bucketing.Tally) -> tuple[Unread, ...]:
        unread: tuple[Unread, ...] = ()
        for search in finding(question, question.by):
            kept = self._kept(search)
            kept.occurrences.count(replace(question, among=_further(search)), tally)
            unread += _unread(search, kept)
        return unread

    def _earlier(self, question: Earlier) -> Page:
        alerts = (alert for key in question.keys for alert in self._told.get(key, ()))
        told = (earlier.said(question, a.id, a.document, a.index) for a in alerts)
        return Page((), earlier=tuple(one for one in told if one))


def _searches(question: Question) -> tuple[Search, ...]:
    match question:
        case Search():
            return (question,)
        case Buckets():
            return finding(question, question.by)
        case _:
            return ()


def _first(search: Search) -> Node:
    """What the files are read for: the rule's condition; where it has none, what else is asked."""
    everything = isinstance(search.where, Everything)
    return search.among if everything and search.among is not None else search.where


def _further(search: Search) -> Node | None:
    """What is asked of those events then."""
    return None if isinstance(search.where, Everything) else search.among


def _documents(search: Search, kept: Kept, found: Positions) -> Iterator[Document]:
    sources = kept.occurrences.read(found)
    for number, source in zip(found, sources, strict=True):
        hit = kept.asked.hits[number]
        time = UNDATED if hit.time == NEVER else hit.time
        yield _with_fields(Document(hit.index, hit.id, source, time), search)


def _unread(search: Search, kept: Kept) -> tuple[Unread, ...]:
    start, end = search.window.start, search.window.end
    return tuple(
        (_with_fields(document, search), why)
        for document, why in kept.asked.unread
        if start <= document.time < end
    )


def _with_fields(document: Document, search: Search) -> Document:
    named = {name: evaluate.values(document.source, name) for name in search.fields}
    return replace(document, fields={name: found for name, found in named.items() if found})
