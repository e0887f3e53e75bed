"""Regular expressions as an algebra: parts in, and what is left of them after a character out.

After a character, what is left to match of an expression is an expression again, its derivative
(Brzozowski, Derivatives of Regular Expressions, 1964). Equal expressions are one object, so that
they are the states of an automaton that grows only where a text leads. Intersection and complement
come at no price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, assert_never

from detector.language import codepoints
from detector.language.codepoints import Ranges

BUDGET = 500_000
"""What an automaton may spend: one for each part of each state and of each derivative."""


class TooComplex(Exception):  # noqa: N818 - the reader gives it a text and a place
    """An automaton has spent its budget."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Part:
    """`depth` counts how far a derivative recurses; `after` holds the derivatives found so far."""

    nullable: bool
    depth: int = 0
    after: dict[int, Expression] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Nothing(_Part):
    """No text at all, not even the empty one."""


@dataclass(frozen=True, slots=True, eq=False)
class Empty(_Part):
    """The empty text."""


@dataclass(frozen=True, slots=True, eq=False)
class OneOf(_Part):
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(_Part):
    """`first` and then `rest`; `first` is no sequence itself."""

    first: Expression
    rest: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Union(_Part):
    """What any of the items fits."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Intersection(_Part):
    """What all of the items fit."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Complement(_Part):
    """What the item does not fit."""

    item: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Repeat(_Part):
    """The item `least` to `most` times; None is without end."""

    item: Expression
    least: int
    most: int | None


Expression: TypeAlias = (
    Nothing | Empty | OneOf | Sequence | Union | Intersection | Complement | Repeat
)
_Made = TypeVar("_Made", bound=Expression)


