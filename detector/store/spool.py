"""Events that some search has found, kept on disk: memory holds where each of them lies."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

import orjson


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """An event of an answer, ordered as answers are."""

    time: datetime
    index: str
    id: str
    offset: int
    size: int

    @property
    def place(self) -> tuple[int, int]:
        return self.offset, self.size

    def same(self, other: Hit) -> bool:
        """Whether it is the same event once more."""
        return (self.id, self.index, self.time) == (other.id, other.index, other.time)


@dataclass(slots=True)
class Spool:
    """A file of sources, each written once."""

    file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    end: int = 0

    def add(self, source: Mapping[str, Any]) -> tuple[int, int]:
        """Where the source lies from now on: offset and size."""
        text = _dumped(source)
        self.file.seek(self.end)
        self.file.write(text)
        place = (self.end, len(text))
        self.end += len(text)
        return place

    def read(self, hits: list[Hit]) -> Iterator[tuple[Hit, Any]]:
        """Each hit with its source."""
        for hit in hits:
            self.file.seek(hit.offset)
            text = self.file.read(hit.size)
            yield hit, json.loads(text) if b"\\ud" in text else orjson.loads(text)


def _dumped(source: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(source)
    except TypeError:  # half of a surrogate pair, or a number of more than 64 bits
        return json.dumps(source).encode()
