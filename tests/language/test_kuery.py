"""KQL as Kibana reads it: what a text becomes, what it means, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.errors import LanguageError
from detector.language import dsl, evaluate, kuery, words
from detector.language.fields import FieldTable
from detector.language.tree import (
    And,
    Compare,
    Everything,
    Exists,
    Nested,
    Node,
    Not,
    Or,
    Says,
    Wording,
)


def says(field: str, *texts: str | Wording) -> Says:
    return Says(field, tuple(one if isinstance(one, Wording) else Wording((one,)) for one in texts))


def quoted(text: str) -> Wording:
    return Wording((text,), phrase=True)


def wild(*parts: str) -> Wording:
    return Wording(parts)


READ: list[tuple[str, Node]] = [
    ("", Everything()),
    ("*", Everything()),
    ("*:*", Everything()),
    ("a:*", Exists("a")),
    ("a:b", says("a", "b")),
    ("a : b", says("a", "b")),
    ('a:"b c"', says("a", quoted("b c"))),
    ("a: b c", says("a", "b c")),
    ("a: b  c and d:e", And((says("a", "b  c"), says("d", "e")))),
    ("a:b*c", says("a", wild("b", "c"))),
    ("a:*b*", says("a", wild("", "b", ""))),
    (r"a:b\*c", says("a", "b*c")),
    ('a:"b*c"', says("a", quoted("b*c"))),
    (r"a:C\:\\x", says("a", "C:\\x")),
    (r'a:"C:\\x\"y"', says("a", quoted('C:\\x"y'))),
    (r'a:"C:\x"', says("a", quoted("C:\\x"))),
    (r'a:"tab\there"', says("a", quoted("tab\there"))),
    (r"a:\u0041b", says("a", "Ab")),
    (r"a:\and", says("a", "and")),
    ("a:b?", says("a", "b?")),
    ("a:android", says("a", "android")),
    ("a:nothing", says("a", "nothing")),
    ("a:(b or c)", says("a", "b", "c")),
    ('a:(b OR "c" or d*)', says("a", "b", quoted("c"), wild("d", ""))),
    ("a:(b and not c)", And((says("a", "b"), Not(says("a", "c"))))),
    ("a:(b and (c or d))", And((says("a", "b"), says("a", "c", "d")))),
    ("a:b or a:c", says("a", "b", "c")),
    ("a:b or c:d or a:e", Or((says("a", "b"), says("c", "d"), says("a", "e")))),
    ("not a:b", Not(says("a", "b"))),
    ("NOT a:b AND c:d", And((Not(says("a", "b")), says("c", "d")))),
    ("not (a:b or c:d)", Not(Or((says("a", "b"), says("c", "d"))))),
    ("a:b and c:d or e:f", Or((And((says("a", "b"), says("c", "d"))), says("e", "f")))),
    ("a > 5", Compare("a", ">", 5)),
    ("a>=0.5", Compare("a", ">=", 0.5)),
    ('a < "2024-01-01"', Compare("a", "<", "2024-01-01")),
    ("a.b.*.c:d", says("a.b.*.c", "d")),
    ("a:{ b:c and d > 1 }", Nested("a", And((says("a.b", "c"), Compare("a.d", ">", 1))))),
    ("a:{ b:{ c:d } }", Nested("a", Nested("a.b", says("a.b.c", "d")))),
    ("free text", says("*", "free text")),
    ('"free text" and a:b', And((says("*", quoted("free text")), says("a", "b")))),
    ("a:b and\n  c:d", And((says("a", "b"), says("c", "d")))),
    ('"a b":c', says("a b", "c")),
    ("a:true and b:-1", And((says("a", "true"), says("b", "-1")))),
]


@pytest.mark.parametrize(("text", "node"), READ)
def test_a_query_is_read_as_kibana_reads_it(text: str, node: Node) -> None:
    assert kuery.parse(text) == node


WRONG = [
    ("a:", "the query ends too early", 2),
    ("a:b and", "the query ends too early", 7),
    ("(a:b", "the query ends too early", 4),
    ("a:b)", "unexpected `)`", 4),
    ("a:b c:d", "unexpected `:`", 6),
    ('a:"b', 'unexpected `"`', 3),
    ("a > b*", "a range has no wildcards", 5),
    ("a:(b or c:d)", "unexpected `:`", 10),
    ("(" * 200 + "a:b" + ")" * 200, "more than 100 levels of nesting", 101),
    ("not " * 300 + "a:b", "more than 100 levels of nesting", 401),
]


@pytest.mark.parametrize(("text", "message", "column"), WRONG)
def test_what_cannot_be_read_has_its_place(text: str, message: str, column: int) -> None:
    with pytest.raises(LanguageError) as caught:
        kuery.parse(text)
    assert caught.value.message == message
    assert caught.value.place is not None
    assert caught.value.place.column == column


TYPES = FieldTable(
    {"name": "keyword", "port": "long", "ip": "ip", "when": "date", "on": "boolean"}
    | {"message": "text", "list": "nested", "list.a": "keyword", "list.b": "long"}
)
MEANS: list[tuple[str, dict[str, Any], bool]] = [
    ("name:bash", {"name": "bash"}, True),
    ("name:bash", {"name": "Bash"}, False),
    ("name:bash", {"name": ["zsh", "bash"]}, True),
    ("not name:bash", {}, True),
    ("name:ba*", {"name": "bash"}, True),
    ("name:BA*", {"name": "bash"}, False),
    (r"name:a\*b", {"name": "a*b"}, True),
    (r"name:a\*b", {"name": "axb"}, False),
    ("name:a?c", {"name": "abc"}, False),
    ("name:a?c*", {"name": "a?cd"}, True),
    ("name:a?c*", {"name": "abcd"}, False),
    ("port:22", {"port": 22}, True),
    ("port:(21 or 22)", {"port": "22"}, True),
    ("port > 100", {"port": 443}, True),
    ("ip:10.0.0.0/8", {"ip": "10.1.2.3"}, True),
    ("not ip:(10.0.0.0/8 or 127.0.0.1)", {"ip": "10.1.2.3"}, False),
    ("when:2024-01-01", {"when": "2024-01-01T15:00:00Z"}, True),
    ("on:true", {"on": True}, True),
    ("message:error", {"message": "An Error, once"}, True),
    ("message:(two errors)", {"message": "An error, two of them"}, True),
    ('message:"two errors"', {"message": "An error, two of them"}, False),
    ('message:"error two"', {"message": "An error, two of them"}, True),
    ("message:err*", {"message": "An Error, once"}, True),
    ("message:*An err*", {"message": "An Error, once"}, True),
    ("list:{ a:x and b:1 }", {"list": [{"a": "x", "b": 2}, {"a": "y", "b": 1}]}, False),
    ("list:{ a:x and b:2 }", {"list": [{"a": "x", "b": 2}, {"a": "y", "b": 1}]}, True),
    ("n*e:bash", {"name": "bash"}, True),
    ("host.*:a", {"host": {"name": "b", "id": "a"}}, True),
    ("host.*:*", {"user": {"name": "b"}}, False),
    ("unknown:5", {"unknown": 5}, True),
]


@pytest.mark.parametrize(("text", "document", "held"), MEANS)
def test_a_query_means_what_kibana_means(text: str, document: dict[str, Any], held: bool) -> None:
    assert evaluate.matches(kuery.parse(text), document, TYPES) is held


SENT: list[tuple[str, dict[str, Any]]] = [
    ("name:bash", {"term": {"name": "bash"}}),
    ('name:("a" or b)', {"terms": {"name": ["a", "b"]}}),
    ("name:ba*", {"wildcard": {"name": {"value": "ba*"}}}),
    ("name:*", {"exists": {"field": "name"}}),
    ("message:two words", {"match": {"message": "two words"}}),
    ('message:"two words"', {"match_phrase": {"message": "two words"}}),
    ("message:a-b*", {"query_string": {"fields": ["message"], "query": r"a\-b*"}}),
    (
        "list:{ a:x }",
        {"nested": {"path": "list", "query": {"term": {"list.a": "x"}}, "score_mode": "none"}},
    ),
    ("free text", {"multi_match": {"type": "best_fields", "query": "free text", "lenient": True}}),
    ("host.*:*", {"exists": {"field": "host.*"}}),
]


@pytest.mark.parametrize(("text", "query"), SENT)
def test_nothing_is_left_to_a_residual(text: str, query: dict[str, Any]) -> None:
    assert dsl.translate(kuery.parse(text), TYPES) == dsl.Compiled(query, None)


def test_a_name_for_several_fields_is_narrowed_down_and_checked() -> None:
    compiled = dsl.translate(kuery.parse("host.*:a"), TYPES)
    assert compiled.query == {"exists": {"field": "host.*"}}
    assert compiled.residual == kuery.parse("host.*:a")


TEXTS = [
    "An Error, once", "cmd.exe /c C:\\Windows\\x.dll", "it's 1,234.5 and 3.14", "a_b __ c-d", "Ä ß",
    "user@example.com", "日本語 text", "a.b.c. d..e", "10.0.0.1:443", "'quoted' text's", "x" * 300,
    "émigré naïve", "foo:bar foo:1", "😀 smile", "1a 2b.c3", "a\u00a0b\tc", "İstanbul KELVIN",
]  # fmt: skip


@pytest.mark.node
def test_words_are_those_of_the_standard_analyzer(es: Elasticsearch) -> None:
    for text in TEXTS:
        answer = es.indices.analyze(analyzer="standard", text=text)
        assert words.words(text) == [token["token"] for token in answer["tokens"]], text
