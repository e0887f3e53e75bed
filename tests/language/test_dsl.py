"""The table of translations, and what a query may look like."""

from __future__ import annotations

from typing import Any

import pytest

from detector.language import dsl, eql, evaluate, fields, tree
from detector.language.fields import FieldTable
from detector.language.tree import Node
from tests.language import tables

TABLE = tables.load("dsl.yaml")
CASES: list[dict[str, Any]] = TABLE["cases"]
TYPES = FieldTable(TABLE["types"])

SEED = """
process where container.id: "*" and
event.type== "start" and
/* an event that has ended is of no use */
event.action in ("fork", "exec") and event.action != "end"
and process.entry_leader.same_as_process== false and
((process.executable: "*/*sh" and process.args: ("-i", "-it")) or process.args: "*/*sh")
"""
SEED_QUERY = {
    "bool": {
        "filter": [
            {"term": {"event.category": "process"}},
            {"exists": {"field": "container.id"}},
            {"term": {"event.type": "start"}},
            {"terms": {"event.action": ["fork", "exec"]}},
            {"bool": {"must_not": [{"term": {"event.action": "end"}}]}},
            {"term": {"process.entry_leader.same_as_process": False}},
            {
                "bool": {
                    "minimum_should_match": 1,
                    "should": [
                        {
                            "bool": {
                                "filter": [
                                    {
                                        "wildcard": {
                                            "process.executable": {
                                                "value": "*/*sh",
                                                "case_insensitive": True,
                                            }
                                        }
                                    },
                                    {
                                        "bool": {
                                            "minimum_should_match": 1,
                                            "should": [
                                                {
                                                    "term": {
                                                        "process.args": {
                                                            "value": value,
                                                            "case_insensitive": True,
                                                        }
                                                    }
                                                }
                                                for value in ("-i", "-it")
                                            ],
                                        }
                                    },
                                ]
                            }
                        },
                        {
                            "wildcard": {
                                "process.args": {"value": "*/*sh", "case_insensitive": True}
                            }
                        },
                    ],
                }
            },
        ]
    }
}


def parsed(text: str) -> Node:
    node = eql.parse(text)
    assert not isinstance(node, tree.Sequence | tree.Sample | tree.Piped)
    return node


@pytest.mark.parametrize("case", CASES, ids=[case["condition"] for case in CASES])
def test_a_condition_becomes(case: dict[str, Any]) -> None:
    compiled = dsl.translate(parsed(f"any where {case['condition']}"), TYPES)
    assert compiled.query == case["query"]
    residual = None if compiled.residual is None else eql.condition(compiled.residual)
    assert residual == case.get("residual")


def test_the_rule_of_the_interactive_shell_becomes_a_bool_query() -> None:
    assert dsl.translate(parsed(SEED)) == dsl.Compiled(SEED_QUERY, None)


def test_bool_queries_stay_shallower_than_elasticsearch_allows() -> None:
    text = "a == 1"
    for number in range(40):
        text = f"(b == {number} {'and' if number % 2 else 'or'} {text})"
    node = parsed(f"any where {text}")
    compiled = dsl.translate(node)
    assert depth(compiled.query) <= 30
    assert compiled.residual is not None
    assert evaluate.matches(compiled.residual, {"a": 1, "b": [1, 39]}) == evaluate.matches(
        node, {"a": 1, "b": [1, 39]}
    )


def depth(query: object) -> int:
    """How many `bool` queries stand inside one another."""
    if isinstance(query, dict):
        return max((depth(value) + (key == "bool") for key, value in query.items()), default=0)
    return max(map(depth, query), default=0) if isinstance(query, list) else 0


def test_a_list_longer_than_the_clause_limit_stays_a_list() -> None:
    words = ", ".join(f'"w{number}"' for number in range(2_000))
    query = dsl.translate(parsed(f"any where a : ({words})")).query
    assert len(query["bool"]["should"]) == 2_000


def test_regular_expressions_share_a_query_up_to_the_length_elasticsearch_takes() -> None:
    texts = ", ".join(f'"{letter * 400}.*"' for letter in "abc")
    should = dsl.translate(parsed(f"any where k regex ({texts})"), TYPES).query["bool"]["should"]
    assert [len(query["regexp"]["k"]["value"]) for query in should] == [805, 402]


def test_a_regular_expression_longer_than_elasticsearch_takes_is_checked_on_hits() -> None:
    node = parsed(f'any where k regex "{"a" * 1001}.*"')
    assert dsl.translate(node, TYPES).residual == node


def test_a_field_without_terms_is_checked_and_not_asked_for() -> None:
    compiled = dsl.translate(parsed('any where event.original : "*x*"'), fields.ECS)
    assert compiled.query == {"match_all": {}}
    assert compiled.residual is not None
