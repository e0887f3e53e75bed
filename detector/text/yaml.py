"""YAML text -> a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from detector.errors import DetectorError, Place
from detector.text.document import MAX_DEPTH, Spot, Text, place, split
from detector.text.faults import KeyPath

MAX_NODES = 200_000


class _Loader(yaml.CSafeLoader):
    """Scalars as JSON knows them, so that an event in YAML is the event that was logged.

    `no`, `on`, `007`, `12:30` and dates stay text.
    """


_Loader.yaml_implicit_resolvers = {}
_SCALARS = {
    "null": (r"~|null|", ["~", "n", ""]),
    "bool": (r"true|True|false|False", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,39})", list("-+0123456789")),
    "float": (
        r"[-+]?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?",
        list("-+0123456789"),
    ),
}
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first
    )

_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
}


def read(text: str, file: str) -> Iterator[Text]:
    """The one document of `text`; raises `DetectorError`."""
    lines = split(text)
    try:
        _refuse_bulk(text, lines, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _mark(mark, lines, file) if mark else Place(1, 1, file=file)
        raise DetectorError(f"not valid YAML: {_reason(error)}", place=where) from None
    except yaml.YAMLError as error:
        reason = str(error).split("\n", 1)[0]
        raise DetectorError(f"not valid YAML: {reason}", place=Place(1, 1, file=file)) from None
    tree = _Tree(lines, file)
    data = tree.value(node, ()) if node else None
    yield Text(file, lines, data, lambda: tree.spots)


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem, context = error.problem or "", error.context or ""
    return f"{context}, {problem}" if problem.startswith("but ") else problem or context


def _refuse_bulk(text: str, lines: tuple[str, ...], file: str) -> None:
    """Composing recurses in C: a file of brackets would take the process down."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise DetectorError("nested too deeply", place=_mark(event.start_mark, lines, file))
        if number > MAX_NODES:
            raise DetectorError("too many values", place=_mark(event.start_mark, lines, file))


def _mark(mark: Any, lines: tuple[str, ...], file: str) -> Place:
    return place(lines, file, mark.line + 1, mark.column + 1)


class _Tree:
    """A composed document on its way to data; every node met leaves its spot."""

    def __init__(self, lines: tuple[str, ...], file: str) -> None:
        self.lines = lines
        self.file = file
        self.spots: dict[KeyPath, Spot] = {}
        self.nodes = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:  # aliases multiply
            raise self.error("too many values, or an alias inside itself", node)
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path)
            case yaml.SequenceNode():
                return [self.item(inner, (*path, i)) for i, inner in enumerate(node.value)]
            case _:
                return self.scalar(node)

    def item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.spots[path] = _spot(node, node)
        return self.value(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error("a key must be text", key)
            if key.value in data:
                raise self.error(f"`{key.value}` is given twice", key)
            way = (*path, key.value)
            self.spots[way] = _spot(key, inner)
            data[key.value] = self.value(inner, way)
        return data

    def scalar(self, node: yaml.Node) -> Any:
        reader = _READERS.get(node.tag.removeprefix("tag:yaml.org,2002:"))
        if reader is None:
            raise self.error(f"tag `{node.tag}` is not allowed", node)
        try:
            return reader(node.value)
        except ValueError:
            raise self.error(f"`{node.value}` does not fit its tag", node) from None

    def error(self, message: str, node: yaml.Node) -> DetectorError:
        return DetectorError(message, place=_mark(node.start_mark, self.lines, self.file))


def _spot(key: yaml.Node, value: yaml.Node) -> Spot:
    start, end = value.start_mark, value.end_mark
    width = end.column - start.column if end.line == start.line else 1
    below = isinstance(value, yaml.ScalarNode) and value.style in {"|", ">"}
    key_width = max(1, key.end_mark.column - key.start_mark.column) if key is not value else width
    return Spot(
        key.start_mark.line + 1,
        key.start_mark.column + 1,
        max(1, key_width),
        start.line + 1,
        start.column + 1,
        max(1, width),
        below,
    )