class Algebra:
    """Makes expressions, simplified and each only once, and their derivatives.

    Raises TooComplex from every method when BUDGET is spent.
    """

    def __init__(self) -> None:
        self._spent = 0
        self._known: dict[Hashable, Expression] = {}
        self._edges = {0}
        self._starts: list[int] = [0]
        self.nothing = Nothing(nullable=False)
        self.empty = Empty(nullable=True)
        self.any_character = self.one_of(((0, codepoints.LAST),))
        self.anything = self.repeat(self.any_character, 0, None)

    def one_of(self, ranges: Ranges) -> Expression:
        if not ranges:
            return self.nothing
        self._edges.update(edge for low, high in ranges for edge in (low, high + 1))
        return self._once((OneOf, ranges), lambda: OneOf(ranges, nullable=False))

    def text(self, characters: Iterable[Ranges]) -> Expression:
        """One character of each set, in order."""
        return self.sequence(*(self.one_of(ranges) for ranges in characters))

    def sequence(self, *items: Expression) -> Expression:
        """All items, one after the other."""
        if not items:
            return self.empty
        *before, rest = items
        for item in reversed(before):
            for one in reversed(_unfolded(item)):
                rest = self._before(one, rest)
        return rest

    def _before(self, first: Expression, rest: Expression) -> Expression:
        if first is self.nothing or rest is self.nothing:
            return self.nothing
        if first is self.empty:
            return rest
        if rest is self.empty:
            return first
        if _endless(first) and first is (rest.first if isinstance(rest, Sequence) else rest):
            return rest
        return self._once(
            (Sequence, id(first), id(rest)),
            lambda: Sequence(
                first,
                rest,
                nullable=first.nullable and rest.nullable,
                depth=max(first.depth + 1, rest.depth),
            ),
        )

    def union(self, items: Iterable[Expression]) -> Expression:
        found: dict[Expression, None] = {}
        ranges: list[tuple[int, int]] = []
        for item in items:
            for one in item.items if isinstance(item, Union) else (item,):
                if isinstance(one, OneOf):
                    ranges += one.ranges
                elif one is not self.nothing:
                    found[one] = None
        if ranges:
            found[self.one_of(codepoints.merged(ranges))] = None
        if self.anything in found:
            return self.anything
        if self.empty in found and any(one.nullable for one in found if one is not self.empty):
            del found[self.empty]
        return self._joined(Union, tuple(found), self.nothing, any)

    def intersection(self, items: Iterable[Expression]) -> Expression:
        found: dict[Expression, None] = {}
        for item in items:
            found |= dict.fromkeys(item.items if isinstance(item, Intersection) else (item,))
        found.pop(self.anything, None)
        if self.nothing in found:
            return self.nothing
        return self._joined(Intersection, tuple(found), self.anything, all)

    def _joined(
        self,
        kind: type[Union | Intersection],
        items: tuple[Expression, ...],
        none: Expression,
        nullable: Callable[[Iterable[bool]], bool],
    ) -> Expression:
        if len(items) < 2:
            return items[0] if items else none
        return self._once(
            (kind, frozenset(map(id, items))),
            lambda: kind(
                items,
                nullable=nullable(one.nullable for one in items),
                depth=1 + max(one.depth for one in items),
            ),
            cost=len(items),
        )

    def complement(self, item: Expression) -> Expression:
        if isinstance(item, Complement):
            return item.item
        if item is self.nothing:
            return self.anything
        if item is self.anything:
            return self.nothing
        return self._once(
            (Complement, id(item)),
            lambda: Complement(item, nullable=not item.nullable, depth=item.depth + 1),
        )

    def repeat(self, item: Expression, least: int, most: int | None) -> Expression:
        if most == 0:
            return self.empty
        if item.nullable:
            least = 0
        if isinstance(item, Union) and self.empty in item.items:
            item = self.union(one for one in item.items if one is not self.empty)
        if (least, most) == (1, 1) or item is self.empty or (_endless(item) and least < 2):
            return item
        if item is self.nothing:
            return self.nothing if least else self.empty
        return self._once(
            (Repeat, id(item), least, most),
            lambda: Repeat(item, least, most, nullable=least == 0, depth=item.depth + 1),
        )

    def _once(self, key: Hashable, make: Callable[[], _Made], cost: int = 1) -> Expression:
        known = self._known.get(key)
        if known is None:
            self._spend(cost)
            known = self._known[key] = make()
        return known

    def _spend(self, cost: int) -> None:
        self._spent += cost
        if self._spent > BUDGET:
            raise TooComplex

    def settle(self) -> None:
        """Fix the alphabet: to be called after the last set is made, and before `symbol`."""
        self._starts = sorted(self._edges)

    def symbol(self, character: str) -> int:
        """The first of the code points that no set in any expression tells from `character`."""
        return self._starts[bisect_right(self._starts, ord(character)) - 1]

    def after(self, state: Expression, symbol: int) -> Expression:
        """What is left of `state` after a character, given as its `symbol`."""
        known = state.after.get(symbol)
        if known is None:
            known = state.after[symbol] = self._derived(state, symbol)
        return known

    def fits_nothing(self, item: Expression) -> bool:
        """Whether no text leads from `item` to a nullable state: tried, text by text."""
        self.settle()
        states = [item]
        found = set(states)
        for state in states:  # grows as it is walked
            if state.nullable:
                return False
            following = {self.after(state, symbol) for symbol in self._starts} - found
            states += following
            found |= following
        return True

    def _derived(self, state: Expression, symbol: int) -> Expression:
        self._spend(1)
        match state:
            case Nothing() | Empty():
                return self.nothing
            case OneOf(ranges=ranges):
                return self.empty if codepoints.contains(ranges, symbol) else self.nothing
            case Sequence():
                return self._after_any((state,), symbol)
            case Union(items=items):
                return self._after_any(items, symbol)
            case Intersection(items=items):
                self._spend(len(items))
                return self.intersection([self.after(one, symbol) for one in items])
            case Complement(item=item):
                return self.complement(self.after(item, symbol))
            case Repeat(item=item, least=least, most=most):
                # Of a nullable item the first may as well be the one that takes the character.
                fewer = self.repeat(item, max(0, least - 1), None if most is None else most - 1)
                return self.sequence(self.after(item, symbol), fewer)
            case _:
                assert_never(state)

    def _after_any(self, items: Iterable[Expression], symbol: int) -> Expression:
        """The derivative of a union.

        A sequence is followed as far as its parts are nullable, in a loop, because it is as long
        as its pattern; and only to where another has been, because `a?a?a?...` would take cubic
        time otherwise.
        """
        found: list[Expression] = []
        seen: set[Expression] = set()
        for item in items:
            left = item
            while left not in seen:
                seen.add(left)
                if not isinstance(left, Sequence):
                    found.append(self.after(left, symbol))
                    break
                found.append(self.sequence(self.after(left.first, symbol), left.rest))
                if not left.first.nullable:
                    break
                left = left.rest
        self._spend(len(seen))
        return self.union(found)


def _unfolded(item: Expression) -> list[Expression]:
    items = []
    while isinstance(item, Sequence):
        items.append(item.first)
        item = item.rest
    return [*items, item]


def _endless(item: Expression) -> bool:
    return isinstance(item, Repeat) and item.least == 0 and item.most is None
