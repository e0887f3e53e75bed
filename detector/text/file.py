"""A file of YAML, TOML or NDJSON -> its documents."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from detector.errors import DetectorError, Place
from detector.text import ndjson, toml, yaml
from detector.text.document import Spot, Text, split
from detector.text.faults import KeyPath

MAX_BYTES = 5_000_000
MAX_EXPORT_BYTES = 200_000_000

FORMS: dict[str, Callable[[str, str], Iterator[Text | DetectorError]]] = {
    ".yaml": yaml.read,
    ".yml": yaml.read,
    ".toml": toml.read,
    ".ndjson": ndjson.read,
}


def read(path: Path) -> list[Text | DetectorError]:
    """The file's documents: one, or one a line of NDJSON; never raises.

    What cannot be read is an error in its stead, with its place.
    """
    return documents(path, content(path))


def content(path: Path) -> str | DetectorError:
    """The text of a file of one of `FORMS`, or why it cannot be read; never raises."""
    try:
        return decoded(path, MAX_EXPORT_BYTES if path.suffix == ".ndjson" else MAX_BYTES)
    except DetectorError as error:
        return error


def documents(path: Path, text: str | DetectorError) -> list[Text | DetectorError]:
    """As `read`, of what `content` gave."""
    if isinstance(text, DetectorError):
        return [text]
    try:
        return list(FORMS[path.suffix](text, str(path)))
    except DetectorError as error:
        return [error]


def restored(path: Path, text: str, data: Sequence[Any]) -> list[Text]:
    """The documents of `text` whose `data` is known; the text is read again for places alone."""
    lines = split(text)
    again = cache(lambda: [one for one in documents(path, text) if isinstance(one, Text)])

    def spots(number: int) -> Mapping[KeyPath, Spot]:
        return again()[number].spots()

    return [Text(str(path), lines, one, partial(spots, number)) for number, one in enumerate(data)]


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there and may be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def decoded(path: Path, limit: int) -> str:
    """The text of a file of at most `limit` bytes; raises `DetectorError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe or a device may never end
            raise DetectorError("not a regular file", place=_at(path))
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise DetectorError(f"larger than {_size(limit)}", place=_at(path))
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DetectorError("not UTF-8 text", place=Place(line, 1, file=str(path))) from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise DetectorError(f"cannot be read: {reason}", place=_at(path)) from None


def _size(limit: int) -> str:
    return f"{limit // 1_000_000} MB" if limit >= 1_000_000 else f"{limit // 1_000} KB"


def _at(path: Path) -> Place:
    return Place(1, 1, file=str(path))
