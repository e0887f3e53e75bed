"""KQL text -> tree, as Kibana reads it."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TypeAlias, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from detector.errors import LanguageError
from detector.language import tree
from detector.language.source import Source, first
from detector.language.tree import Node, Wording

Part: TypeAlias = Tree[Token] | Token

MAX_LENGTH = 500_000
MAX_DEPTH = 100
"""Levels of nesting: a fifth of what Python's stack allows."""

ANY = "*"

_NESTING = re.compile(r'"(?:[^"\\]|\\[\s\S])*"|\\[\s\S]|[(){}]|\bnot\b', re.IGNORECASE)
_SPACES = {"t": "\t", "n": "\n", "r": "\r"}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(and|or|not)\b|\\([\s\S])", re.IGNORECASE)
_QUOTED_ESCAPE = re.compile(r'\\u([0-9a-fA-F]{4})|\\([tnr"\\])')
_SLIPS = {
    "'": "values stand in double quotes, or bare",
    '"': "the quoted value has no end",
    "=": "equality is `field: value`",
    "!": "negation is `not`",
    "&": "conjunction is `and`",
    "|": "disjunction is `or`",
}


def parse(text: str) -> Node:
    """Read a query; an empty one is every document.

    Raises LanguageError, whose place counts inside `text`.
    """
    source = Source(text)
    if len(text) > MAX_LENGTH:
        raise source.error(f"the query is longer than {MAX_LENGTH} characters", 0)
    _check_depth(source)
    try:
        (body,) = _grammar().parse(text).children
    except UnexpectedInput as error:
        raise _unexpected(source, error) from None
    return tree.Everything() if body is None else _Reader(source).condition(body, "")


@cache
def _grammar() -> Lark:
    text = (resources.files("detector") / "language" / "kuery.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", maybe_placeholders=True)


def _check_depth(source: Source) -> None:
    """Every parenthesis, brace and `not` may be a level; those that end one are counted off."""
    depth = negations = 0
    for found in _NESTING.finditer(source.text):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(found[0], 0)
        negations = negations + 1 if found[0].lower() == "not" else 0
        if depth + negations > MAX_DEPTH:
            raise source.error(f"more than {MAX_DEPTH} levels of nesting", found.start())


def _unexpected(source: Source, error: UnexpectedInput) -> LanguageError:
    token = error.token if isinstance(error, UnexpectedToken) else None
    offset = error.pos_in_stream or 0
    if token is not None and token.type == "$END":
        return source.error("the query ends too early", max(0, len(source.text) - 1))
    shown = str(token) if token else source.text[offset]
    message = f"unexpected `{shown if len(shown) <= 40 else shown[:40] + '...'}`"
    hint = _SLIPS.get(shown[:1])
    return source.error(message, offset, len(shown), hint=hint)


class _Reader:
    """Takes one text's syntax apart; `path` is the nested object that a part stands in."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def condition(self, part: Part, path: str) -> Node:
        if isinstance(part, Token):
            return self._says(ANY, part)
        match part.data:
            case "or_":
                return _either(self.condition(item, path) for item in part.children)
            case "and_":
                return tree.all_of(self.condition(item, path) for item in part.children)
            case "negation":
                return tree.Not(self.condition(part.children[0], path))
            case "nested":
                name = self._name(part.children[0], path)
                return tree.Nested(name, self.condition(part.children[1], name))
            case "compare":
                return self._compare(part, path)
            case "anywhere":
                return self._says(ANY, cast("Token", part.children[0]))
            case _:
                return self._values(self._name(part.children[0], path), part.children[1])

    def _values(self, name: str, part: Part) -> Node:
        if isinstance(part, Token):
            return self._says(name, part)
        items = (self._values(name, item) for item in part.children)
        match part.data:
            case "value_or":
                return _either(items)
            case "value_and":
                return tree.all_of(items)
            case _:
                return tree.Not(*items)

    def _says(self, name: str, token: Token) -> Node:
        wording = self._wording(token)
        if len(wording.parts) > 1 and not any(wording.parts):
            return tree.Everything() if name == ANY else tree.Exists(name)
        return tree.Says(name, (wording,))

    def _compare(self, part: Tree[Token], path: str) -> Node:
        name, order, value = part.children
        wording = self._wording(cast("Token", value))
        if len(wording.parts) > 1:
            raise self._source.error_at("a range has no wildcards", value)
        return tree.Compare(
            self._name(name, path), cast("tree.Order", str(order)), _number(wording.parts[0])
        )

    def _name(self, part: Part, path: str) -> str:
        name = "*".join(self._wording(cast("Token", first(part))).parts)
        return f"{path}.{name}" if path else name

    def _wording(self, token: Token) -> Wording:
        if token.type == "QUOTED":
            return Wording((_QUOTED_ESCAPE.sub(_quoted, token[1:-1]),), phrase=True)
        return Wording(tuple(_bare(str(token))))


def _either(items: object) -> Node:
    """`or`, in which values of one field come together: a list stays one clause."""
    parts: list[Node] = []
    flat = tree.any_of(cast("list[Node]", items))
    for item in flat.items if isinstance(flat, tree.Or) else (flat,):
        before = parts[-1] if parts else None
        if (
            isinstance(item, tree.Says)
            and isinstance(before, tree.Says)
            and before.field == item.field
        ):
            parts[-1] = tree.Says(item.field, before.wordings + item.wordings)
        else:
            parts.append(item)
    return tree.any_of(parts)


def _bare(text: str) -> list[str]:
    """The parts of an unquoted value between its wildcards, escapes resolved."""
    parts, at = [""], 0
    while at < len(text):
        if text[at] == "*":
            parts.append("")
            at += 1
            continue
        found = _ESCAPE.match(text, at)
        parts[-1] += _unescaped(found) if found else text[at]
        at = found.end() if found else at + 1
    return parts


def _unescaped(found: re.Match[str]) -> str:
    code, keyword, letter = found.groups()
    if code is not None:
        return chr(int(code, 16))
    return keyword or _SPACES.get(letter, letter)


def _quoted(found: re.Match[str]) -> str:
    code, letter = found.groups()
    return chr(int(code, 16)) if code is not None else _SPACES.get(letter, letter)


def _number(text: str) -> tree.Scalar:
    """The bound of a range as a number where it is written as one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
