"""How a document's values are found, typed and compared."""

from __future__ import annotations

from typing import Any

import pytest

from detector.errors import LanguageError
from detector.language import doubts, eql, evaluate, fields, tree
from detector.language.fields import ECS, FieldTable, Kind
from detector.language.tree import Node


def parsed(text: str) -> Node:
    node = eql.parse(f"any where {text}")
    assert not isinstance(node, tree.Sequence | tree.Sample | tree.Piped)
    return node


def held(text: str, document: dict[str, Any], **types: str) -> bool:
    table = FieldTable({name.replace("__", "."): type_ for name, type_ in types.items()})
    return evaluate.matches(parsed(text), document, table)


SPELLINGS: list[dict[str, Any]] = [
    {"a": {"b": {"c": "x"}}},
    {"a.b.c": "x"},
    {"a.b": {"c": "x"}},
    {"a": {"b.c": "x"}},
    {"a": [{"b": {"c": "y"}}, {"b": [{"c": ["z", "x"]}]}]},
    {"a.b.c": ["y", "x", None]},
    {"a": {"b": {"c": "y"}}, "a.b.c": "x"},
]


@pytest.mark.parametrize("document", SPELLINGS, ids=map(str, SPELLINGS))
def test_a_field_is_found_however_it_is_spelled(document: dict[str, Any]) -> None:
    assert "x" in evaluate.values(document, "a.b.c")
    assert held('a.b.c == "x"', document)


@pytest.mark.parametrize(
    "document", [{}, {"a": None}, {"a": []}, {"a": [None, []]}, {"a": {}}], ids=str
)
def test_nothing_and_null_and_empty_lists_are_missing(document: dict[str, Any]) -> None:
    assert evaluate.values(document, "a") == []
    assert held("a == null", document)
    assert held('a != "x" and not a : "*" and not a > 1', document)


def test_an_object_exists_where_something_is_in_it() -> None:
    assert held("a != null", {"a": {"b": [None, {"c": 0}]}}, a="object")
    assert not held("a != null", {"a": {"b": [None, {"c": None}]}}, a="object")


def test_a_document_may_be_nested_very_deep() -> None:
    deep: Any = "x"
    for _ in range(20_000):
        deep = [{"b": deep}]
    assert held('a == "x" and a != null', {"a": deep})
    assert held("a.b.b.b.b == null", {"a": deep}, a__b__b__b__b="keyword")


def test_a_flattened_field_has_the_values_of_all_its_leaves() -> None:
    assert held('a == "1"', {"a": {"b": [1, {"c": "x"}]}}, a="flattened")


def test_a_multi_field_has_the_values_of_its_parent() -> None:
    assert held('a.text : "*x*"', {"a": "axb"}, a="keyword", a__text="match_only_text")
    assert held('process.name.text == "sh"', {"process": {"name": "sh"}})


def test_what_fields_returns_is_read_as_the_source_is() -> None:
    document = {"process.args": ["-i"], "@timestamp": ["2024-01-01T00:00:00.000Z"]}
    node = parsed('process.args : "-I" and @timestamp == "2024-01-01"')
    assert evaluate.matches(node, document)


def test_a_field_of_no_known_type_goes_by_its_values() -> None:
    assert held("a == 1", {"a": 1.0})
    assert held("a == 1", {"a": "1"})
    assert held('a == "1"', {"a": 1})
    assert held('a == "true"', {"a": True})
    assert not held("a == 1", {"a": True})
    assert held("a > 5", {"a": "10"})
    assert not held('a > "5"', {"a": "10"})
    assert not held("a > 5", {"a": "x"})
    assert held('a : "1*"', {"a": 10})
    assert held('cidrMatch(a, "10.0.0.0/8")', {"a": "10.0.0.1"})


def test_text_is_compared_whole_as_a_keyword_would_be() -> None:
    assert held('message : "*failed*"', {"message": "it Failed twice"}, message="match_only_text")
    assert not held('message == "failed"', {"message": "it failed"}, message="match_only_text")


def test_a_number_may_be_tested_by_its_text() -> None:
    assert held('a : "1*"', {"a": 10}, a="long")
    assert held('a : ("10", "x")', {"a": "10"}, a="long")
    assert held('startsWith(a, "10.")', {"a": "::ffff:10.0.0.1"}, a="ip")


def test_the_bundled_table_knows_ecs_and_the_container_fields() -> None:
    assert ECS.type_of("process.args") == "keyword"
    assert ECS.type_of("process.entry_leader.same_as_process") == "boolean"
    assert ECS.type_of("source.ip") == "ip"
    assert ECS.type_of("cloud_defend.hook_point") == "keyword"
    assert ECS.type_of("no.such.field") is None
    assert (ECS.ignore_above("process.args"), ECS.ignore_above("no.such")) == (1024, None)
    assert not ECS.searchable("event.original")
    assert fields.kind_of("process.command_line", ECS) is Kind.STRING


def test_a_keyword_longer_than_the_index_keeps_is_not_found() -> None:
    node = parsed('process.args : "*"')
    assert evaluate.matches(node, {"process.args": "x" * 1024})
    assert not evaluate.matches(node, {"process.args": "x" * 1025})


def test_a_predicate_is_made_once_for_many_documents() -> None:
    holds = evaluate.predicate(parsed('process.name : ("b*", "ZSH")'))
    names = ["bash", "zsh", "sh", "Bourne"]
    assert [name for name in names if holds({"process.name": name})] == ["bash", "zsh", "Bourne"]


def test_a_literal_of_the_wrong_type_is_doubted() -> None:
    query = eql.parse(
        'any where source.ip : ("x", "10.*") and process.pid in (1, "y") and @timestamp > "today"'
        ' and process.name == 4 and no.such == "z"'
    )
    assert doubts.doubts(query) == [
        '`source.ip : ("x", "10.*")`: "x" is no ip',
        '`process.pid in (1, "y")`: "y" is no long',
        '`@timestamp > "today"`: "today" is no date',
    ]
    assert doubts.doubts(eql.parse('any where @timestamp > "now-1d/d"')) == []


def test_a_regular_expression_that_cannot_be_read_is_refused_by_hand_made_trees() -> None:
    with pytest.raises(LanguageError):
        evaluate.predicate(tree.Regex("a", ("(",)))


def test_more_combinations_of_values_than_can_be_tried_are_an_error_soon() -> None:
    values = [f"v{number}" for number in range(3_000)]
    with pytest.raises(LanguageError, match="too many values to compare a and b"):
        held("startsWith(a, b)", {"a": values, "b": values})
