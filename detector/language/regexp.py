"""Lucene's regular expressions: a pattern in, a matcher of whole values out, linear in the value.

The syntax is that of `org.apache.lucene.util.automaton.RegExp` with every operator on, which is
what Elasticsearch's `regexp` query understands under `flags: ALL`:
https://www.elastic.co/docs/reference/query-languages/query-dsl/regexp-syntax

A pattern becomes a set of derivatives (Brzozowski, 1964): what is left to match after a character
is a pattern again. They are made when a value asks for them and kept, so that a value costs one
look-up a character, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from itertools import pairwise

from detector.errors import LanguageError, Place

LAST = 0x10FFFF
STATES = 10_000
RESERVED = set('|&?*+{}~[].#@"()<>\\')

Ranges = tuple[tuple[int, int], ...]


class Expression:
    """A pattern without its text. Equal ones are one object, so comparing is `is`."""

    __slots__ = ("after", "kind", "nullable", "number", "parts")

    def __init__(self, kind: str, parts: tuple[object, ...], number: int) -> None:
        self.kind = kind
        self.parts = parts
        self.number = number
        self.nullable = False
        self.after: dict[int, Expression] = {}


class Pattern:
    """A compiled pattern; `matches` is its one question."""

    def __init__(self, text: str, any_case: bool) -> None:
        self.text = text
        self._forge = Forge(text, any_case)
        self._start = Reader(text, self._forge).read()

    def matches(self, value: str) -> bool:
        """Whether the whole of `value` matches. Raises `LanguageError` if that needs too much."""
        state = self._start
        forge = self._forge
        for character in value:
            code = ord(character)
            following = state.after.get(code)
            if following is None:
                following = state.after[code] = forge.derive(state, code)
            state = following
            if state is forge.nothing:
                return False
        return state.nullable


@lru_cache(maxsize=4_096)
def compile(pattern: str, *, any_case: bool = False) -> Pattern:  # noqa: A001 - as in `re`
    """Read a pattern. `any_case` is `case_insensitive: true`: it folds letters, but not ranges.

    Raises `LanguageError` with the place inside the pattern.
    """
    return Pattern(pattern, any_case)


def is_literal(pattern: str) -> bool:
    """Whether a pattern has no operator, so that it matches its own text alone."""
    return not RESERVED.intersection(pattern)


class Forge:
    """Makes expressions, simplified and each only once, and their derivatives."""

    def __init__(self, text: str, any_case: bool) -> None:
        self._text = text
        self._any_case = any_case
        self._known: dict[tuple[object, ...], Expression] = {}
        self.nothing = self._make("nothing")
        self.empty = self._make("empty")
        # Lucene makes an empty text without regard to case out of no characters at all: it fits
        # nothing, not even itself.
        self.blank = self.nothing if any_case else self.empty
        self.any_character = self._make("set", ((0, LAST),))
        self.anything = self.repeat(self.any_character, 0, None)

    def _make(self, kind: str, *parts: object) -> Expression:
        key = (kind, *(p.number if isinstance(p, Expression) else (p,) for p in parts))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= STATES:
                raise LanguageError(
                    "regular expression is too complex",
                    hint=f"it needs more than {STATES:,} states; make its repetitions smaller",
                    place=Place(1, 1, self._text, max(1, len(self._text))),
                )
            known = self._known[key] = Expression(kind, parts, len(self._known))
            known.nullable = _nullable(known)
        return known

    def characters(self, ranges: Iterable[tuple[int, int]]) -> Expression:
        merged = _merged(ranges)
        return self._make("set", merged) if merged else self.nothing

    def character(self, code: int) -> Expression:
        return self.characters(_cases(code) if self._any_case else [(code, code)])

    def single(self, code: int) -> Ranges:
        """A character of a class, in all its cases where case is folded; ranges never are."""
        return _merged(_cases(code)) if self._any_case else ((code, code),)

    def sequence(self, first: Expression, second: Expression) -> Expression:
        if self.nothing in (first, second):
            return self.nothing
        if first is self.empty:
            return second
        if second is self.empty:
            return first
        if first.kind == "sequence":
            head, tail = first.parts
            return self.sequence(_as(head), self.sequence(_as(tail), second))
        return self._make("sequence", first, second)

    def union(self, *items: Expression) -> Expression:
        flat = self._flat("union", items, without=self.nothing)
        if self.anything in flat:
            return self.anything
        return self._one_of("union", flat, self.nothing)

    def intersection(self, *items: Expression) -> Expression:
        flat = self._flat("intersection", items, without=self.anything)
        if self.nothing in flat:
            return self.nothing
        return self._one_of("intersection", flat, self.anything)

    def _flat(
        self, kind: str, items: Iterable[Expression], *, without: Expression
    ) -> list[Expression]:
        found: dict[int, Expression] = {}
        for item in items:
            inner = [_as(part) for part in item.parts] if item.kind == kind else [item]
            found |= {part.number: part for part in inner if part is not without}
        return [found[number] for number in sorted(found)]

    def _one_of(self, kind: str, items: list[Expression], none: Expression) -> Expression:
        if not items:
            return none
        return items[0] if len(items) == 1 else self._make(kind, *items)

    def complement(self, item: Expression) -> Expression:
        if item.kind == "complement":
            return _as(item.parts[0])
        if item is self.nothing:
            return self.anything
        if item is self.anything:
            return self.nothing
        return self._make("complement", item)

    def repeat(self, item: Expression, least: int, most: int | None) -> Expression:
        if most == 0 or item is self.empty:
            return self.empty
        if item is self.nothing:
            return self.empty if least == 0 else self.nothing
        if (least, most) == (1, 1):
            return item
        if item.kind == "repeat" and item.parts[1:] == (0, None) and least <= 1:
            return item
        return self._make("repeat", item, least, most)

    def derive(self, state: Expression, code: int) -> Expression:
        """What is left of `state` after the character `code`."""
        parts = state.parts
        match state.kind:
            case "set":
                return self.empty if _within(code, parts[0]) else self.nothing
            case "sequence":
                first, second = _as(parts[0]), _as(parts[1])
                after = self.sequence(self._after(first, code), second)
                return self.union(after, self._after(second, code)) if first.nullable else after
            case "union":
                return self.union(*(self._after(_as(part), code) for part in parts))
            case "intersection":
                return self.intersection(*(self._after(_as(part), code) for part in parts))
            case "complement":
                return self.complement(self._after(_as(parts[0]), code))
            case "repeat":
                item, least, most = parts
                fewer = self.repeat(_as(item), max(0, least - 1), most and most - 1)  # type: ignore[operator, arg-type]
                return self.sequence(self._after(_as(item), code), fewer)
        return self.nothing

    def _after(self, state: Expression, code: int) -> Expression:
        known = state.after.get(code)
        if known is None:
            known = state.after[code] = self.derive(state, code)
        return known


class Reader:
    """The text of a pattern, read by recursive descent: union, intersection, repetition, atom."""

    DEPTH = 100

    def __init__(self, text: str, forge: Forge) -> None:
        self._text = text
        self._forge = forge
        self._at = 0
        self._depth = 0

    def read(self) -> Expression:
        found = self._union() if self._text else self._forge.blank
        if self._at < len(self._text):
            raise self._error(f"unexpected `{self._text[self._at]}`")
        return found

    def _union(self) -> Expression:
        self._depth += 1
        if self._depth > self.DEPTH:
            raise self._error("regular expression is nested too deeply")
        items = [self._intersection()]
        while self._take("|"):
            items.append(self._intersection())
        self._depth -= 1
        return self._forge.union(*items)

    def _intersection(self) -> Expression:
        items = [self._sequence()]
        while self._take("&"):
            items.append(self._sequence())
        return self._forge.intersection(*items) if len(items) > 1 else items[0]

    def _sequence(self) -> Expression:
        items = [self._repetition()]
        while self._at < len(self._text) and self._text[self._at] not in ")|&":
            items.append(self._repetition())
        found = items.pop()
        while items:
            found = self._forge.sequence(items.pop(), found)
        return found

    def _repetition(self) -> Expression:
        found = self._complement()
        while self._at < len(self._text) and self._text[self._at] in "?*+{":
            if self._take("?"):
                found = self._forge.union(found, self._forge.empty)
            elif self._take("*"):
                found = self._forge.repeat(found, 0, None)
            elif self._take("+"):
                found = self._forge.sequence(found, self._forge.repeat(found, 0, None))
            else:
                found = self._counted(found)
        return found

    def _counted(self, item: Expression) -> Expression:
        self._at += 1
        least = self._number()
        most: int | None = least
        if self._take(","):
            most = None if self._peek("}") else self._number()
        if not self._take("}"):
            raise self._error("expected `}`")
        if most is not None and most < least:
            raise self._error(f"{{{least},{most}}} is out of order")
        return self._forge.repeat(item, least, most)

    def _complement(self) -> Expression:
        if self._take("~"):
            self._depth += 1
            if self._depth > self.DEPTH:
                raise self._error("regular expression is nested too deeply")
            found = self._forge.complement(self._complement())
            self._depth -= 1
            return found
        return self._atom()

    def _atom(self) -> Expression:
        if self._at >= len(self._text):
            raise self._error("unexpected end of regular expression")
        character = self._text[self._at]
        self._at += 1
        special: dict[str, Callable[[], Expression]] = {
            "[": self._class,
            "(": self._group,
            '"': self._quoted,
            "<": self._interval,
            "\\": self._escaped,
            ".": lambda: self._forge.any_character,
            "#": lambda: self._forge.nothing,
            "@": lambda: self._forge.anything,
        }
        read = special.get(character)
        return read() if read else self._forge.character(ord(character))

    def _group(self) -> Expression:
        if self._take(")"):
            return self._forge.blank
        found = self._union()
        if not self._take(")"):
            raise self._error("expected `)`")
        return found

    def _quoted(self) -> Expression:
        end = self._text.find('"', self._at)
        if end < 0:
            raise self._error('expected `"`')
        quoted, self._at = self._text[self._at : end], end + 1
        found = self._forge.empty if quoted else self._forge.blank
        for character in reversed(quoted):
            found = self._forge.sequence(self._forge.character(ord(character)), found)
        return found

    def _escaped(self) -> Expression:
        if self._at >= len(self._text):
            raise self._error("nothing follows the backslash")
        named = CLASSES.get(self._text[self._at])
        if named is not None:
            self._at += 1
            return self._forge.characters(named)
        return self._forge.character(self._escapable())

    def _class(self) -> Expression:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        while True:
            ranges += self._class_item()
            if self._at >= len(self._text):
                raise self._error("expected `]`")
            if self._take("]"):
                break
        merged = _merged(ranges)
        return self._forge.characters(_inverted(merged) if negated else merged)

    def _class_item(self) -> Ranges:
        if self._peek("\\") and self._text[self._at + 1 : self._at + 2] in CLASSES:
            self._at += 2
            return CLASSES[self._text[self._at - 1]]
        low = self._class_code()
        if not self._take("-"):
            return self._forge.single(low)
        high = self._class_code()
        if high < low:
            raise self._error("the range is out of order")
        return ((low, high),)

    def _class_code(self) -> int:
        return self._escapable() if self._take("\\") else self._code()

    def _escapable(self) -> int:
        """Any character but a letter: those are kept for classes of characters to come."""
        code = self._code()
        if chr(code).isascii() and chr(code).isalpha():
            self._at -= 1
            raise self._error(f"`\\{chr(code)}` is no class of characters")
        return code

    def _interval(self) -> Expression:
        end = self._text.find(">", self._at)
        if end < 0:
            raise self._error("expected `>`")
        body = self._text[self._at : end]
        low, dash, high = body.partition("-")
        if not dash or not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit()):
            raise self._error(f"`<{body}>` is no interval of numbers")
        self._at = end + 1
        first, last = sorted((int(low), int(high)))
        width = len(low) if len(low) == len(high) else 0
        return _numbers(self._forge, first, last, width)

    def _code(self) -> int:
        if self._at >= len(self._text):
            raise self._error("unexpected end of regular expression")
        self._at += 1
        return ord(self._text[self._at - 1])

    def _number(self) -> int:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in "0123456789":
            self._at += 1
        if start == self._at:
            raise self._error("expected a number")
        number = int(self._text[start : self._at][:9])
        if number > STATES:
            raise self._error(f"more than {STATES:,} repetitions")
        return number

    def _take(self, character: str) -> bool:
        if self._peek(character):
            self._at += 1
            return True
        return False

    def _peek(self, character: str) -> bool:
        return self._text.startswith(character, self._at)

    def _error(self, message: str) -> LanguageError:
        at = min(self._at, max(0, len(self._text) - 1))
        return LanguageError(
            f"{message} in a regular expression" if "regular" not in message else message,
            hint="a backslash before an operator makes it an ordinary character",
            place=Place(1, at + 1, self._text),
        )


def _as(part: object) -> Expression:
    assert isinstance(part, Expression)  # noqa: S101 - parts are objects for the table's sake
    return part


def _nullable(state: Expression) -> bool:
    parts = state.parts
    match state.kind:
        case "empty":
            return True
        case "sequence" | "intersection":
            return all(_as(part).nullable for part in parts)
        case "union":
            return any(_as(part).nullable for part in parts)
        case "complement":
            return not _as(parts[0]).nullable
        case "repeat":
            return parts[1] == 0 or _as(parts[0]).nullable
    return False


def _within(code: int, ranges: object) -> bool:
    return any(low <= code <= high for low, high in ranges)  # type: ignore[attr-defined]


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _inverted(ranges: Ranges) -> Ranges:
    edges = [(-1, -1), *ranges, (LAST + 1, LAST + 1)]
    return tuple((a[1] + 1, b[0] - 1) for a, b in pairwise(edges) if a[1] + 1 <= b[0] - 1)


def _cases(code: int) -> Ranges:
    """The character in all its cases, beyond ASCII as well: Lucene 10 folds `s` with `\u017f`."""
    return _folded().get(code, ((code, code),))


@cache
def _folded() -> dict[int, Ranges]:
    """Character to those that differ from it in case alone, for all that have such."""
    groups: dict[str, set[int]] = {}
    for code in range(0x1E944):
        character = chr(code)
        if character.lower() != character or character.upper() != character:
            groups.setdefault(_one_case(character), set()).add(code)
    return {
        code: tuple((other, other) for other in sorted(group))
        for group in groups.values()
        for code in group
    }


def _one_case(character: str) -> str:
    """Upper case, then lower: what maps one character to one."""
    upper = character.upper()
    lower = upper.lower() if len(upper) == 1 else character.lower()
    return lower if len(lower) == 1 else character


def _class_of(*pairs: str) -> Ranges:
    return _merged((ord(pair[0]), ord(pair[-1])) for pair in pairs)


_SPACE = _class_of(" ", "\t", "\n", "\r")
_WORD = _class_of("az", "AZ", "09", "_")
_DIGIT = _class_of("09")

CLASSES: dict[str, Ranges] = {
    "s": _SPACE,
    "S": _inverted(_SPACE),
    "w": _WORD,
    "W": _inverted(_WORD),
    "d": _DIGIT,
    "D": _inverted(_DIGIT),
}


def _numbers(forge: Forge, first: int, last: int, width: int) -> Expression:
    """Decimal numbers from `first` to `last`: of `width` digits, or with any leading zeros."""
    longest = len(str(last))
    low, high = str(first).zfill(width or longest), str(last).zfill(width or longest)
    fixed = _between(forge, low, high)
    if width:
        return fixed
    zeros = forge.repeat(forge.character(ord("0")), 0, None)
    shorter = [
        _between(forge, max(str(first), "1" + "0" * (n - 1)).zfill(n), "9" * n)
        for n in range(len(str(first)), longest)
    ]
    start = "1" + "0" * (longest - 1) if len(str(first)) < longest else str(first)
    exact = _between(forge, start, str(last))
    zero = [forge.character(ord("0"))] if first == 0 else []
    return forge.sequence(zeros, forge.union(exact, *shorter, *zero))


def _between(forge: Forge, low: str, high: str) -> Expression:
    """Digit strings as long as `low` and `high` that lie between them."""
    if not low:
        return forge.empty
    if low[0] == high[0]:
        rest = _between(forge, low[1:], high[1:])
        return forge.sequence(forge.character(ord(low[0])), rest)
    tail = len(low) - 1
    items = [
        forge.sequence(forge.character(ord(low[0])), _between(forge, low[1:], "9" * tail)),
        forge.sequence(forge.character(ord(high[0])), _between(forge, "0" * tail, high[1:])),
    ]
    if ord(low[0]) + 1 < ord(high[0]):
        middle = forge.characters([(ord(low[0]) + 1, ord(high[0]) - 1)])
        digits = forge.repeat(forge.characters(_DIGIT), tail, tail)
        items.append(forge.sequence(middle, digits))
    return forge.union(*items)
