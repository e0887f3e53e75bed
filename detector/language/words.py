"""Text -> its words, as Elasticsearch's standard analyzer takes it apart; a test of having them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from detector.language import pattern, tree

Test: TypeAlias = Callable[[str], bool]

# Unicode's word boundaries (UAX #29): letters hold together over a dot, colon or apostrophe,
# digits over a dot, comma or semicolon; ideographs and pictures stand alone.
_IDEOGRAPH = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PICTURE = "\u2600-\u27bf\U0001f300-\U0001faff"
_LETTER = rf"[^\W\d_{_IDEOGRAPH}]"
_WORD = re.compile(
    rf"[{_IDEOGRAPH}{_PICTURE}]"
    rf"|(?:{_LETTER}|\d|_)"
    rf"(?:{_LETTER}|\d|_"
    rf"|(?<=[^\W\d_])[.:'\u2019\u00b7\u2018\u2024\ufe52\uff07\uff0e](?={_LETTER})"
    rf"|(?<=\d)[.,;'\u2019\u2018\uff07\uff0c\uff0e\uff1b](?=\d))*"
)
LONGEST = 255
"""Characters of a word; a longer one is cut into several."""


def words(text: str) -> list[str]:
    """The words of a text, in lower case and in their order."""
    found = [_lower(word) for word in _WORD.findall(text) if word.strip("_")]
    return [word[at : at + LONGEST] for word in found for at in range(0, len(word), LONGEST)]


def _lower(word: str) -> str:
    """Character by character, as Java has it: none becomes two."""
    return word.lower() if word.isascii() else "".join(char.lower()[:1] for char in word)


def says(wordings: Sequence[tree.Wording]) -> Test:
    """Whether a text has what one of `wordings` asks for."""
    tests = [_test(one) for one in wordings]
    return lambda text: any(test(found) for found in [words(text)] for test in tests)


def _test(one: tree.Wording) -> Callable[[list[str]], bool]:
    if len(one.parts) > 1:
        fits = pattern.glob(tuple(patterns(one)), False)
        return lambda found: any(map(fits, found))
    wanted = words(one.parts[0])
    if not one.phrase:
        return lambda found: not set(wanted).isdisjoint(found)
    size = len(wanted)
    return lambda found: (
        size > 0 and any(found[at : at + size] == wanted for at in range(len(found) - size + 1))
    )


def patterns(one: tree.Wording) -> list[str]:
    """What single words have to fit; blanks separate several patterns, of which one is enough."""
    return "*".join(one.parts).lower().split()
