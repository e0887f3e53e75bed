"""Files of events as a store: NDJSON and Parquet through DuckDB, all searches in one pass.

Only the fields that the searches name are taken out of an event; the whole event is read where
they admit it. What DuckDB's SQL cannot say is left to `evaluate`. Alerts go to whoever wants them.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import duckdb

from detector.errors import LanguageError, StoreError
from detector.language import columns, evaluate, fields, sql
from detector.language.tree import Everything, all_of
from detector.model import (
    Alert,
    Answer,
    Buckets,
    Cursor,
    Document,
    Page,
    Question,
    Search,
    Source,
    Window,
    Written,
)
from detector.questions import finding
from detector.store import eventfiles
from detector.store.eventfiles import Found
from detector.store.memory import MemoryStore, instant
from detector.store.sifting import BEARABLE, Unread
from detector.store.spool import Hit, Spool

EVER = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""A window that is asked of no field: events without a time lie in it as well."""

UNDATED = datetime.fromtimestamp(0, UTC)
SHOWN = 5
BATCH = 1_000
FIELDS, LENGTH = 120, 250_000
"""The most fields, and characters of SQL, of one pass."""


Watch: TypeAlias = Callable[[float], None]
"""Told how much of a pass over the files is done (0 to 1)."""


@dataclass(slots=True)
class Tally:
    """What a pass over the files has met; `bad` are lines that hold no event, by file."""

    events: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    texts: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def note(self, file: str, text: str) -> None:
        self.bad[file] += 1
        self.events -= 1
        kept = self.texts.setdefault(file, [])
        if len(kept) < SHOWN:
            kept.append(text)

    def reject(self, file: str, line: int) -> None:
        """A line that is no UTF-8, or too long."""
        self.bad[file] += 1
        kept = self.lines.setdefault(file, [])
        if len(kept) < SHOWN:
            kept.append(line)

    def places(self, file: str) -> list[int]:
        """The numbers of the first bad lines of a file, as far as they can be told."""
        told = eventfiles.numbers(file, self.texts.get(file, ()), SHOWN)
        return sorted({*told, *self.lines.get(file, ())})[:SHOWN]


@dataclass(slots=True)
class _Asked:
    """A search, what SQL says for it, and what it has found."""

    search: Search
    compiled: sql.Compiled
    whole: evaluate.Predicate
    left: evaluate.Predicate
    hits: list[Hit] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    def holds(self, source: Source, *, certain: bool, document: Callable[[], Document]) -> bool:
        """Whether an admitted event satisfies the search; one that cannot be judged is unread."""
        try:
            return (self.left if certain else self.whole)(source)
        except Exception as error:
            if len(self.unread) >= BEARABLE:
                raise
            self.unread.append((document(), f"the condition cannot be evaluated: {error!r}"[:999]))
            return False


