"""Lucene's query syntax, Query DSL and Kibana's filters: what they become, sent as written."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.errors import LanguageError
from detector.language import dsl, evaluate, explain, lucene, querydsl
from detector.language.fields import FieldTable
from detector.language.tree import (
    And,
    Between,
    Compare,
    Equals,
    Everything,
    Exists,
    Like,
    Nested,
    Node,
    Not,
    Nothing,
    OneOf,
    Or,
    Regex,
    Says,
    StartsWith,
    Wording,
)


def says(field: str, *parts: str, phrase: bool = False) -> Says:
    return Says(field, (Wording(parts, phrase),))


A, B, C = says("a", "1"), says("b", "2"), says("c", "3")

LUCENE: list[tuple[str, Node]] = [
    ("*", Everything()),
    ("a:1", A),
    ("a:1 b:2", Or((A, B))),
    ("a:1 OR b:2", Or((A, B))),
    ("a:1 AND b:2", And((A, B))),
    ("a:1 && b:2", And((A, B))),
    ("a:1 AND NOT b:2", And((A, Not(B)))),
    ("a:1 -b:2", And((A, Not(B)))),
    ("+a:1 b:2", A),
    ("a:1 OR b:2 AND c:3", And((B, C))),
    ("(a:1 OR b:2) AND c:3", And((Or((A, B)), C))),
    ("NOT a:1", Not(A)),
    ('a:"b c"', says("a", "b c", phrase=True)),
    ("a:b*", says("a", "b", "")),
    ("a:b?c", Like("a", ("b?c",))),
    (r"a:b\*c?", Regex("a", (r"b\*c.",))),
    ("a:*", Exists("a")),
    ("_exists_:a", Exists("a")),
    ("a:(1 OR 2)", Or((says("a", "1"), says("a", "2")))),
    ("a:[1 TO 5]", Between("a", ((">=", 1), ("<=", 5)))),
    ("a:{1 TO *}", Between("a", ((">", 1),))),
    ("a:>=0.5", Compare("a", ">=", 0.5)),
    ("a:/b.*c/", Regex("a", ("b.*c",))),
    (r"a:C\:\\x", says("a", "C:\\x")),
    ("a:b^2", says("a", "b")),
    ("free", says("*", "free")),
    ("a.b:cmd.exe", says("a.b", "cmd.exe")),
    ("a:b-c", says("a", "b-c")),
]


@pytest.mark.parametrize(("text", "node"), LUCENE)
def test_lucene_is_read(text: str, node: Node) -> None:
    assert lucene.parse(text) == node


@pytest.mark.parametrize(
    "text", ["a:", "(a:1", "a:b~", "a:[now-1d TO now]", "a:/[/", "(" * 200 + "a" + ")" * 200]
)
def test_what_lucene_cannot_be_is_an_error(text: str) -> None:
    with pytest.raises(LanguageError):
        lucene.parse(text)


QUERIES: list[tuple[dict[str, Any], Node | None]] = [
    ({"match_all": {}}, Everything()),
    ({"term": {"a": 1}}, Equals("a", 1)),
    ({"term": {"a": {"value": "x", "case_insensitive": True}}}, OneOf("a", ("x",), any_case=True)),
    ({"terms": {"a": [1, "x"]}}, OneOf("a", (1, "x"))),
    ({"terms": {"a": {"index": "i", "id": "1", "path": "p"}}}, None),
    ({"match": {"a": "x y"}}, says("a", "x y")),
    ({"match": {"a": {"query": "x y", "operator": "and"}}}, None),
    ({"match_phrase": {"a": {"query": "x y"}}}, says("a", "x y", phrase=True)),
    ({"prefix": {"a": "x"}}, StartsWith("a", "x")),
    (
        {"wildcard": {"a": {"value": "?:\\\\x*", "case_insensitive": True}}},
        Like("a", ("?:\\x*",), any_case=True),
    ),
    ({"wildcard": {"a": "\\P?"}}, Like("a", ("P?",))),
    ({"regexp": {"a": "b.*"}}, Regex("a", ("b.*",))),
    ({"range": {"a": {"gte": 1, "lt": 5}}}, Between("a", ((">=", 1), ("<", 5)))),
    ({"range": {"a": {"gte": "now-1d"}}}, None),
    (
        {"range": {"a": {"gte": "2026", "format": "strict_date_optional_time"}}},
        Between("a", ((">=", "2026"),)),
    ),
    ({"range": {"a": {"gte": "01/02/2026", "format": "dd/MM/yyyy"}}}, None),
    ({"range": {"a": {"gte": 1704121200, "format": "epoch_second"}}}, None),
    ({"exists": {"field": "a"}}, Exists("a")),
    (
        {"bool": {"must": {"term": {"a": 1}}, "must_not": [{"exists": {"field": "b"}}]}},
        And((Equals("a", 1), Not(Exists("b")))),
    ),
    (
        {"bool": {"should": [{"term": {"a": 1}}, {"term": {"a": 2}}]}},
        Or((Equals("a", 1), Equals("a", 2))),
    ),
    ({"bool": {"filter": [{"term": {"a": 1}}], "should": [{"term": {"a": 2}}]}}, Equals("a", 1)),
    ({"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": 2}}, None),
    ({"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": 0}}, Equals("a", 1)),
    ({"bool": {"must": [{"term": {"a": 1}}], "minimum_should_match": 1}}, Nothing()),
    ({"bool": {"must_not": [{"term": {"a": 1}}], "minimum_should_match": 1}}, Not(Equals("a", 1))),
    ({"nested": {"path": "a", "query": {"term": {"a.b": 1}}}}, Nested("a", Equals("a.b", 1))),
    ({"query_string": {"query": "a:1 AND b:2", "analyze_wildcard": True}}, And((A, B))),
    ({"query_string": {"query": " "}}, Nothing()),
    ({"script": {"script": "true"}}, None),
    ({"more_like_this": {"like": "x"}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("query", "meaning"), QUERIES)
def test_query_dsl_is_sent_as_written_and_read_where_it_can_be(
    query: dict[str, Any], meaning: Node | None
) -> None:
    sent = querydsl.sent(query)
    assert sent.meaning == meaning
    assert dsl.translate(sent) == dsl.Compiled(query, None)


def test_what_only_elasticsearch_can_answer_is_named() -> None:
    with pytest.raises(LanguageError, match="only Elasticsearch can answer"):
        evaluate.matches(querydsl.sent({"script": {"script": "true"}}), {})


def test_filters_are_negated_left_out_and_combined() -> None:
    read = querydsl.filters(
        [
            {"meta": {"negate": True}, "query": {"term": {"a": 1}}},
            {"meta": {"disabled": True}, "query": {"term": {"b": 1}}},
            {"$state": {"store": "appState"}, "exists": {"field": "c"}},
            {
                "meta": {
                    "type": "combined",
                    "relation": "OR",
                    "params": [{"query": {"term": {"d": 1}}}, {"query": {"term": {"e": 1}}}],
                }
            },
        ]
    )
    held = {"c": 1, "d": 1}
    assert evaluate.matches(read, held)
    assert not evaluate.matches(read, held | {"a": 1})
    assert not evaluate.matches(read, {"c": 1})


@pytest.mark.parametrize("item", [{"meta": {}}, {"query": {}}, {"query": "text"}, 5])
def test_what_is_no_filter_is_an_error(item: Any) -> None:
    with pytest.raises(LanguageError):
        querydsl.filters([item])


TYPES = FieldTable({"a": "keyword", "b": "keyword", "c": "long", "t": "text", "when": "date"})
DOCUMENTS: list[dict[str, Any]] = [
    {"a": "1", "b": "2", "c": 3, "t": "An error, twice", "when": "2024-01-01T10:00:00Z"},
    {"a": "x y", "b": "b*c", "t": "error"},
    {"a": ["1", "z"], "c": 5, "t": ["other", "words here"]},
    {"b": "bcd", "c": [1, 9], "when": "2024-06-01T00:00:00Z"},
    {},
]
ASKED = [
    "a:1", "a:1 b:2", "a:1 AND b:2", "a:1 OR b:bcd AND c:9", "+a:1 c:5", "a:1 -b:2", "NOT a:1",
    'a:"x y"', "a:x*", "b:b*", "b:b?d", r"b:b\*c", "a:*", "_exists_:c", "c:[3 TO 5]", "c:{3 TO *]",
    "c:>4", "b:/b.*/", "t:error", 't:"error twice"', "t:err*", "a:(1 OR z)", "a:(1 AND z)",
    "when:[2024-01-01 TO 2024-02-01]", "(a:1 OR b:bcd) AND NOT c:3", "b:b* && !c:9", "", "  ",
    "a:(x y)", "a:(x y z)", "a:(x y OR 1)", "a:(1 x y)", "t:(error other)", "a:1 z", "other words",
]  # fmt: skip
FILTERS: list[dict[str, Any]] = [
    {"bool": {"filter": {"term": {"a": "1"}}}},
    {"bool": {"filter": [{"term": {"a": "1"}}, {"exists": {"field": "t"}}]}},
    {"bool": {"must": [{"term": {"a": "1"}}], "should": [{"term": {"c": 3}}]}},
    {"bool": {"must_not": [{"term": {"a": "1"}}], "should": [{"term": {"c": 3}}]}},
    {"bool": {"must_not": {"term": {"a": "z"}}, "should": {"term": {"a": "1"}}}},
    {"bool": {"should": [{"term": {"a": "1"}}], "minimum_should_match": 0}},
    {"bool": {"should": [{"term": {"a": "1"}}, {"term": {"c": 1}}], "minimum_should_match": 1}},
    {"bool": {"should": [{"term": {"a": "1"}}], "filter": [{"exists": {"field": "when"}}]}},
    {"bool": {}},
    {"match": {"t": "other error"}},
    {
        "range": {
            "when": {"gte": "2024-01-01", "lt": "2024-02", "format": "strict_date_optional_time"}
        }
    },
]
"""Filters as people write them by hand, with what may be an object or a list."""


@pytest.mark.node
def test_lucene_means_what_the_node_says(es: Elasticsearch) -> None:
    mapping = {name: {"type": TYPES.type_of(name)} for name in ("a", "b", "c", "t", "when")}
    es.indices.create(index="grid", mappings={"properties": mapping})
    for number, source in enumerate(DOCUMENTS):
        es.index(index="grid", id=str(number), document=source)
    es.indices.refresh(index="grid")
    for text in ASKED:
        sent = querydsl.sent({"query_string": {"query": text, "analyze_wildcard": True}})
        assert asked(es, sent) == meant(sent), text
    for query in FILTERS:
        said, other = querydsl.sent(query), Equals("b", "bcd")
        for node in (said, Not(said), Or((said, other)), And((said, Not(other))), And((said, A))):
            assert asked(es, node) == meant(node), node


def asked(es: Elasticsearch, node: Node) -> set[int]:
    query = dsl.translate(node, TYPES).query
    return {int(hit["_id"]) for hit in es.search(index="grid", query=query)["hits"]["hits"]}


def meant(node: Node) -> set[int]:
    return {n for n, one in enumerate(DOCUMENTS) if evaluate.matches(node, one, TYPES)}


@pytest.mark.parametrize(
    "query",
    [
        {"term": {"t": "error"}},
        {"terms": {"t": ["error"]}},
        {"prefix": {"t": "err"}},
        {"wildcard": {"t": "err*"}},
        {"range": {"t": {"gte": "a"}}},
        {"query_string": {"query": "t:err?r"}},
        {"bool": {"must_not": [{"regexp": {"t": "err.*"}}]}},
    ],
)
def test_the_words_of_a_text_are_asked_for_by_elasticsearch_alone(query: dict[str, Any]) -> None:
    """Each is compared with a word, as its index has taken the text apart."""
    sent = querydsl.sent(query)
    with pytest.raises(LanguageError, match="only Elasticsearch can answer"):
        evaluate.matches(sent, {"t": "an error"}, TYPES)
    assert explain.explain(sent, {"t": "an error"}, TYPES).held is None
