"""A YAML text and one more item for a list in it -> the text with the item, all else as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from detector.errors import DetectorError, Place
from detector.text import yaml as reading
from detector.text.faults import KeyPath

WIDTH = 100

_PLAIN = re.compile(r"[A-Za-z_/][\w./@-]*|-[0-9]+(ms|s|m|h|d)", re.ASCII)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What some reader of YAML takes for something else than text."""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
BY_HAND = "add it by hand; `--dry-run` prints it"


def appended(text: str, path: KeyPath, item: Mapping[str, Any], file: str) -> str:
    """`text` with `item` at the end of the list at `path`, which is made where there is none.

    Comments, order and layout stay as they are. Raises `DetectorError` where the text is not
    written so that a line can be added: as a list in brackets, or without an end.
    """
    old = _data(text, file)
    _refuse_other(old, path, file)
    new = _inserted(text, path, item, file)
    with suppress(DetectorError):
        if _same(_data(new, file), _expected(old, path, item)):
            return new
    raise _by_hand("it is written in a way to which no line can be added", file)


def written(item: Mapping[str, Any]) -> list[str]:
    """A list's item in block style, a line each: short objects and lists stand on one line."""
    lines = [line for key, value in item.items() for line in _entry(key, value, WIDTH - 4)]
    return [f"{'- ' if number == 0 else '  '}{line}" for number, line in enumerate(lines)]


def _inserted(text: str, path: KeyPath, item: Mapping[str, Any], file: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    node, missing = _found(root, path)
    above = 0 if node is None else node.start_mark.column
    if missing:
        _refuse_brackets(node, file)
        keys = [f"{'  ' * depth}{scalar(key)}:" for depth, key in enumerate(missing)]
        lines = [*keys, *(f"{'  ' * len(missing)}{line}" for line in written(item))]
        return _put(text, len(text), [" " * above + line for line in lines], end)
    if node is None:
        return _put(text, len(text), written(item), end)
    if isinstance(node, yaml.SequenceNode) and node.value:
        _refuse_brackets(node, file)
        lines = [" " * above + line for line in written(item)]
        return _put(text, _line_after(text, _last(node)), lines, end)
    return _filled(text, node, path, item, end)


def _filled(text: str, node: yaml.Node, path: KeyPath, item: Mapping[str, Any], end: str) -> str:
    """An empty list, `[]` or nothing, gets its first item."""
    start, stop = node.start_mark.index, node.end_mark.index
    rest = text[stop:].partition("\n")
    cleared = text[:start].rstrip(" ") + rest[0].rstrip("\r") + end + rest[2]
    depth = "  " * len(path)
    at = len(text[:start].rstrip(" ") + rest[0].rstrip("\r") + end)
    return _put(cleared, at, [depth + line for line in written(item)], end)


def _put(text: str, at: int, lines: Sequence[str], end: str) -> str:
    before, after = text[:at], text[at:]
    if before and not before.endswith("\n"):
        before += end
    return before + "".join(line + end for line in lines) + after


def _found(node: yaml.Node | None, path: KeyPath) -> tuple[yaml.Node | None, KeyPath]:
    """The node at `path`, or the last one on the way and what of the way is missing."""
    for number, key in enumerate(path):
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        inner = next((value for name, value in entries if name.value == key), None)
        if inner is None:
            return node, path[number:]
        node = inner
    return node, ()


def _last(node: yaml.Node) -> yaml.Node:
    """The node that ends last inside a block: a block's own end lies behind comments."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        inner = node.value[-1]
        node = inner[1] if isinstance(node, yaml.MappingNode) else inner
    return node


def _line_after(text: str, node: yaml.Node) -> int:
    mark = node.end_mark
    if mark.column == 0:  # a block scalar ends where the next line begins
        return int(mark.index)
    at = text.find("\n", mark.index)
    return len(text) if at < 0 else at + 1


def _refuse_brackets(node: yaml.Node | None, file: str) -> None:
    if isinstance(node, yaml.CollectionNode) and node.flow_style:
        raise _by_hand("it is written in brackets", file)


def _refuse_other(data: Any, path: KeyPath, file: str) -> None:
    for key in path:
        if not isinstance(data, dict | None):
            raise _by_hand("it is no mapping of keys", file)
        data = (data or {}).get(key)
    if not isinstance(data, list | None):
        raise _by_hand("there is no list", file)


def _by_hand(reason: str, file: str) -> DetectorError:
    place = Place(1, 1, file=file)
    return DetectorError(f"cannot be added to: {reason}", hint=BY_HAND, place=place)


def _data(text: str, file: str) -> Any:
    (read,) = reading.read(text, file)
    return read.data


def _expected(data: Any, path: KeyPath, item: Mapping[str, Any]) -> Any:
    if not path:
        return [*(data or []), item]
    held = data or {}
    return {**held, path[0]: _expected(held.get(path[0]), path[1:], item)}


def _same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: 1 is neither 1.0 nor true."""
    return json.dumps(one, default=repr) == json.dumps(other, default=repr)


def _entry(key: str, value: Any, width: int) -> Iterator[str]:
    line = f"{scalar(key)}: {flow(value)}"
    if len(line) <= width or not value or not isinstance(value, Mapping | list):
        yield line
        return
    yield f"{scalar(key)}:"
    if isinstance(value, list):
        yield from (f"  - {flow(one)}" for one in value)
        return
    for name, inner in value.items():
        yield from (f"  {line}" for line in _entry(name, inner, width - 2))


def flow(value: Any) -> str:
    """A value on one line."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return scalar(value)


def scalar(value: Any) -> str:
    """Text in quotes unless every reader takes it for text; all else as JSON has it."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_ESCAPES.get(letter) or _letter(letter) for letter in value) + '"'


def _letter(letter: str) -> str:
    """What YAML cannot hold, or a person not see, by its number."""
    code = ord(letter)
    if letter.isprintable() or letter == " ":
        return letter
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
