"""EQL text -> tree, as Elasticsearch reads it; `render` and `condition` give the text back."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from detector.errors import LanguageError
from detector.language import tree
from detector.language.reader import Reader
from detector.language.render import condition, render
from detector.language.source import Source, first, nearest

__all__ = ["condition", "parse", "render"]

MAX_LENGTH = 500_000
"""Characters; the longest rule Elastic ships has a fifth of it."""

MAX_DEPTH = 100
"""Levels of nesting, a fifth of what Python's stack allows; Elastic's rules have at most ten."""

_NESTING = re.compile(
    r'"""[^\r\n]*?"{3,5}|"(?:[^"\\\r\n]|\\[^\r\n])*"|`[^`]*(?:`|\Z)|//[^\r\n]*|/\*[\s\S]*?(?:\*/|\Z)|[()]'
)
"""Parentheses, and what may hold some that do not count; each piece is read once."""

_WORDS = {
    "_WHERE": "where", "_SEQUENCE": "sequence", "_SAMPLE": "sample", "_UNTIL": "until",
    "_BY": "by", "_WITH": "with", "_MAXSPAN": "maxspan", "_OR": "or", "_AND": "and",
    "NOT": "not", "ANY": "any", "IN": "in", "FITS": "like", "TRUE": "true", "FALSE": "false",
    "NULL": "null",
}  # fmt: skip
_SLIPS = {
    "'": "strings stand in double quotes",
    "=": "equality is `==`, or `:` where case does not matter",
    "!": "negation is `not`",
    "&": "conjunction is `and`",
    "|": "disjunction is `or`",
    '"': "the string has no end on this line",
    "`": "the name has no closing backquote",
    "/*": "the comment has no end",
}


def parse(text: str, *, category_field: str = "event.category") -> tree.Query:
    """Read a query; the category before `where` is asked of `category_field`.

    Raises LanguageError, whose place counts inside `text`.
    """
    source = Source(text)
    return Reader(source, category_field).query(_syntax(source))


@cache
def _grammar() -> Lark:
    """Its tables take some 50 ms to make: too little for a cache that others could write to."""
    text = (resources.files("detector") / "language" / "eql.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", maybe_placeholders=True)


def _syntax(source: Source) -> Tree[Token]:
    if len(source.text) > MAX_LENGTH:
        raise source.error(f"the query is longer than {MAX_LENGTH} characters", 0)
    _check_parentheses(source)
    try:
        start = _grammar().parse(source.text)
    except UnexpectedInput as error:
        raise _unexpected(source, error) from None
    _check_depth(source, start)
    return start


def _check_parentheses(source: Source) -> None:
    """Parentheses leave no trace in the syntax, so they are counted before."""
    if source.text.count("(") <= MAX_DEPTH:
        return
    depth = 0
    for found in _NESTING.finditer(source.text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise _too_deep(source, found.start())


def _check_depth(source: Source, start: Tree[Token]) -> None:
    level = [start]
    for _ in range(MAX_DEPTH):
        level = [part for one in level for part in one.children if isinstance(part, Tree)]
        if not level:
            return
    token = first(level[0])
    raise _too_deep(source, 0 if token is None else token.start_pos or 0)


def _too_deep(source: Source, offset: int) -> LanguageError:
    return source.error(f"more than {MAX_DEPTH} levels of nesting", offset)


def _unexpected(source: Source, error: UnexpectedInput) -> LanguageError:
    opened = source.text.find("/*", max((error.pos_in_stream or 0) - 1, 0))
    if opened >= 0 and opened == (error.pos_in_stream or 0) - 1:
        return source.error("unexpected `/*`", opened, 2, hint=_SLIPS["/*"])
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        return _unexpected_word(source, error)
    if isinstance(error, UnexpectedCharacters):
        offset = error.pos_in_stream or 0
        found = source.text[offset]
        return source.error(f"unexpected `{found}`", offset, hint=_SLIPS.get(found))
    end = len(source.text.rstrip())
    return source.error("the query ends too early", max(end - 1, 0), hint=_expected(error))


def _unexpected_word(source: Source, error: UnexpectedToken) -> LanguageError:
    word, offset = str(error.token), error.token.start_pos or 0
    expected = [_WORDS[name] for name in error.expected if name in _WORDS]
    hint = nearest(word, expected) or _SLIPS.get(word[0])
    if word in _WORDS.values() and "FIELD" in error.expected:
        hint = f"a field of that name is written in backquotes: `` `{word}` ``"
    shown = word if len(word) <= 40 else f"{word[:40]}..."
    return source.error(f"unexpected `{shown}`", offset, len(word), hint=hint or _expected(error))


def _expected(error: UnexpectedInput) -> str | None:
    """What may stand here, where that is one thing."""
    names = set(getattr(error, "expected", ()))
    single = {"RPAR": "`)`", "RSQB": "`]`", "_WHERE": "`where`", "LSQB": "`[`"}
    wanted = [text for name, text in single.items() if name in names]
    return f"{wanted[0]} is missing" if len(wanted) == 1 else None
