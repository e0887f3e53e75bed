"""Patterns with escapes, as Lucene has them -> the leaf that asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from detector.language import pattern, regexp, tree

Piece: TypeAlias = tuple[str, bool]
"""A character, and whether a backslash made it one like others."""


def pieces(text: str) -> list[Piece]:
    """The characters of a text in which a backslash escapes the next one; a last one is itself."""
    chars = iter(text)
    return [(next(chars, char), True) if char == "\\" else (char, False) for char in chars]


def plain(found: Sequence[Piece]) -> str:
    """The characters as text."""
    return "".join(char for char, _ in found)


def used(found: Sequence[Piece]) -> bool:
    """Whether any of them is a wildcard."""
    return any(char in "*?" and not escaped for char, escaped in found)


def leaf(field: str, found: Sequence[Piece], *, any_case: bool = False) -> tree.Like | tree.Regex:
    """What fits the pattern, in which `*` and `?` are wildcards unless they were escaped."""
    if not any(escaped and pattern.has_wildcard(char) for char, escaped in found):
        return tree.Like(field, (plain(found),), any_case)
    wild = {"*": ".*", "?": "."}
    written = (
        wild[char] if not escaped and char in wild else regexp.quoted(char)
        for char, escaped in found
    )
    return tree.Regex(field, ("".join(written),), any_case)
