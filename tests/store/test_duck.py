"""Files as a store: every kind of file, odd lines, and the same answers as plain lists."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from detector.errors import SettingsError, StoreError
from detector.language import eql, tree
from detector.model import Page, Search, Window
from detector.store.memory import MemoryStore, Stored

duckdb = pytest.importorskip("duckdb")

from detector.store import asking, duck, eventfiles  # noqa: E402 - they need the extra

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def event(number: int, **fields: Any) -> dict[str, Any]:
    time = f"2026-03-01T10:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return {"@timestamp": time, "event": {"id": str(number), "category": ["process"]}, **fields}


EVENTS = [event(n, process={"name": "bash" if n % 3 else "sh", "pid": n}) for n in range(50)]
BASH = 'process where process.name : "BASH" and process.pid >= 10'


def search(query: str, window: Window = duck.EVER) -> Search:
    parsed = eql.parse(query)
    assert isinstance(parsed, tree.Node)
    return Search("rule", ("logs-*",), parsed, window, "@timestamp")


@contextmanager
def opened(*paths: Path | str, stdin: bytes = b"", page_size: int = 7) -> Iterator[duck.DuckStore]:
    with TemporaryDirectory() as folder:
        files = eventfiles.find([str(path) for path in paths], io.BytesIO(stdin), Path(folder))
        store = duck.DuckStore(files, page_size=page_size)
        try:
            yield store
        finally:
            store.close()


def names(store: MemoryStore, *asked: Search) -> list[list[str]]:
    """The ids of the events each search finds, read to the last page."""
    found: list[list[str]] = [[] for _ in asked]
    pages = store.search(asked)
    for number, first in enumerate(pages):
        page = first
        while True:
            assert isinstance(page, Page), page
            found[number] += [document.source["event"]["id"] for document in page.documents]
            if page.next is None:
                break
            (page,) = store.search([page.next])
    return found


def ndjson(events: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


@pytest.fixture(params=["plain", "gz", "zst", "parquet", "hits", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The events in a file of each kind."""
    plain = tmp_path / "events.ndjson"
    plain.write_bytes(ndjson(EVENTS))
    match request.param:
        case "gz":
            file = tmp_path / "packed" / "events.ndjson.gz"
            file.parent.mkdir()
            file.write_bytes(gzip.compress(plain.read_bytes()))
        case "zst":
            file = tmp_path / "events.ndjson.zst"
            duckdb.sql(
                f"copy (select column0 from read_csv('{plain}', delim=chr(1), quote='', "  # noqa: S608
                f"header=false, auto_detect=false, columns={{'column0': 'VARCHAR'}})) to '{file}' "
                "(format csv, header false, quote '', escape '', delimiter '\x01', "
                "compression zstd)"
            )
        case "parquet":
            file = tmp_path / "events.parquet"
            duckdb.sql(f"copy (from read_json('{plain}')) to '{file}' (format parquet)")
        case "hits":
            file = tmp_path / "hits.ndjson"
            hits = [{"_index": "logs-x", "_id": str(n), "_source": e} for n, e in enumerate(EVENTS)]
            file.write_bytes(ndjson(hits))
        case "folder":
            return tmp_path
        case _:
            return plain
    return file


def test_every_kind_of_file_gives_what_lists_give(path: Path) -> None:
    asked = (search(BASH, DAY), search("any where not process.pid in (1, 2)", DAY))
    lists = MemoryStore([Stored("logs-x", str(n), one) for n, one in enumerate(EVENTS)])
    with opened(path) as store:
        assert names(store, *asked) == names(lists, *asked)
        assert store.readers[()].tally.events == 50
        assert not store.readers[()].tally.bad


def test_standard_input_is_read() -> None:
    with opened("-", stdin=ndjson(EVENTS)) as store:
        assert len(names(store, search(BASH))[0]) == 27


def test_bad_lines_are_counted_and_placed(tmp_path: Path) -> None:
    file = tmp_path / "odd.ndjson"
    lines = [ndjson(EVENTS[:2]), b"nope\n", b"\n", b'{"a":"\xff"}\n', b"[1]\n", ndjson(EVENTS[2:])]
    file.write_bytes(b"".join(lines) + b'{"cut": ')
    with opened(file) as store:
        assert len(names(store, search("any where true"))[0]) == 50
        assert (store.readers[()].tally.events, store.readers[()].tally.bad[str(file)]) == (50, 4)
        assert store.readers[()].tally.places(str(file)) == [3, 5, 6, 55]


def test_events_without_a_time_are_found_where_time_is_not_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "undated.ndjson"
    file.write_bytes(ndjson([{"event": {"id": "a"}}, {"@timestamp": "?", "event": {"id": "b"}}]))
    with opened(file) as store:
        assert sorted(names(store, search("any where true"))[0]) == ["a", "b"]
        assert names(store, search("any where true", DAY)) == [[]]


def test_an_odd_event_is_judged_by_evaluate(tmp_path: Path) -> None:
    odd = [
        {"event": {"id": "array"}, "process": [{"name": "x"}, {"name": "bash", "pid": 11}]},
        {"event": {"id": "dots"}, "process.name": "bash", "process": {"pid": 12}},
        {"event": {"id": "half"}, "process.name": "bash\ud800"},
    ]
    file = tmp_path / "odd.ndjson"
    file.write_bytes(ndjson(odd))
    with opened(file) as store:
        found = names(store, search('any where process.name : "bash*" and process.pid > 10'))
        assert sorted(found[0]) == ["array", "dots"]
        assert len(names(store, search('any where process.name : "bash*"'))[0]) == 3


def test_times_in_parquet_are_read_as_times(tmp_path: Path) -> None:
    file = tmp_path / "typed.parquet"
    duckdb.sql(
        "copy (select timestamp '2026-03-01 10:00:00' as \"@timestamp\", {'id': 'a', 'created': "
        f"timestamptz '2026-03-01 10:00:00+00'}} as event) to '{file}' (format parquet)"
    )
    with opened(file) as store:
        assert names(store, search("any where event.created != null", DAY)) == [["a"]]


def test_a_search_too_many_for_one_pass_is_answered_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "FIELDS", 2)
    file = tmp_path / "events.ndjson"
    file.write_bytes(ndjson(EVENTS) + b"bad\n")
    asked = [search(f'any where x{n}.y == null and process.name == "sh"') for n in range(5)]
    with opened(file) as store:
        assert [len(found) for found in names(store, *asked)] == [17] * 5
        assert (store.readers[()].tally.events, store.readers[()].tally.bad.total()) == (50, 1)


def test_what_cannot_be_read_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        eventfiles.find([str(tmp_path / "none")], io.BytesIO(), tmp_path)
    with pytest.raises(SettingsError, match="no files of events"):
        eventfiles.find([str(tmp_path)], io.BytesIO(), tmp_path)
    broken = tmp_path / "broken.ndjson.gz"
    broken.write_bytes(b"no gzip")
    with opened(broken) as store, pytest.raises(StoreError, match="cannot be read"):
        store.search([search("any where true")])
