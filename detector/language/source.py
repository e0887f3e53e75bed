"""A query's text -> places in it, and errors that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from lark import Token, Tree

from detector.errors import LanguageError, Place


@dataclass(frozen=True, slots=True)
class Source:
    """The text a query was read from."""

    text: str

    def place(self, offset: int, width: int = 1) -> Place:
        """The place of `width` characters from `offset` on; it ends with its line."""
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start : len(self.text) if end < 0 else end].rstrip("\r")
        column = offset - start + 1
        width = max(1, min(width, len(line) - column + 1))
        return Place(self.text.count("\n", 0, offset) + 1, column, line, width)

    def error(
        self, message: str, offset: int, width: int = 1, *, hint: str | None = None
    ) -> LanguageError:
        return LanguageError(message, hint=hint, place=self.place(offset, width))

    def error_at(
        self, message: str, part: Tree[Token] | Token, *, hint: str | None = None
    ) -> LanguageError:
        """An error at the first word of `part`."""
        token = first(part)
        offset = 0 if token is None else token.start_pos or 0
        return self.error(message, offset, 1 if token is None else len(token), hint=hint)


def first(part: Tree[Token] | Token) -> Token | None:
    """The leftmost token of a piece of syntax."""
    rest: list[Tree[Token] | Token | None] = [part]
    while rest:
        one = rest.pop()
        if isinstance(one, Token):
            return one
        if one is not None:
            rest += one.children[::-1]
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint that names what `word` may have been meant for."""
    spelled = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f"did you mean `{spelled[close[0]]}`?" if close else None
