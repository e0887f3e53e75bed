"""The law of the translator to SQL, against DuckDB: SQL and residual together are the meaning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given

from detector.errors import LanguageError
from detector.language import columns, eql, evaluate, sql, tree
from detector.language.fields import ECS, FieldTypes
from detector.language.tree import Node
from tests.language import strategies
from tests.language.strategies import Grid, reproducible

duckdb = pytest.importorskip("duckdb")

SIZE = 20

Row: TypeAlias = tuple[bool, bool]


def ask(
    sources: Sequence[dict[str, Any]], asked: Sequence[sql.Compiled], types: FieldTypes
) -> list[list[Row]]:
    """For each source and condition: whether it is admitted, and whether that is certain."""
    names = frozenset(name for one in asked for name in one.fields)
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("set disabled_optimizers = 'filter_pushdown'")
        db.execute("create table events (number integer, line varchar)")
        rows = [[number, json.dumps(source)] for number, source in enumerate(sources)]
        db.executemany("insert into events values (?, ?)", rows)
        said = ", ".join(f"{one.condition}, {one.certain}" for one in asked)
        taken = columns.extract(names, types).sql('select number, "line" from events')
        found = db.execute(f"select {said} from ({taken})").fetchall()  # noqa: S608
    return [list(zip(row[::2], row[1::2], strict=True)) for row in found]


def check(sources: Sequence[dict[str, Any]], nodes: Sequence[Node], types: FieldTypes) -> None:
    compiled = [sql.translate(node, types) for node in nodes]
    for source, row in zip(sources, ask(sources, compiled, types), strict=True):
        for node, one, (admitted, sure) in zip(nodes, compiled, row, strict=True):
            left = (one.residual or tree.Everything()) if sure else node
            kept = bool(admitted) and evaluate.matches(left, source, types)
            meant = evaluate.matches(node, source, types)
            assert kept == meant, (eql.condition(node), source, one, admitted, sure)


@reproducible(15)
@given(grid=strategies.grids(SIZE, kind="leaves"))
@pytest.mark.slow
def test_sql_and_residual_together_are_the_meaning_of_each_leaf(grid: Grid) -> None:
    check(*grid, strategies.TYPES)


@reproducible(15)
@given(grid=strategies.grids(SIZE, kind="any"))
@pytest.mark.slow
def test_sql_and_residual_together_are_the_meaning_of_trees(grid: Grid) -> None:
    check(*grid, strategies.TYPES)


PLAIN: list[dict[str, Any]] = [
    {"process": {"name": "Bash", "args": ["bash", "-I"], "pid": 7}, "source": {"ip": "10.0.0.1"}},
    {"process.name": "bash", "process.args": ["x"], "source.ip": "11.0.0.1", "process.pid": 8},
    {"process": {"name": 'C:\\Win\\a"b_%.exe', "args": [], "code_signature": {"trusted": True}}},
    {"process": {"name": "Ä K", "args": "one", "pid": 9}, "event": {"category": "process"}},
    {"process": {}, "event": {"category": ["file", None, "process"]}},
    {"event": None, "process": {"name": None}},
    {},
]
ODD: list[dict[str, Any]] = [
    {"process": [{"name": "bash"}, {"name": "sh", "pid": 7}]},
    {"process": {"name": "sh"}, "process.name": "bash"},
    {"process": {"parent.name": "bash", "name": {"text": "bash"}}},
    {"process.parent": {"name": "bash", "args": [["bash"], {"x": 1}]}},
    {"process": {"parent": [{"name": "bash"}]}},
    {"process": [{"parent.name": "bash"}]},
    {"process": {"name": ["bash", 5, 1e30, True]}, "source": {"ip": ["::1", "10.0.0.1"]}},
    {"process": {"name": 0.5, "pid": "7", "code_signature": {"trusted": ["true"]}}},
    {"process": {"name": "x" * 1025, "pid": 7.9}, "source": {"ip": "010.0.0.1"}},
]
QUERIES = [
    'process.name : "bash"',
    'process.name == "bash" or process.parent.name == "bash"',
    'not process.name : ("bash", "sh")',
    'process.name : ("C:\\\\win\\\\*_%.exe", "?? k")',
    'process.name.text : "bash"',
    'process.args : "-i" and process.pid > 6',
    "process.pid in (7, 8) or process.pid >= 7.5",
    'cidrMatch(source.ip, "10.0.0.0/8", "::/64")',
    'source.ip != null and not source.ip == "10.0.0.1"',
    'event.category : "process"',
    "event.category == null",
    "process.code_signature.trusted == true",
    "not process.code_signature.trusted == false",
    "length(process.name) > 3",
    'process.name regex "b.*" and process.args != null',
    'process.name : "*" and process.name != "\ud800"',
]


def test_every_spelling_of_a_field_is_seen() -> None:
    check([*PLAIN, *ODD], [node(query) for query in QUERIES], ECS)


def test_plain_events_leave_nothing_to_a_residual() -> None:
    said = [sql.translate(node(query)) for query in QUERIES[:13]]
    assert [one.residual for one in said] == [None] * 13
    for row in ask(PLAIN, said, ECS):
        assert all(sure for _, sure in row)
    assert not any(sure for row in ask(ODD, said[1:2], ECS)[:6] for _, sure in row)


def test_what_only_elasticsearch_can_answer_is_refused() -> None:
    with pytest.raises(LanguageError):
        sql.translate(tree.Sent("{}"))


def node(query: str) -> Node:
    parsed = eql.parse(f"any where {query}")
    assert isinstance(parsed, Node)
    return parsed
