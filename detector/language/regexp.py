r"""Lucene's regular expressions: a pattern in, a matcher of whole values out, linear in the value.

The syntax is that of `org.apache.lucene.util.automaton.RegExp` with every operator on, which is
what Elasticsearch's `regexp` query understands under `flags: ALL`:
https://www.elastic.co/docs/reference/query-languages/query-dsl/regexp-syntax
Where that page is silent, the meaning is what a node of 9.1.0 (Lucene 10.2) answered:

- `~` is an operator under ALL and binds closer than `*`: `~ab` is `(~a)b`, `~a*` is `(~a)*`;
- `&` binds closer than `|`; where an operand must come, an operator is itself: `*a`, `|a`, `{2}`;
- a backslash before an ASCII letter is an error but in `\d \D \s \S \w \W` (all ASCII only);
- `^` and `$` are ordinary; `[^a]` and `.` take any code point, line ends included;
- without regard to case, letters fold as Unicode has it (`k` is the Kelvin sign too), in sets as
  well and before `^` inverts them; ranges and `\w` do not fold: `[a-c]` is not `B`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn, TypeAlias

from detector.errors import LanguageError, Place
from detector.language import codepoints
from detector.language.codepoints import Ranges
from detector.language.derivatives import Algebra, Expression, TooComplex

DEPTH = 64
"""Parentheses and operators inside one another. Some hundreds overflow a node's stack."""
REPETITIONS = 100_000

_RESERVED = frozenset('|&?*+{}~[].#@"()<>\\')
_SPACE = codepoints.of(" ", "\t", "\n", "\r")
_WORD = codepoints.of("az", "AZ", "09", "_")
_DIGIT = codepoints.of("09")
_CLASSES = {
    "s": _SPACE,
    "S": codepoints.inverted(_SPACE),
    "w": _WORD,
    "W": codepoints.inverted(_WORD),
    "d": _DIGIT,
    "D": codepoints.inverted(_DIGIT),
}
_INTERVAL = re.compile(r"(\+?\d+)-(\+?\d+)")
_INTEGER = 2**31 - 1  # Java's
_DIGITS = 1_000  # as long as a pattern may be on a node


class Pattern:
    """A compiled pattern; `matches` is its one question. May be shared between threads."""

    __slots__ = ("_any_case", "_machine", "text")

    def __init__(self, text: str, *, any_case: bool) -> None:
        self.text = text
        self._any_case = any_case
        self._machine = _Machine(text, any_case=any_case)

    def matches(self, value: str) -> bool:
        """Whether the whole of `value` matches.

        Raises LanguageError when this one value, alone, leads to more states than are kept. The
        node refuses such a pattern for every value (`too_complex_to_determinize_exception`).
        """
        try:
            return self._machine.accepts(value)
        except TooComplex:  # by what earlier values have left as well: once more, without that
            self._machine = _Machine(self.text, any_case=self._any_case)
        try:
            return self._machine.accepts(value)
        except TooComplex:
            raise _too_complex(self.text) from None


@lru_cache(maxsize=1024)
def compile(pattern: str, *, any_case: bool = False) -> Pattern:  # noqa: A001 - as in `re`
    """Read a pattern; `any_case` is the query's `case_insensitive: true`.

    Raises LanguageError with the place inside the pattern.
    """
    return Pattern(pattern, any_case=any_case)


def quoted(text: str) -> str:
    """`text` as a pattern that matches nothing else."""
    return "".join(f"\\{char}" if char in _RESERVED else char for char in text)


def is_literal(pattern: str) -> bool:
    """Whether a pattern has no operator, so that it matches its own text alone."""
    return _RESERVED.isdisjoint(pattern)


class _Machine:
    """An algebra, where it starts, and the symbols of ASCII, which most values are made of."""

    __slots__ = ("_algebra", "_start", "_symbols")

    def __init__(self, text: str, *, any_case: bool) -> None:
        self._algebra = Algebra()
        try:
            self._start = _Reader(text, self._algebra, any_case=any_case).read()
        except TooComplex:
            raise _too_complex(text) from None
        self._algebra.settle()
        self._symbols = {chr(code): self._algebra.symbol(chr(code)) for code in range(128)}

    def accepts(self, value: str) -> bool:
        state, symbols, algebra = self._start, self._symbols, self._algebra
        nothing, anything = algebra.nothing, algebra.anything
        for character in value:
            symbol = symbols.get(character)
            if symbol is None:
                symbol = algebra.symbol(character)
            state = state.after.get(symbol) or algebra.after(state, symbol)
            if state is nothing or state is anything:
                break
        return state.nullable


def _too_complex(text: str) -> LanguageError:
    return LanguageError(
        "regular expression is too complex",
        hint="make its repetitions smaller, or fewer inside one another",
        place=Place(1, 1, text, max(1, len(text))),
    )


# Text stays text until it is known what stands beside it: see `_Reader._expression`.
_Piece: TypeAlias = str | Expression


