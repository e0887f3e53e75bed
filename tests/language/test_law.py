"""The law of the translator, against a real node: query and residual together are the meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers
from hypothesis import given

from detector.language import dsl, eql, evaluate, tree
from tests.language import strategies
from tests.language.strategies import Grid, reproducible

pytestmark = pytest.mark.node

SIZE = 20
"""Documents of one bulk and trees of one `_msearch`: 400 pairs a grid."""


def index(es: Elasticsearch, sources: Sequence[dict[str, Any]]) -> None:
    es.indices.delete(index="grid", ignore_unavailable=True)
    es.indices.create(
        index="grid",
        mappings={"dynamic": False, "properties": strategies.MAPPING},
        settings={"number_of_shards": 1, "number_of_replicas": 0},
    )
    actions = [
        {"_index": "grid", "_id": str(number), "_source": source}
        for number, source in enumerate(sources)
    ]
    helpers.bulk(es, actions, refresh=True)


def admitted(es: Elasticsearch, queries: Sequence[dict[str, Any]]) -> list[set[int]]:
    """The numbers of the documents each query finds."""
    searches: list[dict[str, Any]] = []
    for query in queries:
        searches += [{"index": "grid"}, {"size": SIZE, "query": query, "_source": False}]
    answers = es.msearch(searches=searches)["responses"]
    for answer, query in zip(answers, queries, strict=True):
        assert "error" not in answer, (query, answer["error"])
    return [{int(hit["_id"]) for hit in answer["hits"]["hits"]} for answer in answers]


def check(es: Elasticsearch, grid: Grid, *, whole: bool) -> None:
    """Ask the node and `evaluate`; with `whole`, nothing may be left to a residual."""
    sources, nodes = grid
    index(es, sources)
    compiled = [dsl.translate(node, strategies.TYPES) for node in nodes]
    found = admitted(es, [one.query for one in compiled])
    for node, one, numbers in zip(nodes, compiled, found, strict=True):
        assert one.residual is None or not whole, eql.condition(node)
        left = one.residual or tree.Everything()
        for number, source in enumerate(sources):
            kept = number in numbers and evaluate.matches(left, source, strategies.TYPES)
            meant = evaluate.matches(node, source, strategies.TYPES)
            assert kept == meant, (eql.condition(node), source, one)


@reproducible(12)
@given(grid=strategies.grids(SIZE, kind="leaves"))
def test_the_node_alone_answers_each_leaf_as_evaluate_does(es: Elasticsearch, grid: Grid) -> None:
    check(es, grid, whole=True)


@reproducible(12)
@given(grid=strategies.grids(SIZE, kind="trees"))
def test_the_node_alone_answers_trees_of_such_leaves(es: Elasticsearch, grid: Grid) -> None:
    check(es, grid, whole=True)


@reproducible(12)
@given(grid=strategies.grids(SIZE, kind="any"))
def test_query_and_residual_together_are_the_meaning(es: Elasticsearch, grid: Grid) -> None:
    check(es, grid, whole=False)


@reproducible(12)
@given(grid=strategies.grids(SIZE, kind="filters"))
def test_filters_mean_what_the_node_answers(es: Elasticsearch, grid: Grid) -> None:
    assert all(one.meaning is not None for node in grid[1] for one in tree.sent(node))
    check(es, grid, whole=False)
