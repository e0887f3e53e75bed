"""Elasticsearch's own expectations for EQL, as its tests write them down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from detector.language import dsl, eql, evaluate, tree
from detector.language.fields import FieldTable
from detector.language.tree import Node, Query
from tests.language import shared

TRANSLATIONS = shared.lines("oracle/eql_translations.ndjson")
QUERIES = shared.lines("oracle/eql_queries.ndjson")
IDS = {"endgame": "serial_event_id", "extra": "sequence", "missing-events": "sequence"}
MAPPINGS = {"endgame": "endgame-140", "extra": "extra", "missing-events": "missing-events"}

TRANSLATION_TYPES = FieldTable(
    {
        "serial_event_id": "long",
        "exit_code": "long",
        "bool": "boolean",
        "source_address": "ip",
        "file_name": "text",
        "hostname": "text",
    }
)


def where(query: Query) -> Node:
    """The condition of an event query, whatever its pipes."""
    node = query.where if isinstance(query, tree.Piped) else query
    assert not isinstance(node, tree.Sequence | tree.Sample)
    return node


def java(query: dict[str, Any]) -> dict[str, Any]:
    """A query as Elasticsearch prints it, with what is left out when it is sent."""
    ((kind, body),) = query.items()
    if kind == "bool":
        return {"bool": java_bool(body)}
    if kind == "exists":
        return {"exists": {**body, "boost": 1.0}}
    ((field, value),) = body.items()
    if kind == "terms":
        return {"terms": {field: value, "boost": 1.0}}
    value = value if isinstance(value, dict) else {"value": value}
    if kind == "range":
        value = java_range(value)
    elif kind == "wildcard":
        value = {"wildcard": value["value"], **{k: v for k, v in value.items() if k != "value"}}
    elif kind == "regexp":
        flags = {"flags_value": 255} if value.get("flags") == "ALL" else {}
        value = {
            "value": value["value"],
            **flags,
            **{k: value[k] for k in value if k == "case_insensitive"},
        }
    return {kind: {field: {**value, "boost": 1.0}}}


def java_bool(body: dict[str, Any]) -> dict[str, Any]:
    words = {"filter": "must", "should": "should", "must_not": "must_not"}
    lists = {words[key]: [java(one) for one in body[key]] for key in words if key in body}
    return {**lists, "adjust_pure_negative": True, "boost": 1.0}


def java_range(bounds: dict[str, Any]) -> dict[str, Any]:
    low = bounds.get("gt", bounds.get("gte"))
    high = bounds.get("lt", bounds.get("lte"))
    return {
        "from": low,
        "to": high,
        "include_lower": "gte" in bounds,
        "include_upper": "lte" in bounds,
    }


def test_the_material_is_there() -> None:
    shared.needed("oracle")
    assert len(TRANSLATIONS) > 50
    assert len(QUERIES) > 100


@pytest.mark.parametrize("case", TRANSLATIONS, ids=[case["name"] for case in TRANSLATIONS])
def test_a_query_is_translated_as_elasticsearch_does(case: dict[str, Any]) -> None:
    query = eql.parse(case["query"])
    compiled = dsl.translate(where(query), TRANSLATION_TYPES)
    if any('script"' in fragment for fragment in case["expected"]):
        assert compiled.residual is not None
        return
    if case["expected"][0].startswith('"size"'):
        assert compiled.residual is None
        return
    printed = json.dumps(java(compiled.query), separators=(",", ":"))
    for fragment in case["expected"]:
        assert flat(fragment) in printed


def flat(fragment: str) -> str:
    """A fragment without the conjunction around it: ours stands beside the category's clause."""
    start = '{"bool":{"must":['
    fragment = fragment.removeprefix("contains ").rstrip(",")
    return fragment.removeprefix(start) if len(fragment) > len(start) else fragment


@pytest.mark.parametrize("case", QUERIES, ids=[case["name"] for case in QUERIES])
def test_a_query_is_read_and_written(case: dict[str, Any]) -> None:
    query = eql.parse(case["query"], category_field="event_type")
    assert eql.parse(eql.render(query)) == query


def events(dataset: str) -> list[dict[str, Any]]:
    return [
        case
        for case in QUERIES
        if case["dataset"] == dataset
        and not case["query"].lstrip().startswith(("sequence", "sample"))
    ]


def mapping(dataset: str) -> dict[str, Any]:
    path = shared.needed(f"oracle/data/{MAPPINGS[dataset]}.mapping.json")
    text = path.read_text(encoding="utf-8").replace("[runtime_random_keyword_type]", "keyword")
    code = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    properties: dict[str, Any] = json.loads(code)["properties"]
    return properties


def types(properties: dict[str, Any]) -> FieldTable:
    return FieldTable({name: body["type"] for name, body in properties.items() if "type" in body})


def expected(case: dict[str, Any], found: list[int]) -> list[int]:
    """What the pipes and the size of a case leave of what was found, in order."""
    query = eql.parse(case["query"])
    for pipe in query.pipes if isinstance(query, tree.Piped) else ():
        found = found[: pipe.count] if pipe.kind == "head" else found[-pipe.count :]
    return found[: case.get("size", len(found))]


def parsed(case: dict[str, Any]) -> Node:
    return where(eql.parse(case["query"], category_field="event_type"))


@pytest.mark.parametrize("case", events("endgame"), ids=[c["name"] for c in events("endgame")])
def test_the_evaluator_finds_what_elasticsearch_finds(case: dict[str, Any]) -> None:
    documents = shared.lines("oracle/data/endgame.ndjson")
    known, node = types(mapping("endgame")), parsed(case)
    found = sorted(d["serial_event_id"] for d in documents if evaluate.matches(node, d, known))
    assert expected(case, found) == case["expected_event_ids"]


@pytest.mark.node
@pytest.mark.parametrize("dataset", sorted(IDS))
def test_the_node_finds_what_elasticsearch_finds(es: Elasticsearch, dataset: str) -> None:
    properties, name = mapping(dataset), IDS[dataset]
    es.indices.create(index="oracle", mappings={"properties": properties})
    sources = shared.lines(f"oracle/data/{dataset}.ndjson")
    helpers.bulk(es, [{"_index": "oracle", "_source": source} for source in sources], refresh=True)
    for case in events(dataset):
        compiled = dsl.translate(parsed(case), types(properties))
        answer = es.search(index="oracle", query=compiled.query, size=1000, fields=[{"field": "*"}])
        left = compiled.residual or tree.Everything()
        found = sorted(
            hit["_source"][name]
            for hit in answer["hits"]["hits"]
            if evaluate.matches(left, hit["fields"], types(properties))
        )
        assert expected(case, found) == case["expected_event_ids"], case["name"]
