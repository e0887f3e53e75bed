"""Plain lists as a store: what rule tests and unit tests run against. Same contract, no cluster."""

from __future__ import annotations

import fnmatch
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Self, assert_never

from dateutil import parser as dates

from detector.errors import Rejected, StoreError
from detector.language import evaluate, fields
from detector.language.tree import all_of
from detector.model import (
    Alert,
    Answer,
    Backfilled,
    Buckets,
    Change,
    Checkpoint,
    Cursor,
    Document,
    Earlier,
    Failure,
    Leases,
    Letter,
    Page,
    Question,
    Rows,
    RunRecord,
    Search,
    Source,
    Survey,
    Written,
)
from detector.questions import finding
from detector.store import bucketing, earlier, standing
from detector.store.sifting import Unread, sifted

USUAL = len("2026-03-01T10:00:00.000Z")
"""Times are mostly written so, and read thirty times as fast then."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it lies in an index."""

    index: str
    id: str
    source: Source


class MemoryStore:
    """The contract of `store.base.Store` over documents held in memory."""

    def __init__(self, documents: Iterable[Stored] = (), *, page_size: int = 1_000) -> None:
        self.documents = list(documents)
        self.alerts: dict[str, Alert] = {}
        self.letters: dict[str, Letter] = {}
        self.runs: list[RunRecord] = []
        self._page_size = page_size
        self._checkpoints: dict[str, Checkpoint] = {}
        self._backfilled: dict[str, Backfilled] = {}

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        try:
            match question:
                case Search():
                    return self._page(question)
                case Buckets():
                    return self._buckets(question)
                case Earlier():
                    return self._earlier(question)
                case Rows():
                    return Failure(Rejected("only Elasticsearch can answer ES|QL"))
                case _:
                    assert_never(question)
        except Exception as error:  # noqa: BLE001 - one question's fault is its own failure
            return Failure(StoreError(f"the search failed: {error!r}"))

    def _buckets(self, question: Buckets) -> Page:
        tally = bucketing.Tally(question)
        unread = self._count(question, tally)
        start = question.after["from"] if question.after else 0
        buckets, end = tally.buckets(), start + self._page_size
        following = replace(question, after={"from": end}) if end < len(buckets) else None
        return Page((), following, unread=unread, buckets=buckets[start:end])

    def _count(self, question: Buckets, tally: bucketing.Tally) -> tuple[Unread, ...]:
        """Tell `tally` of every document; those that cannot be judged are returned."""
        unread: tuple[Unread, ...] = ()
        for search in finding(question, question.by):
            found, faulty = self._sifted(search)
            unread += faulty
            for document in found:
                tally.add(document.fields, document.time)
        return unread

    def _earlier(self, question: Earlier) -> Page:
        alerts = self.alerts.values()
        told = (earlier.said(question, a.id, a.document, a.index) for a in alerts)
        return Page((), earlier=tuple(one for one in told if one))

    def _page(self, search: Search) -> Page:
        found, unread = self._sifted(search)
        if search.limit is not None:
            return Page(tuple(found[: search.limit]), hits=len(found), unread=unread)
        start = search.cursor.after[0] if search.cursor else 0
        page = found[start : start + self._page_size]
        follows = start + self._page_size < len(found)
        cursor = Cursor("memory", (start + self._page_size,))
        return Page(
            documents=tuple(page),
            next=replace(search, cursor=cursor) if follows else None,
            hits=len(page),
            unread=() if start else unread,
        )

    def _sifted(self, search: Search) -> tuple[list[Document], tuple[Unread, ...]]:
        where = search.where if search.among is None else all_of((search.where, search.among))
        holds = evaluate.predicate(where, fields.ECS)
        inside = self._inside(search)
        kept, unread = sifted(inside, holds, lambda document: document.source)
        return (
            [_with_fields(document, search) for document in kept],
            tuple((_with_fields(document, search), why) for document, why in unread),
        )

    def _inside(self, search: Search) -> list[Document]:
        found = []
        for stored in self.documents:
            if not _covers(search.index, stored.index):
                continue
            time = instant(stored.source, search.time_field)
            if time is None or not search.window.start <= time < search.window.end:
                continue
            if search.without and evaluate.values(stored.source, search.without):
                continue
            found.append(Document(stored.index, stored.id, stored.source, time, {}))
        return sorted(found, key=lambda document: (document.time, document.index, document.id))

    def session(self) -> Self:
        return self

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        found = [document for search in searches for document in self._sifted(search)[0]]
        counts = {
            name: Counter(v for d in found for v in set(evaluate.values(d.source, name)))
            for name in fields
        }
        top = {name: tuple(count.most_common(5)) for name, count in counts.items() if count}
        return Survey(len(found), top=top)

    def release(self) -> None:
        pass

    def known(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(id_ for id_ in ids if id_ in self.alerts)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        created: set[str] = set()
        existing: set[str] = set()
        for alert in alerts:
            (existing if alert.id in self.alerts else created).add(alert.id)
            self.alerts.setdefault(alert.id, alert)
        return Written(frozenset(created), frozenset(existing))

    def change_alerts(self, changes: Sequence[Change]) -> None:
        for change in changes:
            alert = self.alerts.get(change.id)
            fields = alert and standing.changes(alert.document, change.fields)
            if alert and fields:
                self.alerts[alert.id] = replace(alert, document=alert.document | fields)

    def bury(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self.letters.setdefault(letter.id, letter)

    def buried(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(id_ for id_ in ids if id_ in self.letters)

    def refresh(self) -> None:
        pass

    def checkpoints(self, rule_ids: Collection[str]) -> dict[str, Checkpoint]:
        return {id_: self._checkpoints[id_] for id_ in rule_ids if id_ in self._checkpoints}

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
        saved = {}
        for checkpoint in checkpoints:
            current = self._checkpoints.get(checkpoint.rule_id)
            if checkpoint.version == (current.version if current else None):
                number = checkpoint.version[0] + 1 if checkpoint.version else 0
                saved[checkpoint.rule_id] = replace(checkpoint, version=(number, 1))
        self._checkpoints |= saved
        return saved

    def record_runs(self, records: Iterable[RunRecord]) -> None:
        for record in records:
            self.runs = [run for run in self.runs if run.uuid != record.uuid] + [record]

    def backfilled(self, rule_ids: Collection[str]) -> dict[str, Backfilled]:
        return {id_: self._backfilled[id_] for id_ in rule_ids if id_ in self._backfilled}

    def save_backfilled(self, progress: Iterable[Backfilled]) -> None:
        for saved in progress:
            self._backfilled[saved.rule_id] = saved
            if not saved.windows:
                del self._backfilled[saved.rule_id]


class MemoryLeases:
    """The contract of `store.base.LeaseTable` for daemons in one process."""

    def __init__(self) -> None:
        self._leases = Leases()
        self._saving = threading.Lock()

    def read(self) -> Leases:
        return self._leases

    def save(self, leases: Leases) -> bool:
        with self._saving:
            if leases.version != self._leases.version:
                return False
            number = leases.version[0] + 1 if leases.version else 0
            self._leases = replace(leases, version=(number, 1))
            return True


def instant(source: Source, field: str) -> datetime | None:
    """The time in `field`, in UTC and whole milliseconds as a `date` field holds it, or None."""
    values = evaluate.values(source, field)
    if not values:
        return None
    value = values[0]
    try:
        if isinstance(value, str) and len(value) == USUAL and value.endswith("Z"):
            return datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        time = dates.isoparse(str(value))
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


@lru_cache(maxsize=65_536)
def _covers(patterns: tuple[str, ...], index: str) -> bool:
    """Whether Elasticsearch would search `index` for these patterns (`-name` takes names out)."""
    data_stream = re.sub(r"^\.ds-(.+)-\d{4}\.\d{2}\.\d{2}-\d{6}$", r"\1", index)
    names = {index, data_stream}
    covered = False
    for pattern in patterns:
        wanted = not pattern.startswith("-")
        if any(fnmatch.fnmatchcase(name, pattern.lstrip("-")) for name in names):
            covered = wanted
    return covered


def _with_fields(document: Document, search: Search) -> Document:
    held: Mapping[str, list[object]] = {
        name: values for name in search.fields if (values := evaluate.values(document.source, name))
    }
    return replace(document, fields=held)
