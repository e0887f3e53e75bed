"""The table of expressions: functions and operators, by hand, since no query can check them."""

from __future__ import annotations

from typing import Any

import pytest

from detector.language import eql, evaluate, expressions, functions, tree
from detector.language.fields import FieldTable
from tests.language import tables

TABLE = tables.load("functions.yaml")
FIELDS: dict[str, Any] = TABLE["fields"]
TYPES = FieldTable({"n": "long", "z": "long", "f": "double", "t": "boolean", "ip": "ip"})


def held(text: str) -> bool:
    node = eql.parse(f"any where {text}")
    assert not isinstance(node, tree.Sequence | tree.Sample | tree.Piped)
    return evaluate.matches(node, FIELDS, TYPES)


@pytest.mark.parametrize(("text", "value"), TABLE["values"].items(), ids=TABLE["values"].keys())
def test_an_expression_gives(text: str, value: object) -> None:
    node = eql.parse(f"any where concat(({text}), missing) == missing")
    assert isinstance(node, tree.Holds)
    concat = node.expression.args[0]
    assert isinstance(concat, tree.Call)
    row = {"missing": None} | FIELDS
    got = expressions.compiled(concat.args[0])(row)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "truth"), TABLE["conditions"].items(), ids=TABLE["conditions"].keys()
)
def test_a_condition_over_expressions_holds(text: str, truth: bool) -> None:
    assert held(text) is truth


def test_every_function_has_a_line() -> None:
    lines = " ".join(TABLE["values"]).lower()
    assert [name for name in functions.FUNCTIONS if f"{name.lower()}(" not in lines] == []


def test_any_combination_of_values_will_do() -> None:
    node = eql.parse("any where startsWith(a, b)")
    assert isinstance(node, tree.Holds)
    assert evaluate.matches(node, {"a": ["xy", "zz"], "b": ["q", "z"]})
    assert not evaluate.matches(node, {"a": ["xy", "zz"], "b": ["q"]})
    assert not evaluate.matches(node, {"a": ["xy", "zz"]})
