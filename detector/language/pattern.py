"""Patterns of EQL's `:`, `like` and `regex` -> a test of whole values, in linear time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from detector.language import regexp

Test: TypeAlias = Callable[[str], bool]

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """`text` with A-Z in lower case: what Elasticsearch's `case_insensitive` leaves out."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern is more than its own text."""
    return "*" in pattern or "?" in pattern


@lru_cache(maxsize=8192)
def glob(patterns: tuple[str, ...], any_case: bool) -> Test:
    """Whether a value, whole, fits one of `patterns`: `*` any text, `?` any one character."""
    case = fold if any_case else str
    plain = frozenset(case(pattern) for pattern in patterns if not has_wildcard(pattern))
    wild = "|".join(_expression(case(pattern)) for pattern in patterns if has_wildcard(pattern))
    fits = re.compile(wild, re.DOTALL).fullmatch if wild else None

    def test(value: str) -> bool:
        value = case(value)
        return value in plain or (fits is not None and fits(value) is not None)

    return test


def _expression(pattern: str) -> str:
    """A regular expression in which no `*` is tried twice.

    The first place where the text between two `*` fits is as good as any later one, so what lies
    before may be kept (an atomic group); only the text after the last `*` is bound to the end.
    """
    first, *rest = (
        "".join("." if char == "?" else re.escape(char) for char in part)
        for part in re.split(r"\*+", pattern)
    )
    if not rest:
        return first
    return first + "".join(f"(?>.*?{part})" for part in rest[:-1] if part) + ".*" + rest[-1]


@lru_cache(maxsize=2048)
def regex(patterns: tuple[str, ...], any_case: bool) -> Test:
    """Whether a value, whole, fits one of `patterns`, Lucene's regular expressions.

    Raises LanguageError where one of them cannot be read.
    """
    return regexp.compile(joined(patterns), any_case=any_case).matches


def joined(patterns: tuple[str, ...]) -> str:
    """One regular expression for all; Lucene wants the empty one in parentheses at an end."""
    return "|".join(one or "()" for one in patterns)
