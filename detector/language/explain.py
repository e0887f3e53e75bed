"""A condition and a document -> clause by clause, what held, what did not, and on which values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detector.language import evaluate, tree
from detector.language.fields import ECS, FieldTypes
from detector.language.render import condition, literal
from detector.language.tree import And, Node, Not, Or


@dataclass(frozen=True, slots=True)
class Explanation:
    """One clause: its text, whether it held, and the values its fields had in the document.

    `text` of a clause made of `children` is the word that joins them: `and`, `or`, `not`.
    """

    text: str
    held: bool
    values: Mapping[str, list[Any]]
    children: tuple[Explanation, ...] = ()


def explain(node: Node, document: Mapping[str, Any], types: FieldTypes = ECS) -> Explanation:
    """Explain every clause, also those that the outcome did not depend on."""
    held = evaluate.matches(node, document, types)
    match node:
        case And(items) | Or(items):
            word = "and" if isinstance(node, And) else "or"
            return Explanation(word, held, {}, tuple(explain(i, document, types) for i in items))
        case tree.Sent(_, meaning) if meaning is not None:
            return explain(meaning, document, types)
        case Not(And() | Or() | Not() | tree.Nested() as item):
            return Explanation("not", held, {}, (explain(item, document, types),))
        case _:
            names = sorted(tree.fields_of(node))
            values = {name: evaluate.values(document, name) for name in names}
            return Explanation(condition(node), held, values)


def describe(explanation: Explanation) -> str:
    """The explanation as text: a clause a line, `+` where it held, `-` where not."""
    return "\n".join(_lines(explanation, ""))


def _lines(explanation: Explanation, indent: str) -> Iterator[str]:
    line = f"{indent}{'+' if explanation.held else '-'} {explanation.text}"
    met = [f"{name}: {_shown(values)}" for name, values in explanation.values.items()]
    yield f"{line}    [{'; '.join(met)}]" if met else line
    for child in explanation.children:
        yield from _lines(child, f"{indent}  ")


def _shown(values: list[Any]) -> str:
    return ", ".join(map(literal, values)) if values else "missing"
