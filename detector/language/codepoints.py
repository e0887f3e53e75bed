"""Sets of characters as ranges of code points: joined, inverted, widened to every case."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import TypeAlias

LAST = 0x10FFFF

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last code point of each range, sorted, with a gap between any two."""

# All characters that have more than one case lie below this one.
_CASED = 0x1E944
# The dotted and the dotless i are no case of each other, unlike what Unicode's folding tables and
# `str.casefold` would have it: this is how Lucene 10 pairs them.
_TURKIC = {"I": "Ii", "i": "Ii", "\u0130": "\u0130i", "\u0131": "\u0131I"}


def of(*pairs: str) -> Ranges:
    """Ranges from texts of one character or two: `of("az", "_")`."""
    return merged((ord(pair[0]), ord(pair[-1])) for pair in pairs)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Any ranges, sorted and with those joined that touch."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def inverted(ranges: Ranges) -> Ranges:
    """All code points that are not in `ranges`."""
    edges = [(-1, -1), *ranges, (LAST + 1, LAST + 1)]
    gaps = ((before[1] + 1, after[0] - 1) for before, after in pairwise(edges))
    return tuple((low, high) for low, high in gaps if low <= high)


def contains(ranges: Ranges, code: int) -> bool:
    """Whether `code` is in `ranges`."""
    return any(low <= code <= high for low, high in ranges)


def cases(character: str) -> Ranges:
    """The character in all its cases, as Lucene 10 has them, beyond ASCII as well.

    Source: `org.apache.lucene.util.automaton.CaseFolding`; compared with a node of 9.1.0 for every
    character that has a case.
    """
    fellows = _TURKIC.get(character) or _fellows().get(character.casefold(), character)
    return merged((ord(one), ord(one)) for one in fellows)


@cache
def _fellows() -> dict[str, str]:
    """Folded text to the characters that fold to it, where there is more than one."""
    groups: dict[str, str] = {}
    for character in map(chr, range(_CASED)):
        folded = character.casefold()
        groups[folded] = groups.get(folded, "") + character
    return {folded: group for folded, group in groups.items() if len(group) > 1}
