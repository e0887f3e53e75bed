"""A condition and a document -> clause by clause, what held, what did not, and on which values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from detector.errors import LanguageError
from detector.language import analysed, evaluate, saying, tree
from detector.language.fields import ECS, FieldTypes
from detector.language.reasons import reason, remark
from detector.language.render import condition
from detector.language.tree import And, Node, Not, Or
from detector.language.values import objects, parent_of

Answer: TypeAlias = bool | None
"""Whether something holds; None where only Elasticsearch can tell."""

HELD, FAILED, OPEN = "✓", "✗", "?"
DECIDED = "  ← decided"

LONGEST = 2_000
"""Characters of a clause, which may be a list of a hundred thousand values."""

MOST_OBJECTS = 20
"""Objects of an array that are explained one by one."""

MOST_SHOWN = 200
"""Characters of an event's values on one line."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One clause: its text, whether it held, the values its fields had in the document, and why.

    `joins` says how `children` make up the answer; None for a clause that stands for itself.
    Exactly one clause of a whole explanation has `decided`: the first that settled the answer
    alone. Where all of several were needed it is what joins them.
    """

    text: str
    held: Answer
    values: Mapping[str, list[Any]] = field(default_factory=dict)
    children: tuple[Explanation, ...] = ()
    reason: str = ""
    joins: Literal["and", "or", "not"] | None = None
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A clause as a person reads it, `depth` levels in: what was met, a mark, why."""

    depth: int
    met: str
    held: Answer
    why: str
    decided: bool = False

    @property
    def mark(self) -> str:
        return OPEN if self.held is None else HELD if self.held else FAILED

    def __str__(self) -> str:
        why = f" {self.why}" if self.why else ""
        return f"{'  ' * self.depth}{self.met}  {self.mark}{why}{DECIDED if self.decided else ''}"


def explain(node: Node, document: Mapping[str, Any], types: FieldTypes = ECS) -> Explanation:
    """Explain every clause, also those that the outcome did not depend on. Never raises."""
    return _marked(_explained(node, document, types))


def describe(explanation: Explanation) -> str:
    """The explanation as text, a clause a line."""
    return "\n".join(map(str, lines(explanation)))


def lines(explanation: Explanation, depth: int = 0) -> Iterator[Line]:
    """The explanation from the top, what is joined after what joins it."""
    met = explanation.text
    if explanation.values:
        met = ", ".join(_met(name, values) for name, values in explanation.values.items())
    yield Line(depth, met, explanation.held, explanation.reason, explanation.decided)
    for child in explanation.children:
        yield from lines(child, depth + 1)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON has it; `held` is null where only Elasticsearch can tell."""
    return {
        "clause": explanation.text,
        "held": explanation.held,
        "decided": explanation.decided,
        "reason": explanation.reason,
        "values": {name: list(values) for name, values in explanation.values.items()},
        "children": [as_json(child) for child in explanation.children],
    }


def _explained(node: Node, document: Mapping[str, Any], types: FieldTypes) -> Explanation:
    match node:
        case And(items):
            return _and([_explained(item, document, types) for item in items])
        case Or(items):
            return _or("or", [_explained(item, document, types) for item in items])
        case tree.Sent(query):
            if (known := analysed.meaning(node, types)) is not None:
                return _explained(known, document, types)
            return Explanation(_cut(query), None, reason="only Elasticsearch can answer")
        case tree.Nested(path, item):
            return _nested(path, item, document, types)
        case Not(And() | Or() | Not() | tree.Nested() | tree.Sent() as item):
            inner = _explained(item, document, types)
            held = None if inner.held is None else not inner.held
            return Explanation("not", held, children=(inner,), joins="not")
        case Not(item):
            return _clause(node, item, document, types)
        case _:
            return _clause(node, node, document, types)


def _and(children: Sequence[Explanation]) -> Explanation:
    answers = {child.held for child in children}
    held = False if False in answers else None if None in answers else True
    return Explanation("and", held, children=tuple(children), joins="and")


def _or(text: str, children: Sequence[Explanation], why: str = "") -> Explanation:
    answers = {child.held for child in children}
    held = True if True in answers else None if None in answers else False
    return Explanation(text, held, children=tuple(children), reason=why, joins="or")


def _nested(path: str, item: Node, document: Mapping[str, Any], types: FieldTypes) -> Explanation:
    """Each object for itself where the index keeps them apart, else all as one."""
    if types.type_of(path) != "nested":
        return _explained(item, document, types)
    each = objects(document, path)
    told = [_explained(item, {path: one}, types) for one in each[:MOST_OBJECTS]]
    for one in each[MOST_OBJECTS:]:
        if not any(found.held for found in told):
            told = [*told[:MOST_OBJECTS], _explained(item, {path: one}, types)]
    why = f"of {len(each)}" if each else "there is none"
    return _or(f"one of the objects at {path}", told, why)


def _clause(node: Node, leaf: Node, document: Mapping[str, Any], types: FieldTypes) -> Explanation:
    """A leaf, or one that is not to hold."""
    assert isinstance(leaf, tree.Leaf)  # noqa: S101 - the caller's match has taken out all others
    text, values = _cut(condition(node)), _values(leaf, document, types)
    try:
        held = evaluate.matches(leaf, document, types)
        hint = None if held else remark(leaf, document, types)
    except LanguageError as error:
        return Explanation(text, None, values, reason=error.message)
    why = reason(leaf, held, types)
    if node is not leaf:
        return Explanation(text, not held, values, reason=f"excluded: {why}" if held else why)
    return Explanation(text, held, values, reason=f"{why}; {hint}" if hint else why)


def _values(
    leaf: tree.Leaf, document: Mapping[str, Any], types: FieldTypes
) -> dict[str, list[Any]]:
    names = sorted(tree.fields_of(leaf))
    match leaf:
        case tree.Says() | tree.Exists() | tree.Compare() if saying.stands_for_several(leaf.field):
            found = saying.named(leaf, document)
            names = sorted({name for one in found for name in tree.fields_of(one)}) or names
    return {name: _held(document, name, types) for name in names}


def _held(document: Mapping[str, Any], name: str, types: FieldTypes) -> list[Any]:
    values = evaluate.values(document, name)
    parent = parent_of(name, types)
    return values if values or parent is None else evaluate.values(document, parent)


def _marked(explanation: Explanation) -> Explanation:
    """With the clause marked that decided."""
    at = _decisive(explanation)
    if at is None:
        return replace(explanation, decided=True)
    children = list(explanation.children)
    children[at] = _marked(children[at])
    return replace(explanation, children=tuple(children))


def _decisive(explanation: Explanation) -> int | None:
    """The first child that settled the answer alone; None where all were needed for it."""
    alone: Answer = explanation.joins == "or"
    if explanation.joins == "not":
        return 0
    if explanation.joins is None or explanation.held not in {alone, None}:
        return None
    answers = [child.held for child in explanation.children]
    return answers.index(explanation.held)


def _met(name: str, values: list[Any]) -> str:
    if not values:
        return f"{name} missing"
    shown = values[0] if len(values) == 1 else values
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"), default=str)
    return f"{name} = {text if len(text) <= MOST_SHOWN else f'{text[:MOST_SHOWN]}...'}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
