"""A condition -> the little of it that most events fail already, as SQL over a few fields' JSON.

Law: an event that satisfies the condition passes its gate. Where a key is spelled oddly nothing is
said, and whoever asks lets such events pass. Values are compared as JSON spells them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from detector.language import pattern, saying, tree
from detector.language.columns import Column, quoted
from detector.language.dsl import MOST_VALUES
from detector.language.fields import ECS, FieldTypes, Kind
from detector.language.saying import stands_for_several
from detector.language.tree import Node
from detector.language.values import parent_of

Rate: TypeAlias = Callable[[Node], float]
"""The share of events (0 to 1) that satisfy a leaf, as a sample has them."""

SHARED = 0.02
"""A field that all conditions name is worth passing so many more events."""

_OF_NUMBERS = frozenset("0123456789+-.einfa")
"""What the spelling of a number is made of, `inf` and `nan` included."""
_TEXTS = frozenset({Kind.STRING, Kind.TEXT, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Gate:
    """SQL that is true where an event may satisfy a condition, and about how many do."""

    text: str
    fields: frozenset[str]
    cost: float


@dataclass(frozen=True, slots=True)
class Gates:
    """What makes gates for conditions that are asked together: they cost less on shared fields."""

    rate: Rate
    shares: Mapping[str, float]
    types: FieldTypes = ECS

    def of(self, node: Node) -> Gate | None:
        """The gate that the fewest events pass; None where all may satisfy the condition."""
        match node:
            case tree.And(items):
                some = [gate for gate in map(self.of, items) if gate]
                return min(some, key=lambda gate: (gate.cost, gate.text), default=None)
            case tree.Or(items):
                return self._either(items)
            case tree.Sent(meaning=meaning):
                return None if meaning is None else self.of(meaning)
            case tree.Nothing():
                return Gate("false", frozenset(), 0.0)
            case tree.Not() | tree.Nested() | tree.Everything() | tree.Holds():
                return None
            case _:
                return self._leaf(node)

    def _either(self, items: Iterable[Node]) -> Gate | None:
        each = [self.of(item) for item in items]
        known = [gate for gate in each if gate]
        if len(known) < len(each):
            return None
        texts = dict.fromkeys(gate.text for gate in known)
        named = frozenset(name for gate in known for name in gate.fields)
        return Gate(f"({' or '.join(texts)})", named, sum(gate.cost for gate in known))

    def _leaf(self, leaf: tree.FieldLeaf) -> Gate | None:
        if stands_for_several(leaf.field) or parent_of(leaf.field, self.types):
            return None
        column = Column(leaf.field, self.types)
        if isinstance(leaf, tree.Says) and column.kind is not Kind.TEXT:
            return self.of(saying.exact(leaf))
        try:
            text = _said(leaf, column)
        except UnicodeEncodeError:  # half of a surrogate pair
            text = None
        rate = self.rate(leaf if text else tree.Exists(leaf.field))
        cost = rate + SHARED * (1 - self.shares.get(leaf.field, 0.0))
        return Gate(text or column.there, frozenset({leaf.field}), cost)


def lowered(column: Column) -> str:
    """The column in which a field's JSON stands in lower case."""
    return column.folded


def _said(leaf: tree.FieldLeaf, column: Column) -> str | None:
    """What is asked of the JSON; None where only that there is some."""
    if column.kind is Kind.BOOLEAN:
        return _truth(leaf, column)
    if column.kind not in _TEXTS:
        return None
    match leaf:
        case tree.Equals(value=value):
            return _one_of((value,), column, any_case=False)
        case tree.OneOf(values=values, any_case=any_case):
            return _one_of(values, column, any_case=any_case)
        case tree.Like(patterns=patterns, any_case=any_case):
            return _like(patterns, column, any_case=any_case)
        case tree.StartsWith(text=text, any_case=any_case):
            return _wild([(text, "{}*")], column, any_case=any_case)
        case tree.EndsWith(text=text, any_case=any_case):
            return _wild([(text, "*{}")], column, any_case=any_case)
        case tree.Contains(text=text, any_case=any_case):
            return _wild([(text, "*{}*")], column, any_case=any_case)
        case _:
            return None


def _truth(leaf: tree.FieldLeaf, column: Column) -> str | None:
    match leaf:
        case tree.Equals(value=bool() as value):
            spelled = ("'%true%'",) if value else ("'%false%'", "'%\"\"%'")
            return "(" + " or ".join(f"{column.json} like {one}" for one in spelled) + ")"
        case _:
            return None


def _one_of(values: Sequence[tree.Scalar], column: Column, *, any_case: bool) -> str | None:
    """Texts, with their quotation marks; what a number may equal has many spellings."""
    texts = [value for value in values if isinstance(value, str)]
    spelled = [_spelled(text) for text in texts]
    if len(spelled) < len(values) or len(spelled) > MOST_VALUES or None in spelled:
        return None
    if any(map(_like_number, texts)):
        return None
    return _tests([f'"{text}"' for text in spelled], [], column, any_case=any_case)


def _like(patterns: Iterable[str], column: Column, *, any_case: bool) -> str | None:
    plain = [one for one in patterns if not pattern.has_wildcard(one)]
    wild = [(one, "{}") for one in patterns if pattern.has_wildcard(one)]
    parts = []
    if plain:
        parts.append(_one_of(plain, column, any_case=any_case))
    if wild:
        parts.append(_wild(wild, column, any_case=any_case))
    known = [part for part in parts if part]
    return f"({' or '.join(known)})" if known and len(known) == len(parts) else None


def _wild(written: Iterable[tuple[str, str]], column: Column, *, any_case: bool) -> str | None:
    """Texts that stand in a pattern; a `?` is any text, since JSON may spell it in two letters."""
    tests = []
    for text, around in written:
        spelled = _spelled(text)
        if spelled is None or _like_number(text.replace("*", "").replace("?", "")):
            return None
        if "%" in spelled or "_" in spelled or "!" in spelled:
            spelled = spelled.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        tests.append('"' + around.format(spelled).replace("*", "%").replace("?", "%") + '"')
    return _tests([], tests, column, any_case=any_case)


def _like_number(text: str) -> bool:
    """Whether a number or a truth may be spelled with these letters."""
    letters = set(text.lower())
    return letters <= _OF_NUMBERS or letters <= set("true") or letters <= set("false")


def _tests(texts: list[str], likes: list[str], column: Column, *, any_case: bool) -> str:
    """One of the texts or patterns; of what is no single text, somewhere inside."""
    json_ = lowered(column) if any_case else column.json
    brought = (lambda text: f"lower({quoted(text)})") if any_case else quoted
    inside = [f"contains({json_}, {brought(text)})" for text in texts]
    inside += [f"{json_} like {brought(f'%{like}%')} escape '!'" for like in likes]
    one = [f"{json_} in ({', '.join(map(brought, texts))})"] if texts else []
    one += [f"{json_} like {brought(like)} escape '!'" for like in likes]
    several = f"(not starts_with({json_}, '\"') and ({' or '.join(inside)}))"
    return f"({' or '.join([*one, several])})"


def _spelled(text: str) -> str | None:
    """As JSON spells it between quotation marks; None where that may be in several ways."""
    if any(char < " " or char == "\x7f" for char in text):
        return None
    return json.dumps(text, ensure_ascii=False)[1:-1]
