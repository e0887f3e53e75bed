"""NDJSON text -> a document a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from detector.errors import DetectorError, Place
from detector.text.document import Spot, Text, refuse_depth, split
from detector.text.faults import KeyPath

MAX_LINES = 50_000

_JSON_KEY = re.compile(r'("(?:[^"\\]++|\\.)*+")(?:\s*+(:)\s*+)?')
"""A text, and whether it is a key."""


def read(text: str, file: str) -> Iterator[Text | DetectorError]:
    """One JSON document a line; a line that cannot be read is an error in its stead."""
    lines = split(text)
    for number, line in enumerate(lines, start=1):
        if number > MAX_LINES:
            where = Place(number, 1, file=file)
            yield DetectorError(f"more than {MAX_LINES:,} lines; the rest is left out", place=where)
            return
        if line.strip():
            yield _json_line(number, line, lines, file)


def _json_line(number: int, line: str, lines: tuple[str, ...], file: str) -> Text | DetectorError:
    try:
        data = orjson.loads(line)
        refuse_depth(data, Place(number, 1, file=file))
    except orjson.JSONDecodeError as error:
        where = Place(number, error.colno, file=file)
        return DetectorError(f"not valid JSON: {error.msg}", place=where)
    except DetectorError as error:
        return error
    return Text(file, lines, data, cache(lambda: _json_spots(number, line, data)))


def _json_spots(number: int, line: str, data: Any) -> dict[KeyPath, Spot]:
    spots: dict[KeyPath, Spot] = {(): Spot(number, 1, 1, number, 1)}
    if not isinstance(data, dict):
        return spots
    written: dict[str, re.Match[str]] = {}
    for found in _JSON_KEY.finditer(line):
        if found[2]:
            written.setdefault(found[1], found)
    for key in data:
        if at := written.get(orjson.dumps(key).decode()):
            spots[key,] = Spot(number, at.start() + 1, len(key) + 2, number, at.end() + 1)
    return spots