class DuckStore(MemoryStore):
    """The contract of `store.base.Store` over files; index patterns are not asked.

    `wanted` is given every new alert as it is written. Raises StoreError where a file cannot be
    read at all.
    """

    def __init__(
        self,
        files: Found,
        wanted: Callable[[Alert], None] = lambda _: None,
        watch: Watch = lambda _: None,
        *,
        page_size: int = BATCH,
    ) -> None:
        super().__init__(page_size=page_size)
        self.tally = Tally()
        self._files, self._wanted, self._watch = files, wanted, watch
        self._ids: set[str] = set()
        self._answers: dict[Search, _Asked | Exception] = {}
        self._spool = Spool()
        self._folder = TemporaryDirectory(prefix="detector-scan-")
        self._profile = Path(self._folder.name, "profile.json")
        self._db = duckdb.connect()
        for setting in _settings(self._folder.name, self._profile):
            self._db.execute(f"set {setting}")
        self._passes = 0
        self._hits = files.hits()

    def close(self) -> None:
        """Let go of the files beneath."""
        self._db.close()
        self._spool.file.close()
        self._folder.cleanup()

    def shown(self, file: str) -> str:
        """The name people know a file by."""
        return self._files.shown.get(file, file)

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        asked: list[Search] = []
        for question in questions:
            if isinstance(question, Search) and question.cursor is None:
                asked.append(question)
            elif isinstance(question, Buckets):
                asked += finding(question, question.by)
        if asked:
            self._answers |= {search: _compiled(search) for search in asked}
            compiled = [self._answers[search] for search in dict.fromkeys(asked)]
            groups = _alike([one for one in compiled if isinstance(one, _Asked)])
            for number, group in enumerate(groups):
                self._pass(group, partial(self._part, number, len(groups)))
        return super().search(questions)

    def release(self) -> None:
        self._answers.clear()

    def known(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(id_ for id_ in ids if id_ in self._ids)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        fresh = {alert.id: alert for alert in alerts if alert.id not in self._ids}
        self._ids |= fresh.keys()
        for alert in fresh.values():
            self._wanted(alert)
        return Written(frozenset(fresh), frozenset(a.id for a in alerts) - fresh.keys())

    def _page(self, search: Search) -> Page:
        found = self._found(search)
        start = search.cursor.after[0] if search.cursor else 0
        end = start + (self._page_size if search.limit is None else search.limit)
        follows = search.limit is None and end < len(found.hits)
        return Page(
            documents=tuple(self._documents(search, found.hits[start:end])),
            next=replace(search, cursor=Cursor("files", (end,))) if follows else None,
            hits=len(found.hits[start:end]),
            unread=() if start else tuple(found.unread),
        )

    def _sifted(self, search: Search) -> tuple[list[Document], tuple[Unread, ...]]:
        found = self._found(search)
        return list(self._documents(search, found.hits)), tuple(found.unread)

    def _found(self, search: Search) -> _Asked:
        found = self._answers[replace(search, cursor=None)]
        if isinstance(found, Exception):
            raise found
        return found

    def _documents(self, search: Search, hits: list[Hit]) -> Iterator[Document]:
        for hit, source in self._spool.read(hits):
            yield _document(search, hit.index, hit.id, source, hit.time)

    def _part(self, number: int, count: int, share: float) -> None:
        self._watch((number + share) / count)

    def _pass(self, asked: Sequence[_Asked], watch: Watch) -> None:
        """Read all files once for all of `asked`."""
        self._passes += 1
        names = frozenset(name for one in asked for name in one.compiled.fields)
        extraction = columns.extract(names, fields.ECS)
        try:
            with _watched(self._db, watch):
                if self._files.ndjson:
                    self._lines(asked, extraction)
                for file in self._files.parquet:
                    self._rows(asked, extraction, file)
        except (duckdb.Error, OSError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"the files cannot be read: {reason}") from error
        for one in asked:
            one.hits.sort()

    def _lines(self, asked: Sequence[_Asked], extraction: columns.Extraction) -> None:
        rejects = f"rejected_{self._passes}"
        source = eventfiles.lines(self._files.ndjson, rejects=rejects)
        for text, file, _, broken, *said in self._admitted(asked, extraction, source):
            self._judge(asked, file, text, said, broken=broken)
        if self._passes == 1:
            self.tally.events += json.loads(self._profile.read_text())["query"][
                "total_rows_scanned"
            ]
            self._note_rejects(rejects)
        for table in (rejects, f"{rejects}_scans"):
            self._db.execute(f"drop table if exists {table}")

    def _note_rejects(self, table: str) -> None:
        found = self._db.execute(
            f"select s.file_path, e.line from {table} e "  # noqa: S608 - a name of our own
            f"join {table}_scans s using (scan_id, file_id) order by 1, 2"
        )
        while rows := found.fetchmany(BATCH):
            for file, line in rows:
                self.tally.reject(file, line)

    def _rows(self, asked: Sequence[_Asked], extraction: columns.Extraction, file: str) -> None:
        """What the named columns admit is read whole, a batch at a time."""
        named = self._db.table_function("read_parquet", [file])
        types = list(zip(named.columns, named.types, strict=True))
        narrow = eventfiles.rows(file, types, extraction.names)
        whole = self._db.cursor()
        self.tally.events += _count(named) if self._passes == 1 else 0
        for rows in _batches(self._admitted(asked, extraction, narrow)):
            said = {row[2]: row[4:] for row in rows}
            numbers = ", ".join(map(str, said))
            full = eventfiles.rows(file, types, None)
            query = f"select line, number from ({full}) where number in ({numbers})"  # noqa: S608
            for text, number in whole.execute(query).fetchall():
                self._judge(asked, file, text, said[number], broken=False)

    def _admitted(
        self, asked: Sequence[_Asked], extraction: columns.Extraction, source: str
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of text, file, number, whether it is no event, and two answers for each search."""
        said = "".join(f", {o.compiled.condition}, {o.compiled.certain}" for o in asked)
        admit = " or ".join([columns.BROKEN, *dict.fromkeys(o.compiled.condition for o in asked)])
        taken = extraction.sql(eventfiles.unwrapped(source, hits=self._hits), eventfiles.KEPT)
        found = self._db.execute(
            f"select whole, filename, number, {columns.BROKEN}{said} "  # noqa: S608 - all quoted
            f"from ({taken}) where {admit}"
        )
        while rows := found.fetchmany(BATCH):
            yield from rows

    def _judge(
        self, asked: Sequence[_Asked], file: str, text: str, said: Sequence[Any], *, broken: bool
    ) -> None:
        """Keep the event for every search it satisfies; one that is none is noted."""
        if broken and not text.strip():
            self.tally.events -= self._passes == 1
            return
        event = eventfiles.event(text)
        if event is None:
            if self._passes == 1:
                self.tally.note(file, text)
            return
        index, id_, source = event
        place: tuple[int, int] | None = None
        for number, one in enumerate(asked):
            admitted, certain = said[2 * number : 2 * number + 2]
            time = _time(one.search, source) if admitted or broken else None
            if time is None:
                continue
            document = partial(_document, one.search, index, id_, source, time)
            if one.holds(source, certain=bool(certain) and not broken, document=document):
                place = place or self._spool.add(source)
                one.hits.append(Hit(time, index, id_, *place))


def _compiled(search: Search) -> _Asked | Exception:
    where = search.where if search.among is None else all_of((search.where, search.among))
    try:
        compiled = sql.translate(where)
        left = evaluate.predicate(compiled.residual or Everything())
        return _Asked(search, compiled, evaluate.predicate(where), left)
    except LanguageError as error:
        return error


def _alike(asked: Sequence[_Asked]) -> list[list[_Asked]]:
    """Groups of searches for one pass each: those that share fields are together.

    Every field takes memory for each of the events in hand, so that a pass has room for so many.
    """
    groups: list[list[_Asked]] = []
    for one in sorted(asked, key=lambda one: sorted(one.compiled.fields)):
        roomy = [group for group in groups if _fits(group, one)]
        if roomy:
            min(roomy, key=lambda group: len(one.compiled.fields - _fields(group))).append(one)
        else:
            groups.append([one])
    return groups


def _fits(group: Sequence[_Asked], one: _Asked) -> bool:
    length = sum(len(other.compiled.condition) for other in (*group, one))
    return len(_fields(group) | one.compiled.fields) <= FIELDS and length <= LENGTH


def _fields(group: Sequence[_Asked]) -> frozenset[str]:
    return frozenset(name for one in group for name in one.compiled.fields)


def _time(search: Search, source: Source) -> datetime | None:
    """The event's time as the search asks for it; None where it lies outside the window."""
    time = instant(source, search.time_field)
    if search.window == EVER:
        return time or UNDATED
    if time is None or not search.window.start <= time < search.window.end:
        return None
    return None if search.without and evaluate.values(source, search.without) else time


def _document(search: Search, index: str, id_: str, source: Source, time: datetime) -> Document:
    named = {name: evaluate.values(source, name) for name in search.fields}
    return Document(
        index, id_, source, time, {name: found for name, found in named.items() if found}
    )


def _count(relation: Any) -> int:
    counted = relation.aggregate("count(*)").fetchall()
    return int(counted[0][0])


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _settings(folder: str, profile: Path) -> Iterator[str]:
    """Columns are computed once, before what is asked of them; progress is asked, not drawn."""
    yield "disabled_optimizers = 'filter_pushdown'"
    yield "preserve_insertion_order = false"
    yield "enable_external_file_cache = false"
    yield f"temp_directory = {columns.quoted(folder)}"
    yield "enable_progress_bar = true"
    yield "enable_progress_bar_print = false"
    yield "progress_bar_time = 0"
    yield "enable_profiling = 'json'"
    yield f"profiling_output = {columns.quoted(str(profile))}"


@contextmanager
def _watched(db: duckdb.DuckDBPyConnection, watch: Watch) -> Iterator[None]:
    """Tell `watch` how far the query in hand has got, until it has ended."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(0.2):
            if (percent := db.query_progress()) > 0:
                watch(percent / 100)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