@dataclass(slots=True)
class _Group:
    """What has been read since a parenthesis opened, from the loosest operator to the tightest."""

    complemented: int = 0
    either: list[Expression] = field(default_factory=list)
    both: list[Expression] = field(default_factory=list)
    then: list[_Piece] = field(default_factory=list)


class _Reader:
    """One pass over a pattern, without recursion: open groups wait on a stack."""

    def __init__(self, text: str, algebra: Algebra, *, any_case: bool) -> None:
        self._text = text
        self._algebra = algebra
        self._any_case = any_case
        # Only `&` and `~` make an expression that fits nothing and does not show it.
        self._hides_nothing = not {"&", "~"}.isdisjoint(text)
        self._at = 0
        self._groups = [_Group()]

    def read(self) -> Expression:
        if not self._text:
            return self._expression("")
        while not self._ended():
            self._operand()
            while self._take(")"):
                self._close()
            self._operator()
        if len(self._groups) > 1:
            self._fail("expected `)`")
        return self._shallow(self._expression(self._closed(self._groups.pop())))

    def _shallow(self, item: Expression) -> Expression:
        if item.depth > DEPTH:
            self._fail("regular expression is nested too deeply", at=0)
        return item

    def _operand(self) -> None:
        complemented = self._complements()
        while self._peek("(") and not self._peek("()"):
            if len(self._groups) > DEPTH:
                self._fail("regular expression is nested too deeply")
            self._at += 1
            self._groups.append(_Group(complemented))
            complemented = self._complements()
        self._add(self._atom(), complemented)

    def _complements(self) -> int:
        start = self._at
        while self._take("~"):
            pass
        return self._at - start

    def _operator(self) -> None:
        group = self._groups[-1]
        if self._take("|"):
            group.either.append(self._all_of(group))
        elif self._take("&"):
            group.both.append(self._sequence(group))
        else:
            return
        if self._ended():
            self._fail("unexpected end of the regular expression")

    def _close(self) -> None:
        if len(self._groups) == 1:
            self._fail("no parenthesis is open here", at=self._at - 1)
        group = self._groups.pop()
        self._add(self._closed(group), group.complemented)

    def _closed(self, group: _Group) -> _Piece:
        if not group.either and not group.both and len(group.then) == 1:
            return group.then[0]
        return self._algebra.union([*group.either, self._all_of(group)])

    def _all_of(self, group: _Group) -> Expression:
        found = self._algebra.intersection([*group.both, self._sequence(group)])
        group.both = []
        return found

    def _sequence(self, group: _Group) -> Expression:
        found = self._algebra.sequence(*map(self._expression, group.then))
        group.then = []
        return found

    def _add(self, piece: _Piece, complemented: int) -> None:
        if complemented % 2:
            piece = self._algebra.complement(self._expression(piece))
        elif complemented:
            piece = self._expression(piece)
        then = self._groups[-1].then
        piece = self._repeated(piece)
        if isinstance(piece, str) and then and isinstance(then[-1], str):
            then[-1] += piece
        else:
            then.append(piece)

    def _expression(self, piece: _Piece) -> Expression:
        if not isinstance(piece, str):
            return piece
        if not piece and self._any_case:
            # Lucene joins text that stands side by side first. Empty text that is left alone it
            # makes, without regard to case, of no characters: that fits nothing, not even itself.
            return self._algebra.nothing
        return self._algebra.text(map(self._cases, piece))

    def _cases(self, character: str) -> Ranges:
        return codepoints.cases(character) if self._any_case else codepoints.of(character)

    def _repeated(self, piece: _Piece) -> _Piece:
        algebra = self._algebra
        while not self._ended() and self._text[self._at] in "?*+{":
            item = self._expression(piece)
            if self._take("?"):
                piece = algebra.union([item, algebra.empty])
            elif self._take("*"):
                piece = self._endless(item, 0)
            elif self._take("+"):
                piece = self._endless(item, 1)
            else:
                piece = self._counted(item)
        return piece

    def _counted(self, item: Expression) -> Expression:
        opened = self._at
        self._at += 1
        least = self._number()
        most: int | None = least
        if self._take(","):
            most = None if self._peek("}") else self._number()
        if not self._take("}"):
            self._fail("expected `}`")
        if most is not None and most < least:
            self._fail(f"`{self._text[opened : self._at]}` is out of order", at=opened)
        return (
            self._endless(item, least) if most is None else self._algebra.repeat(item, least, most)
        )

    def _endless(self, item: Expression, least: int) -> Expression:
        """`least` times or more, but of what fits nothing Lucene makes nothing: `#*` is `#`."""
        void = item is self._algebra.nothing
        if not void and self._hides_nothing:
            void = self._algebra.fits_nothing(self._shallow(item))
        return self._algebra.nothing if void else self._algebra.repeat(item, least, None)

    def _number(self) -> int:
        start = self._at
        while not self._ended() and self._text[self._at] in "0123456789":
            self._at += 1
        if start == self._at:
            self._fail("expected a number")
        digits = self._text[start : self._at].lstrip("0") or "0"
        if len(digits) > len(str(REPETITIONS)) or int(digits) > REPETITIONS:
            self._fail(f"more than {REPETITIONS:,} repetitions", at=start)
        return int(digits)

    def _atom(self) -> _Piece:
        match self._next():
            case "[":
                return self._set()
            case "(":  # and nothing in it: the others are opened in `_operand`
                self._at += 1
                return ""
            case '"':
                return self._until('"')
            case "<":
                return self._interval()
            case "\\":
                named = self._named()
                return self._algebra.one_of(named) if named else self._escaped()
            case ".":
                return self._algebra.any_character
            case "#":
                return self._algebra.nothing
            case "@":
                return self._algebra.anything
            case character:
                return character

    def _set(self) -> Expression:
        opened = self._at - 1
        negated = self._take("^")
        ranges = self._member()
        while not self._take("]"):
            if self._ended():
                self._fail("this `[` has no `]`", at=opened)
            ranges += self._member()
        found = codepoints.merged(ranges)
        return self._algebra.one_of(codepoints.inverted(found) if negated else found)

    def _member(self) -> Ranges:
        if self._take("\\"):  # escaped, it never opens a range: `[\+-9]` is `+`, `-` and `9`
            return self._named() or self._cases(self._escaped())
        low = self._next()
        if not self._take("-"):
            return self._cases(low)
        self._take("\\")  # here a letter after a backslash is itself, unlike everywhere else
        high = self._next()
        if high < low:
            self._fail(f"`{low}-{high}` is out of order", at=self._at - 3)
        return ((ord(low), ord(high)),)

    def _named(self) -> Ranges | None:
        named = None if self._ended() else _CLASSES.get(self._text[self._at])
        self._at += named is not None
        return named

    def _escaped(self) -> str:
        character = self._next()
        if character.isascii() and character.isalpha():
            self._fail(f"`\\{character}` has no meaning", at=self._at - 2)
        return character

    def _interval(self) -> Expression:
        opened = self._at - 1
        body = self._until(">")
        found = _INTERVAL.fullmatch(body)
        if found is None:
            self._fail("no interval of numbers: expected `<1-9>`", at=opened)
        low, high = found.groups()
        if max(len(low), len(high)) > _DIGITS or max(int(low), int(high)) > _INTEGER:
            self._fail(f"a number above {_INTEGER:,}", at=opened)
        first, last = sorted((int(low), int(high)))
        if len(low) == len(high):
            return self._between(str(first).zfill(len(low)), str(last).zfill(len(low)))
        return self._numbers(first, last)

    def _numbers(self, first: int, last: int) -> Expression:
        """Decimal numbers from `first` to `last`, with any zeros before them."""
        zeros = self._algebra.repeat(self._digits("0", "0"), 0, None)
        starts = [first, *(10**size for size in range(len(str(first)), len(str(last))))]
        ends = [start - 1 for start in starts[1:]] + [last]
        numbers = (
            self._between(str(a), str(b)) for a, b in zip(starts, ends, strict=True) if a <= b
        )
        return self._algebra.sequence(zeros, self._algebra.union(numbers))

    def _between(self, low: str, high: str) -> Expression:
        """Texts of digits, as long as `low` and `high`, that lie between the two."""
        if not low:
            return self._algebra.empty
        if low.strip("0") == "" and high.strip("9") == "":
            return self._algebra.repeat(self._digits("0", "9"), len(low), len(low))
        sequence, rest = self._algebra.sequence, len(low) - 1
        if low[0] == high[0]:
            return sequence(self._digits(low[0], low[0]), self._between(low[1:], high[1:]))
        items = [
            sequence(self._digits(low[0], low[0]), self._between(low[1:], "9" * rest)),
            sequence(self._digits(high[0], high[0]), self._between("0" * rest, high[1:])),
        ]
        after, before = chr(ord(low[0]) + 1), chr(ord(high[0]) - 1)
        if after <= before:
            any_rest = self._between("0" * rest, "9" * rest)
            items.append(sequence(self._digits(after, before), any_rest))
        return self._algebra.union(items)

    def _digits(self, low: str, high: str) -> Expression:
        return self._algebra.one_of(codepoints.of(low + high))

    def _until(self, end: str) -> str:
        start, found = self._at, self._text.find(end, self._at)
        if found < 0:
            self._fail(f"expected another `{end}`", at=start - 1)
        self._at = found + 1
        return self._text[start:found]

    def _next(self) -> str:
        if self._ended():
            self._fail("unexpected end of the regular expression")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, character: str) -> bool:
        if self._peek(character):
            self._at += 1
            return True
        return False

    def _peek(self, characters: str) -> bool:
        return self._text.startswith(characters, self._at)

    def _ended(self) -> bool:
        return self._at >= len(self._text)

    def _fail(self, message: str, *, at: int | None = None) -> NoReturn:
        raise LanguageError(
            message,
            hint="a backslash before an operator makes it an ordinary character",
            place=Place(1, (self._at if at is None else at) + 1, self._text),
        )
