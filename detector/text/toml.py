"""TOML text -> a document; its places are found by scanning for the keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache

from detector.errors import DetectorError, Place
from detector.text.document import Spot, Text, place, refuse_depth, split
from detector.text.faults import KeyPath


def read(text: str, file: str) -> Iterator[Text]:
    """One TOML document; raises `DetectorError`."""
    lines = split(text)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise DetectorError("nested too deeply", place=Place(1, 1, file=file)) from None
    except ValueError as error:
        raise _toml_error(str(error), lines, file) from None
    refuse_depth(data, Place(1, 1, file=file))
    yield Text(file, lines, data, cache(lambda: _toml_spots(lines)))


def _toml_error(message: str, lines: tuple[str, ...], file: str) -> DetectorError:
    reason, _, spot = message.partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", spot)
    line, column = (int(found[1]), int(found[2])) if found else (len(lines), 1)
    where = place(lines, file, line, column)
    return DetectorError(f"not valid TOML: {reason[:1].lower()}{reason[1:]}", place=where)


_TOML_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"))*)\s*=\s*""")
_TOML_TABLE = re.compile(r"(\[\[?)\s*([\w.\s-]+?)\s*\]\]?\s*(?:#.*)?")
_TOML_QUOTES = re.compile(r"'''|\"\"\"")


def _toml_spots(lines: tuple[str, ...]) -> dict[KeyPath, Spot]:
    """Tables and keys by the line they begin; what stands inside a value is not looked for."""
    spots: dict[KeyPath, Spot] = {}
    table: KeyPath = ()
    closing: str | None = None
    for number, line in enumerate(lines, start=1):
        rest = line
        if closing is not None:
            _, found, rest = line.partition(closing)
            closing = None if found else closing
            continue
        if header := _TOML_TABLE.fullmatch(line):
            table = _toml_table(header, spots)
            spots[table] = Spot(number, 1, len(line), number, 1)
        elif key := _TOML_KEY.match(line):
            way = table + tuple(part.strip(" \"'") for part in key[1].split("."))
            spots[way] = _toml_spot(number, line, key)
        closing = _left_open(rest)
    return spots


def _toml_table(header: re.Match[str], spots: dict[KeyPath, Spot]) -> KeyPath:
    way: KeyPath = ()
    for part in header[2].split("."):
        way = _latest((*way, part.strip()), spots)
    if header[1] == "[[":
        bare = way[:-1] if isinstance(way[-1], int) else way
        way = (*bare, way[-1] + 1 if isinstance(way[-1], int) else 0)
    return way


def _latest(way: KeyPath, spots: dict[KeyPath, Spot]) -> KeyPath:
    """`way`, or its last element so far where it is an array of tables."""
    count = 0
    while (*way, count) in spots:
        count += 1
    return (*way, count - 1) if count else way


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
