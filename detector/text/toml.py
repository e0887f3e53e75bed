"""TOML text -> a document; its places are found by scanning for the keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache

from detector.errors import DetectorError, Place
from detector.text.document import MAX_DEPTH, Spot, Text, place, refuse_depth, split
from detector.text.faults import KeyPath


def read(text: str, file: str) -> Iterator[Text]:
    """One TOML document; raises `DetectorError`."""
    lines = split(text)
    _refuse_long_keys(text, lines, file)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise DetectorError("nested too deeply", place=Place(1, 1, file=file)) from None
    except ValueError as error:
        raise _toml_error(str(error), lines, file) from None
    refuse_depth(data, Place(1, 1, file=file))
    yield Text(file, lines, data, cache(lambda: _toml_spots(lines)))


_TOML_PIECE = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?|"(?:[^"\\\n]++|\\.)*+"?|#[^\n]*|[.\n=,\[\]{}]|'
    r"'{3}(?:[^']++|'(?!''))*+(?:'{3,5})?|'[^'\n]*+'?",
    re.DOTALL,
)
"""Dots and what ends a key, and what may hold some that do not count; each piece is read once."""


def _refuse_long_keys(text: str, lines: tuple[str, ...], file: str) -> None:
    """Python's reader needs time and memory by the square of the parts of one dotted key."""
    dots = 0
    for found in _TOML_PIECE.finditer(text):
        if found[0] == ".":
            dots += 1
        elif found[0][0] not in "\"'":
            dots = 0
        if dots > MAX_DEPTH:
            line = text.count("\n", 0, found.start()) + 1
            raise DetectorError("nested too deeply", place=place(lines, file, line, 1))


def _toml_error(message: str, lines: tuple[str, ...], file: str) -> DetectorError:
    reason, _, spot = message.partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", spot)
    line, column = (int(found[1]), int(found[2])) if found else (len(lines), 1)
    where = place(lines, file, line, column)
    return DetectorError(f"not valid TOML: {reason[:1].lower()}{reason[1:]}", place=where)


_TOML_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"))*)\s*=\s*""")
_TOML_TABLE = re.compile(r"(\[\[?)([\w.\s-]+)\]\]?\s*(?:#.*)?")
_TOML_QUOTES = re.compile(r"'''|\"\"\"")


def _toml_spots(lines: tuple[str, ...]) -> dict[KeyPath, Spot]:
    """Tables and keys by the line they begin; what stands inside a value is not looked for."""
    spots: dict[KeyPath, Spot] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    closing: str | None = None
    for number, line in enumerate(lines, start=1):
        rest = line
        if closing is not None:
            _, found, rest = line.partition(closing)
            closing = None if found else closing
            continue
        if header := _TOML_TABLE.fullmatch(line):
            table = _toml_table(header, counts)
            spots[table] = Spot(number, 1, len(line), number, 1)
        elif key := _TOML_KEY.match(line):
            way = table + tuple(part.strip(" \"'") for part in key[1].split("."))
            spots[way] = _toml_spot(number, line, key)
        closing = _left_open(rest)
    return spots


def _toml_table(header: re.Match[str], counts: dict[KeyPath, int]) -> KeyPath:
    """The way to a table; `counts` has how many elements each array of tables has so far."""
    *above, last = (part.strip() for part in header[2].split("."))
    way: KeyPath = ()
    for part in above:
        way = _latest((*way, part), counts)
    if header[1] == "[[":
        counts[(*way, last)] = counts.get((*way, last), 0) + 1
    return _latest((*way, last), counts)


def _latest(way: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    """`way`, or its last element so far where it is an array of tables."""
    return (*way, counts[way] - 1) if way in counts else way


def _toml_spot(number: int, line: str, key: re.Match[str]) -> Spot:
    value = line[key.end() :].rstrip()
    below = value in {"'''", '"""'}
    return Spot(
        number, key.start(1) + 1, len(key[1]), number, key.end() + 1, max(1, len(value)), below
    )


def _left_open(line: str) -> str | None:
    """The quotes of a multi-line string that `line` opens and does not close."""
    if line.lstrip().startswith("#"):
        return None
    closing: str | None = None
    for quotes in _TOML_QUOTES.findall(line):
        if closing is None:
            closing = quotes
        elif quotes == closing:
            closing = None
    return closing
