"""A text's data and the place of every key in it: what each reader of a format returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from detector.errors import DetectorError, Place
from detector.text.faults import KeyPath

MAX_DEPTH = 60
MAX_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a key stands and where its value begins.

    `below`: the value's own text begins only on the next line, as in a block scalar.
    """

    line: int
    column: int
    width: int
    value_line: int
    value_column: int
    value_width: int = 1
    below: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Data as it was read from `file`, and where in it things are.

    `data` is what JSON could hold (TOML's dates excepted). `base` is the way from the top of the
    file to `data`; every path given to the methods starts there.
    """

    file: str
    lines: tuple[str, ...]
    data: Any
    spots: Callable[[], Mapping[KeyPath, Spot]]
    base: KeyPath = ()

    def key(self, path: KeyPath) -> Place:
        """The place of the key at `path`, or of the nearest key above it."""
        spot = self._spot(path)
        return self._place(spot.line, spot.column, spot.width)

    def value(self, path: KeyPath) -> Place:
        """The place of the value at `path`, or of the nearest key above it."""
        spot = self.spots().get(self.base + path)
        if spot is None:
            return self.key(path)
        return self._place(spot.value_line, spot.value_column, spot.value_width)

    def within(self, path: KeyPath, inner: Place) -> Place:
        """The place in the file of a place that counts inside the text value at `path`.

        Where the file spells the line differently (escapes, folded lines), the key's line and the
        value's own line of text are given.
        """
        spot = self._spot(path)
        number = spot.value_line + spot.below + inner.line - 1
        start = spot.value_column - 1 if number == spot.value_line else 0
        line = self.lines[number - 1] if number <= len(self.lines) else ""
        at = line.find(inner.text, start)
        if at < 0 or (self.base + path) not in self.spots():
            shown = inner.text if len(inner.text) <= MAX_SHOWN else ""
            return Place(spot.line, inner.column, shown, inner.width, self.file)
        return self._place(number, at + inner.column, inner.width)

    def at(self, path: KeyPath, data: Any) -> Text:
        """The part of the file at `path`."""
        return Text(self.file, self.lines, data, self.spots, self.base + path)

    def _spot(self, path: KeyPath) -> Spot:
        spots, full = self.spots(), self.base + path
        prefixes = (full[:end] for end in range(len(full), -1, -1))
        return next((spots[way] for way in prefixes if way in spots), Spot(1, 1, 1, 1, 1))

    def _place(self, line: int, column: int, width: int) -> Place:
        return place(self.lines, self.file, line, column, width)


def place(lines: tuple[str, ...], file: str, line: int, column: int, width: int = 1) -> Place:
    """A place with its line's text, unless that is too long to be shown."""
    text = lines[line - 1] if line <= len(lines) else ""
    return Place(line, column, text if len(text) <= MAX_SHOWN else "", width, file)


def cut(message: str) -> str:
    """A message that quotes a text of any length, as long as can be shown."""
    return message if len(message) <= MAX_SHOWN else f"{message[:MAX_SHOWN]}..."


def split(text: str) -> tuple[str, ...]:
    """Lines as editors count them, without their ends."""
    lines = text.split("\n")
    return tuple(line.rstrip("\r") for line in lines) if "\r" in text else tuple(lines)


def refuse_depth(data: Any, where: Place) -> None:
    """Raise `DetectorError` for data that later readers could not recurse into."""
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise DetectorError("nested too deeply", place=where)
        level = [inner for value in level for inner in _inner(value)]


def _inner(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, (dict, list))]
