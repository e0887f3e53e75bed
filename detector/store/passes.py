"""Conditions in, the events in files that satisfy them out: DuckDB reads, all in one pass.

Only the fields that the conditions name are taken out of an event; the whole event is read where
they admit it. What DuckDB's SQL cannot say is left to `evaluate`.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import duckdb

from detector.errors import StoreError
from detector.language import columns, evaluate, fields
from detector.model import Document, Source
from detector.store import asking, eventfiles
from detector.store.asking import Asked, Condition
from detector.store.eventfiles import Found
from detector.store.memory import instant
from detector.store.spool import Hit, Spool

NEVER = datetime.min.replace(tzinfo=UTC)
"""The time of events that have none: before all others."""

SHOWN = 5
BATCH = 1_000
MEMORY = "1600MB"
"""What DuckDB may reserve, of which it uses about half; the rest goes to disk."""

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


class Reader:
    """Files, read once for as many conditions as one pass has room for.

    Raises StoreError where a file cannot be read at all.
    """

    def __init__(self, files: Found, spool: Spool) -> None:
        self.tally = Tally()
        self._files, self._spool = files, spool
        self._folder = TemporaryDirectory(prefix="detector-scan-")
        self._profile = Path(self._folder.name, "profile.json")
        self._db = duckdb.connect()
        for setting in _settings(self._folder.name, self._profile):
            self._db.execute(f"set {setting}")
        self._lines_read, self._rows_read = 0, set[str]()
        self._first = True
        self._hits = files.hits()
        self._some = files.events()

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()
        self._folder.cleanup()

    def shown(self, file: str) -> str:
        """The name people know a file by."""
        return self._files.shown.get(file, file)

    def find(self, asked: Sequence[Asked], watch: Watch) -> None:
        """Let each of `asked` have the events that satisfy it."""
        asking.shut(asked, self._some)
        steps = list(self._steps(asked))
        for number, step in enumerate(steps):
            try:
                with _watched(self._db, partial(_part, watch, number, len(steps))):
                    step()
            except (duckdb.Error, OSError) as error:
                reason = str(error).splitlines()[0]
                raise StoreError(f"the files cannot be read: {reason}") from error
        for one in asked:
            one.settle()

    def _steps(self, asked: Sequence[Asked]) -> Iterator[Callable[[], None]]:
        """Each a pass over files for some of `asked`."""
        shut = [one for one in asked if one.gate]
        if self._files.ndjson and shut:
            yield partial(self._behind_gates, shut)
        if self._files.ndjson:
            for group in asking.alike([one for one in asked if not one.gate]):
                yield partial(self._lines, group)
        for file in self._files.parquet:
            for group in asking.alike(asked):
                yield partial(self._rows, group, file)

    def _behind_gates(self, asked: Sequence[Asked]) -> None:
        """An event is looked at for the conditions whose gate it passes; an odd one for all."""
        behind: dict[str, list[tuple[Asked, bool]]] = {}
        for one in asked:
            behind.setdefault(one.gate.text if one.gate else "true", []).append((one, False))
        gates = list(behind)
        with self._reading() as source:
            lines = eventfiles.unwrapped(source, hits=self._hits)
            names = frozenset(name for one in asked if one.gate for name in one.gate.fields)
            taken = columns.extract(names, fields.ECS).gated(lines, eventfiles.KEPT, gates)
            query = f"select whole, filename, {columns.PASSED} from ({taken})"  # noqa: S608
            found = self._db.execute(query)
            while rows := found.fetchmany(BATCH):
                for text, file, passed in rows:
                    numbers = range(len(gates)) if passed is None else passed
                    self._judge((one for n in numbers for one in behind[gates[n]]), file, text)

    def _lines(self, asked: Sequence[Asked]) -> None:
        with self._reading() as source:
            for text, file, _, *said in self._admitted(asked, source):
                self._judge(_told(asked, said), file, text)

    @contextmanager
    def _reading(self) -> Iterator[str]:
        """SQL that gives the lines of all files; those that are none are noted the first time."""
        self._first = self._lines_read == 0
        self._lines_read += 1
        rejects = f"rejected_{self._lines_read}"
        yield eventfiles.lines(self._files.ndjson, rejects=rejects)
        if self._first:
            profile = json.loads(self._profile.read_text())
            self.tally.events += profile["query"]["total_rows_scanned"]
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

    def _rows(self, asked: Sequence[Asked], file: str) -> None:
        """What the named columns admit is read whole, a batch at a time."""
        named = self._db.table_function("read_parquet", [file])
        types = list(zip(named.columns, named.types, strict=True))
        self._first = file not in self._rows_read
        if self._first:
            self._rows_read.add(file)
            self.tally.events += _count(named)
        narrow = eventfiles.rows(file, types, asking.named(asked))
        whole = self._db.cursor()
        for rows in _batches(self._admitted(asked, narrow)):
            said = {row[2]: row[3:] for row in rows}
            numbers = ", ".join(map(str, said))
            full = eventfiles.rows(file, types, None)
            query = f"select line, number from ({full}) where number in ({numbers})"  # noqa: S608
            for text, number in whole.execute(query).fetchall():
                self._judge(_told(asked, said[number]), file, text)

    def _admitted(self, asked: Sequence[Asked], source: str) -> Iterator[tuple[Any, ...]]:
        """Rows of text, file, number, whether it is no event, and two answers for each."""
        said = "".join(f", {o.compiled.condition}, {o.compiled.certain}" for o in asked)
        admit = " or ".join([columns.BROKEN, *dict.fromkeys(o.compiled.condition for o in asked)])
        extraction = columns.extract(asking.named(asked), fields.ECS)
        taken = extraction.sql(eventfiles.unwrapped(source, hits=self._hits), eventfiles.KEPT)
        found = self._db.execute(
            f"select whole, filename, number, {columns.BROKEN}{said} "  # noqa: S608 - all quoted
            f"from ({taken}) where {admit}"
        )
        while rows := found.fetchmany(BATCH):
            yield from rows

    def _judge(self, asked: Iterable[tuple[Asked, bool]], file: str, text: str) -> None:
        """Keep the event for every condition it satisfies; one that is none is noted."""
        event = eventfiles.event(text)
        if event is None:
            if self._first and text.strip():
                self.tally.note(file, text)
            elif self._first:
                self.tally.events -= 1
            return
        kept: dict[datetime, Hit] = {}
        for one, certain in asked:
            self._keep(one, event, kept, certain=certain)

    def _keep(
        self, one: Asked, event: eventfiles.Event, kept: dict[datetime, Hit], *, certain: bool
    ) -> None:
        """One hit for all conditions, and its source on disk once."""
        index, id_, source = event
        condition = one.condition
        if condition.without and evaluate.values(source, condition.without):
            return

        def document() -> Document:
            return Document(index, id_, source, _time(source, condition))

        if not one.holds(source, certain=certain, document=document):
            return
        time = _time(source, condition)
        if time not in kept:
            place = next((hit.place for hit in kept.values()), None) or self._spool.add(source)
            kept[time] = Hit(time, index, id_, *place)
        one.hits.append(kept[time])


def _part(watch: Watch, number: int, count: int, share: float) -> None:
    watch((number + share) / count)


def _told(asked: Sequence[Asked], said: Sequence[Any]) -> Iterator[tuple[Asked, bool]]:
    """The conditions that admit a row, and whether that is certain; all where it is no event."""
    broken, answers = said[0], said[1:]
    for number, one in enumerate(asked):
        admitted, certain = answers[2 * number : 2 * number + 2]
        if admitted or broken:
            yield one, bool(certain) and not broken


def _time(source: Source, condition: Condition) -> datetime:
    return instant(source, condition.time_field) or NEVER


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
    yield f"memory_limit = '{MEMORY}'"
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
