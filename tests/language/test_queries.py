"""The table of queries: the evaluator and a real node find the same documents, those expected."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from detector.language import dsl, eql, evaluate, tree
from detector.language.fields import FieldTable
from detector.language.tree import Node
from tests.language import tables

TABLE = tables.load("queries.yaml")
CASES: list[dict[str, Any]] = TABLE["cases"]
DOCUMENTS: dict[int, dict[str, Any]] = TABLE["documents"]
TYPES = FieldTable(
    {name: properties["type"] for name, properties in TABLE["mapping"].items()},
    ignore_above={
        name: properties["ignore_above"]
        for name, properties in TABLE["mapping"].items()
        if "ignore_above" in properties
    },
)


def parsed(case: dict[str, Any]) -> Node:
    node = eql.parse(case["query"], category_field=case.get("category", "event.category"))
    assert not isinstance(node, tree.Sequence | tree.Sample | tree.Piped)
    return node


@pytest.mark.parametrize("case", CASES, ids=[case["query"] for case in CASES])
def test_the_evaluator_finds(case: dict[str, Any]) -> None:
    node = parsed(case)
    found = [id_ for id_, source in DOCUMENTS.items() if evaluate.matches(node, source, TYPES)]
    assert found == case["ids"]


@pytest.mark.node
def test_the_node_finds_the_same(es: Elasticsearch) -> None:
    es.indices.create(index="cases", mappings={"dynamic": False, "properties": TABLE["mapping"]})
    actions = [
        {"_index": "cases", "_id": str(id_), "_source": source} for id_, source in DOCUMENTS.items()
    ]
    helpers.bulk(es, actions, refresh=True)
    for case in CASES:
        compiled = dsl.translate(parsed(case), TYPES)
        hits = es.search(index="cases", query=compiled.query, size=100)["hits"]["hits"]
        left = compiled.residual or tree.Everything()
        found = [int(h["_id"]) for h in hits if evaluate.matches(left, h["_source"], TYPES)]
        assert sorted(found) == case["ids"], (case["query"], compiled)
