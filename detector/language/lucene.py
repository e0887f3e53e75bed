"""Lucene's query syntax -> tree, for the forms whose meaning does not depend on scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeAlias, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from detector.errors import LanguageError
from detector.language import regexp, tree, wildcards
from detector.language.source import Source
from detector.language.tree import Node, Wording
from detector.language.wildcards import Piece

Part: TypeAlias = Tree[Token] | Token
ANY = "*"
EXISTS = "_exists_"
MAX_LENGTH = 100_000
MAX_DEPTH = 100

_NESTING = re.compile(r'"(?:[^"\\]|\\[\s\S])*"|\\[\s\S]|[()]')
_CLOCK = re.compile(r"now\b|.*\|\|")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A clause of a group, with what stands before it."""

    join: str
    sign: str
    clause: Part

    @property
    def word(self) -> str:
        """A word that may be one of several in a row; otherwise nothing."""
        if self.join or self.sign or not isinstance(self.clause, Tree):
            return ""
        value, boost = (*self.clause.children, None)[:2]
        bare = self.clause.data == "anywhere" and boost is None
        if not (bare and isinstance(value, Token) and value.type == "TERM"):
            return ""
        return "" if wildcards.used(wildcards.pieces(str(value))) else str(value)


def parse(text: str, *, default: str = ANY) -> Node:
    """Read a query; what names no field is asked of `default`. An empty one finds nothing.

    Raises LanguageError for what cannot be read, and for what asks for likeness (`~`).
    """
    source = Source(text)
    _check_size(source)
    try:
        (body,) = _grammar().parse(text).children
    except UnexpectedInput as error:
        offset = min(error.pos_in_stream or 0, max(0, len(text) - 1))
        shown = text[offset : offset + 20] or "the end"
        raise source.error(f"unexpected `{shown}`", offset) from None
    return tree.Nothing() if body is None else _group(cast("Tree[Token]", body), default)


@cache
def _grammar() -> Lark:
    text = (resources.files("detector") / "language" / "lucene.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", maybe_placeholders=True)


def _check_size(source: Source) -> None:
    if len(source.text) > MAX_LENGTH:
        raise source.error(f"the query is longer than {MAX_LENGTH} characters", 0)
    depth = 0
    for found in _NESTING.finditer(source.text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise source.error(f"more than {MAX_DEPTH} levels of nesting", found.start())


def _group(part: Tree[Token], field: str) -> Node:
    """Lucene has no precedence: `AND` makes both its sides required, `OR` neither.

    What is required has to hold, what is forbidden must not; of the rest one has to, unless
    something is required.
    """
    signs: list[str] = []
    nodes: list[Node] = []
    for one in _entries(part.children):
        both = one.join in {"AND", "&&"}
        if both and signs and signs[-1] == "":
            signs[-1] = "+"
        written = {"NOT": "-", "!": "-"}.get(one.sign, one.sign)
        signs.append(written or ("+" if both else ""))
        nodes.append(_clause(one.clause, field))
    said = list(zip(signs, nodes, strict=True))
    required = [node for sign, node in said if sign == "+"]
    forbidden = [tree.Not(node) for sign, node in said if sign == "-"]
    optional = [node for sign, node in said if sign == ""]
    wanted = [tree.any_of(optional)] if optional and not required else []
    return tree.all_of([*required, *wanted, *forbidden])


def _entries(children: Sequence[Part | None]) -> list[_Entry]:
    """What a group holds; bare words in a row are one text, which the field's index takes apart."""
    joins = ["", *("" if join is None else str(join) for join in children[1::2]), ""]
    found: list[_Entry] = []
    for item, join, following in zip(children[::2], joins, joins[1:], strict=False):
        sign, clause = cast("Tree[Token]", item).children
        one = _Entry(join, "" if sign is None else str(sign), clause)
        if found and not following and one.word and found[-1].word:
            text = f"{found[-1].word} {one.word}"
            found[-1] = _Entry("", "", Tree("anywhere", [Token("TERM", text)]))
        else:
            found.append(one)
    return found


def _clause(part: Part, field: str) -> Node:
    if isinstance(part, Token):
        return _value(part, field)
    match part.data:
        case "field":
            return _value(part.children[1], _name(part.children[0]))
        case "inside":
            return _group(cast("Tree[Token]", part.children[1]), _name(part.children[0]))
        case "nested":
            return _group(cast("Tree[Token]", part.children[0]), field)
        case _:
            return _value(part.children[0], field)


def _name(part: Part) -> str:
    return wildcards.plain(wildcards.pieces(str(part).strip('"')))


def _value(part: Part, field: str) -> Node:
    if isinstance(part, Tree):
        return _range(part, field) if part.data == "range" else _compare(part, field)
    text = str(part)
    match part.type:
        case "QUOTED":
            return _words(wildcards.pieces(text[1:-1]), field, phrase=True)
        case "REGEX":
            regexp.compile(text[1:-1])
            return tree.Regex(field, (text[1:-1],))
        case _:
            return _words(wildcards.pieces(text), field, phrase=False)


def _words(pieces: Sequence[Piece], field: str, *, phrase: bool) -> Node:
    plain = wildcards.plain(pieces)
    if field == EXISTS:
        return tree.Exists(plain)
    if phrase or not wildcards.used(pieces):
        return tree.Says(field, (Wording((plain,), phrase),))
    if plain == "*":
        return tree.Everything() if field == ANY else tree.Exists(field)
    if any(char == "?" and not escaped for char, escaped in pieces):
        return wildcards.leaf(field, pieces)
    parts = [""]
    for char, escaped in pieces:
        if char == "*" and not escaped:
            parts.append("")
        else:
            parts[-1] += char
    return tree.Says(field, (Wording(tuple(parts)),))


def _range(part: Tree[Token], field: str) -> Node:
    opening, low, high, closing = (str(child) for child in part.children)
    bounds: list[tuple[tree.Order, tree.Scalar]] = []
    if low != "*":
        bounds.append((">=" if opening == "[" else ">", _bound(low)))
    if high != "*":
        bounds.append(("<=" if closing == "]" else "<", _bound(high)))
    return tree.Between(field, tuple(bounds)) if bounds else tree.Exists(field)


def _compare(part: Tree[Token], field: str) -> Node:
    order, value = part.children
    return tree.Compare(field, cast("tree.Order", str(order)), _bound(str(value)))


def _bound(text: str) -> tree.Scalar:
    if _CLOCK.match(text.strip('"')):
        raise LanguageError("a range that depends on the time of asking")
    plain = _name(Token("TERM", text))
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain
