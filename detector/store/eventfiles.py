"""Names of files and folders in; which files hold events, and the SQL that reads each kind, out."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import orjson

from detector.errors import SettingsError
from detector.language import evaluate
from detector.language.columns import LINE, named, quoted

Kind: TypeAlias = Literal["ndjson", "parquet"]
Event: TypeAlias = tuple[str, str, dict[str, Any]]
"""Index, id and source."""

NDJSON = (".ndjson", ".jsonl", ".json", ".log")
PACKED = ("", ".gz", ".zst")
PARQUET = (".parquet", ".parq")
STDIN = "-"
INDEX = "scan"
STREAM = ("data_stream.type", "data_stream.dataset", "data_stream.namespace")

LONGEST_LINE = 16_000_000
BUFFER = 32 * 1024 * 1024
"""Bytes read at a time, by which memory and the steps of a progress bar go."""

SAMPLE, SAMPLED, MOST = 1_000_000, 8, 160
"""Bytes that are looked at before all others, files, and events of them."""

_ENDINGS = tuple(name + packed for name in NDJSON for packed in PACKED) + PARQUET


@dataclass(frozen=True, slots=True)
class Found:
    """The files of each kind; `shown` maps a file to the name people know it by."""

    ndjson: tuple[str, ...]
    parquet: tuple[str, ...]
    shown: dict[str, str]

    @property
    def size(self) -> int:
        return sum(Path(name).stat().st_size for name in (*self.ndjson, *self.parquet))

    def density(self) -> float:
        """About how many events a byte of these files holds; 0 where that cannot be told."""
        text, size = _sample(self.ndjson[0]) if self.ndjson else (b"", 0)
        return text.count(b"\n") / max(size, 1)

    def hits(self) -> bool:
        """Whether a file begins like an export of hits; others are read as well, but slower."""
        return any(b'"_source"' in _sample(name)[0].partition(b"\n")[0] for name in self.ndjson)

    def events(self) -> list[dict[str, Any]]:
        """Some events of each of the first files; none of Parquet."""
        texts = [_sample(name)[0] for name in self.ndjson[:SAMPLED]]
        lines = [line for text in texts for line in text.splitlines()[: MOST // len(texts)]]
        found = (event(line.decode("utf-8", "replace")) for line in lines)
        return [one[2] for one in found if one]


def _sample(name: str) -> tuple[bytes, int]:
    """What a file begins with, and the bytes that takes in it; nothing where it is packed so."""
    if name.endswith(".zst"):
        return b"", 0
    with Path(name).open("rb") as raw:
        stream = gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw
        try:
            return stream.read(SAMPLE), raw.tell()
        except (OSError, EOFError):
            return b"", 0


def find(paths: Sequence[str], stdin: IO[bytes], folder: Path) -> Found:
    """All files of events at `paths`; what `-` brings is kept in `folder`.

    In a folder those with a known ending are taken; a file that is named is taken whatever its
    name. Raises SettingsError where there is none.
    """
    ndjson: list[str] = []
    parquet: list[str] = []
    shown: dict[str, str] = {}
    for path in paths:
        for file in [_spooled(stdin, folder)] if path == STDIN else _files(Path(path)):
            name = str(file)
            if name not in shown:
                (parquet if file.suffix in PARQUET else ndjson).append(name)
                shown[name] = "<stdin>" if path == STDIN else name
    return Found(tuple(ndjson), tuple(parquet), shown)


def _spooled(stdin: IO[bytes], folder: Path) -> Path:
    """Standard input as a file: sequences and thresholds read it more than once."""
    descriptor, name = tempfile.mkstemp(suffix=".ndjson", dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(stdin, file, BUFFER)
    return Path(name)


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise SettingsError(f"no such file or folder: {path}", hint="`-` reads standard input")
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.rglob("*") if file.name.endswith(_ENDINGS))
    if not any(file.is_file() for file in found):
        raise SettingsError(
            f"no files of events in {path}", hint=f"known endings: {', '.join(_ENDINGS)}"
        )
    yield from (file for file in found if file.is_file())


def lines(files: Sequence[str], *, rejects: str) -> str:
    """SQL: a row a line, with its `filename`; what is no UTF-8 goes into the table `rejects`."""
    listed = ", ".join(quoted(name) for name in files)
    return (
        "select coalesce(line, '') as line, filename, null::bigint as number "  # noqa: S608
        f"from read_csv([{listed}], "
        "columns={'line': 'VARCHAR'}, delim=chr(1), quote='', escape='', comment='', "
        "header=false, auto_detect=false, strict_mode=false, ignore_errors=true, filename=true, "
        f"store_rejects=true, rejects_table='{rejects}', rejects_scan='{rejects}_scans', "
        f"max_line_size={LONGEST_LINE}, buffer_size={BUFFER})"
    )


def rows(file: str, columns: Sequence[tuple[str, Any]], wanted: Collection[str] | None) -> str:
    """SQL: a row of a Parquet file as a line of JSON, of the columns that `wanted` fields are in.

    `columns` are names and DuckDB's types. Without `wanted`, all of them.
    """
    taken = [
        f"{named(name)} := {_as_json(named(name), type_)}"
        for name, type_ in columns
        if wanted is None or any(_overlap(name, field) for field in wanted)
    ]
    packed = f"cast(to_json(struct_pack({', '.join(taken)})) as varchar)" if taken else "'{}'"
    return (
        f"select {packed} as {LINE}, {quoted(file)} as filename, "  # noqa: S608
        f"file_row_number as number from read_parquet({quoted(file)}, file_row_number=true)"
    )


KEPT = ("whole", "filename", "number")


def unwrapped(source: str, *, hits: bool) -> str:
    """SQL: with `hits`, of lines that are hits of a search (`_id`, `_source`) the source alone."""
    inner = "coalesce(cast(try(json_extract(line, '$._source')) as varchar), line)"
    text = f"case when contains(line, '\"_source\"') then {inner} else line end"
    return (
        "select line as whole, filename, number, "  # noqa: S608
        f"{text if hits else 'line'} as {LINE} from ({source})"
    )


def event(text: str) -> Event | None:
    """Index, id and source of the event in a line of JSON; None where there is none.

    Without an id of its own, equal events have equal ids, wherever they stand.
    """
    try:
        data = json.loads(text) if "\\ud" in text else orjson.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    source = data.get("_source")
    if isinstance(source, dict):
        id_ = data.get("_id")
        return str(data.get("_index") or home(source)), str(id_ or _digest(text)), source
    return home(data), _digest(text), data


def home(source: Mapping[str, Any]) -> str:
    """The data stream an event says it belongs to, else the one name for all others."""
    parts = [evaluate.values(source, name) for name in STREAM]
    return "-".join(str(part[0]) for part in parts) if all(parts) else INDEX


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _overlap(column: str, field: str) -> bool:
    return field == column or field.startswith(f"{column}.") or column.startswith(f"{field}.")


def _as_json(value: str, type_: Any, depth: int = 0) -> str:
    """A value in which times are spelled as Elasticsearch reads them."""
    match type_.id:
        case "date":
            return f"strftime({value}, '%Y-%m-%d')"
        case "timestamp with time zone":
            return f"strftime({value} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
        case name if name.startswith("timestamp"):
            return f"strftime(cast({value} as timestamp), '%Y-%m-%dT%H:%M:%S.%fZ')"
        case "list" if _has_times(type_):
            inner = _as_json(f"e{depth}", type_.children[0][1], depth + 1)
            return f"list_transform({value}, lambda e{depth}: {inner})"
        case "struct" if _has_times(type_):
            fields = ", ".join(
                f"{named(name)} := {_as_json(f'{value}.{named(name)}', inner, depth + 1)}"
                for name, inner in type_.children
            )
            return f"case when {value} is null then null else struct_pack({fields}) end"
        case _:
            return value


def _has_times(type_: Any) -> bool:
    text = str(type_).lower()
    return "timestamp" in text or "date" in text


def numbers(file: str, texts: Collection[str], most: int) -> list[int]:
    """The numbers of the first lines that are one of `texts`; none of a file packed otherwise."""
    if file.endswith(".zst"):
        return []
    found: list[int] = []
    wanted = {text.encode() for text in texts}
    with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.rstrip(b"\r\n").partition(b"\x01")[0] in wanted:
                found.append(number)
                if len(found) == most:
                    break
    return found
