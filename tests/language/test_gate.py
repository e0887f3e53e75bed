"""The law of gates, against DuckDB: what satisfies a condition passes, however it is spelled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from detector.language import columns, eql, evaluate, gate, tree
from detector.language.fields import ECS, FieldTypes
from detector.language.tree import Node
from tests.language import strategies
from tests.language.strategies import Grid, reproducible
from tests.language.test_sql import ODD, PLAIN, QUERIES, SIZE, node

duckdb = pytest.importorskip("duckdb")


def passing(sources: Sequence[dict[str, Any]], one: gate.Gate, types: FieldTypes) -> set[int]:
    """The places of the events that pass."""
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("set disabled_optimizers = 'filter_pushdown'")
        db.execute("create table events (number integer, line varchar)")
        rows = [[number, json.dumps(source)] for number, source in enumerate(sources)]
        db.executemany("insert into events values (?, ?)", rows)
        taken = columns.extract(one.fields, types)
        text = taken.gated('select number, "line" from events', ["number"], [one.text])
        return {row[0] for row in db.execute(f"select number from ({text})").fetchall()}  # noqa: S608


def check(sources: Sequence[dict[str, Any]], nodes: Sequence[Node], types: FieldTypes) -> None:
    gates = gate.Gates(lambda leaf: len(repr(leaf)) / 1000, {}, types)
    for one in nodes:
        found = gates.of(one)
        if found is None:
            continue
        passed = passing(sources, found, types)
        for number, source in enumerate(sources):
            meant = evaluate.matches(one, source, types)
            assert not meant or number in passed, (eql.condition(one), source, found)


@reproducible(15)
@given(grid=strategies.grids(SIZE, kind="leaves"))
@pytest.mark.slow
def test_what_satisfies_a_leaf_passes_its_gate(grid: Grid) -> None:
    check(*grid, strategies.TYPES)


@reproducible(15)
@given(grid=strategies.grids(SIZE, kind="any"))
@pytest.mark.slow
def test_what_satisfies_a_tree_passes_its_gate(grid: Grid) -> None:
    check(*grid, strategies.TYPES)


def test_every_spelling_of_a_field_passes() -> None:
    check([*PLAIN, *ODD], [node(query) for query in QUERIES], ECS)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ('process.name : "bash" and process.pid > 6', {"process.name"}),
        ('process.name : "bash" or process.args : "-i"', {"process.name", "process.args"}),
        ('not process.name : "bash"', None),
        ('not process.name : "bash" and user.name == "x"', {"user.name"}),
        ('process.name : "bash" or process.args != null', {"process.name", "process.args"}),
        ('process.name : "bash" or length(process.args) > 1', None),
    ],
)
def test_the_rarest_part_makes_the_gate(query: str, fields: set[str] | None) -> None:
    rates = {"process.name": 0.1, "user.name": 0.2}

    def rate(leaf: Node) -> float:
        return rates.get(next(iter(tree.fields_of(leaf))), 0.9)

    found = gate.Gates(rate, {}).of(node(query))
    assert (found and set(found.fields)) == fields
