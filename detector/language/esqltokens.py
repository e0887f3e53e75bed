"""ES|QL's text in, its words and its commands out, with their places.

Strings, quoted names and comments are told from what only looks like a pipe or a function in them:
https://www.elastic.co/docs/reference/query-languages/esql/esql-syntax. What a command may say is
Elasticsearch's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from detector.language.source import Source

Kind: TypeAlias = Literal["word", "string", "name", "mark"]

_TOKEN = re.compile(
    r'(?P<string>"""(?s:.*?)"""(?!")"{0,2}|"(?:\\.|[^"\\\r\n])*")'
    r"|(?P<name>`(?:``|[^`])*`)"
    r"|(?P<word>[^\W\d][\w.]*|@[\w.@]*|\d[\w.]*)"
    r"|(?P<mark>==|.)"
)
_BLANK = re.compile(r"\s+|//[^\r\n]*")
_COMMENT = re.compile(r"/\*|\*/")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TWO_WORDS = {"INLINE": "STATS", "LOOKUP": "JOIN"}
"""Commands of two words."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string, quoted name or single mark; `depth` counts the brackets around it."""

    kind: Kind
    text: str
    start: int
    depth: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def says(self, *words: str) -> bool:
        """Whether it is one of these words, or marks, in whatever case."""
        return self.kind in {"word", "mark"} and self.text.upper() in words


@dataclass(frozen=True, slots=True)
class Command:
    """What stands between two pipes: its name in capitals, and the tokens that follow it."""

    name: str
    tokens: tuple[Token, ...]
    start: int
    end: int

    def parts(self, tokens: Sequence[Token] | None = None) -> list[tuple[Token, ...]]:
        """Its tokens, or some of them, divided at commas that are in no brackets."""
        divided: list[list[Token]] = [[]]
        for token in self.tokens if tokens is None else tokens:
            if token.says(",") and token.depth == 0:
                divided.append([])
            else:
                divided[-1].append(token)
        return [tuple(part) for part in divided if part]


def commands(source: Source) -> tuple[Command, ...]:
    """The commands of a query, the source first. Raises `LanguageError`."""
    divided: list[list[Token]] = [[]]
    pipes: list[Token] = []
    for token in tokens(source):
        if token.says("|") and token.depth == 0:
            divided.append([])
            pipes.append(token)
        else:
            divided[-1].append(token)
    if not divided[0]:
        raise source.error("the query is empty", 0, hint="FROM logs-* METADATA _id | WHERE ...")
    for pipe, part in zip(pipes, divided[1:], strict=True):
        if not part:
            raise source.error("nothing follows this pipe", pipe.start)
    return tuple(map(_command, divided))


def _command(part: list[Token]) -> Command:
    name, count = part[0].text.upper(), 1
    if len(part) > 1 and part[1].says(_TWO_WORDS.get(name, "")):
        name, count = f"{name} {part[1].text.upper()}", 2
    name = "INLINE STATS" if name == "INLINESTATS" else name
    return Command(name, tuple(part[count:]), part[0].start, part[-1].end)


def tokens(source: Source) -> Iterator[Token]:
    """All but blanks and comments. Raises `LanguageError` for what is not closed."""
    open_: list[Token] = []
    at = _skipped(source, 0)
    while at < len(source.text):
        token = _token(source, at, len(open_))
        if token.kind == "mark" and token.text in _CLOSING:
            open_.append(token)
        elif token.kind == "mark" and token.text in _CLOSING.values():
            if not open_ or _CLOSING[open_.pop().text] != token.text:
                raise source.error(f"`{token.text}` closes nothing", at)
            token = Token("mark", token.text, at, len(open_))
        yield token
        at = _skipped(source, token.end)
    if open_:
        raise source.error(f"`{open_[-1].text}` is not closed", open_[-1].start)


def _token(source: Source, at: int, depth: int) -> Token:
    found = _TOKEN.match(source.text, at)
    kind: Kind = found.lastgroup if found else "mark"  # type: ignore[assignment]
    text = found[0] if found else source.text[at]
    if kind == "mark" and text in {'"', "`"}:
        what = "string" if text == '"' else "name"
        raise source.error(f"this {what} is not closed", at)
    if kind == "string" and text == '""' and source.text.startswith('"""', at):
        raise source.error("this string is not closed", at, 3)
    return Token(kind, text, at, depth)


def _skipped(source: Source, at: int) -> int:
    """Where the next token begins, behind blanks and comments."""
    while at < len(source.text):
        if source.text.startswith("/*", at):
            at = _after_comment(source, at)
        elif blank := _BLANK.match(source.text, at):
            at = blank.end()
        else:
            break
    return at


def _after_comment(source: Source, start: int) -> int:
    """Comments may hold comments."""
    depth = 0
    for edge in _COMMENT.finditer(source.text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise source.error("this comment is not closed", start, 2)
