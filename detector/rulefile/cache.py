"""Files that have been read before -> what was read then, kept by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from detector import model
from detector.errors import DetectorError
from detector.language import tree
from detector.model import Problem, Rule
from detector.rulefile import cachefile
from detector.text import file as textfile
from detector.text.document import Text

LEAST = 50
"""Fewer files are read as quickly as a cache of them."""


@dataclass(frozen=True, slots=True)
class Source:
    """The content of a rule file and of the examples beside it, or why there is none."""

    path: Path
    content: str | DetectorError
    examples: Path
    beside: str | DetectorError | None

    def documents(self) -> list[Text | DetectorError]:
        """What the rule file holds; never raises."""
        return textfile.documents(self.path, self.content)

    def key(self, overlays: str) -> bytes | None:
        """Equal where the same is read; None where something could not be looked at."""
        if isinstance(self.content, DetectorError) or isinstance(self.beside, DetectorError):
            return None
        digest = hashlib.sha256(overlays.encode())
        for part in (str(self.path), self.content, self.beside or ""):
            encoded = part.encode("utf-8", "surrogateescape")
            digest.update(len(encoded).to_bytes(8) + encoded)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Reading:
    """All that comes of a rule file by itself: the data of its documents, its rules, its problems.

    Of each rule its id, where its keys can be used, and the rule itself, where all of it can; the
    rule knows neither its file nor its commit.
    """

    data: tuple[Any, ...]
    rules: tuple[tuple[str | None, Rule | None], ...]
    problems: tuple[Problem, ...]

    def texts(self, source: Source) -> list[Text]:
        """The documents of the file this was read from."""
        text = source.content
        return textfile.restored(source.path, text, self.data) if isinstance(text, str) else []


_NAMES: tuple[Any, ...] = (*vars(model).values(), *vars(tree).values())
_CLASSES: tuple[type, ...] = (
    Reading,
    *(one for one in _NAMES if isinstance(one, type) and is_dataclass(one)),
    *(date, datetime, time, timedelta, timezone),
)
"""All that a reading is made of: frozen data, of which making one touches nothing else."""


class Cache:
    """What was read when these files were read last, and what is read of them now.

    Without a `file` nothing is kept.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._last = cachefile.read(file, _CLASSES) if file else {}
        self._kept: dict[bytes, Reading] = {}

    def find(self, key: bytes | None) -> Reading | None:
        """What the source of this key was read as."""
        found = self._last.get(key) if key else None
        return found if isinstance(found, Reading) else None

    def keep(self, key: bytes | None, reading: Reading) -> None:
        """Keep it for the next time; what has no key is read again."""
        if self._file and key:
            self._kept[key] = reading

    def save(self) -> None:
        """Write what was kept, where it is worth it and new; that it cannot be written is fine."""
        if self._file and len(self._kept) >= LEAST and self._kept.keys() != self._last.keys():
            cachefile.write(self._file, self._kept)
