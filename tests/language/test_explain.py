"""Why a document does or does not satisfy a condition, as a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.language import eql, evaluate, kuery, querydsl, tree
from detector.language.explain import Explanation, as_json, describe, explain
from detector.language.fields import FieldTable
from detector.language.tree import Node
from tests.language import strategies


def parsed(text: str) -> Node:
    (condition,) = tree.conditions(eql.parse(f"any where {text}"))
    return condition


def clauses(explanation: Explanation) -> Iterator[Explanation]:
    yield explanation
    for child in explanation.children:
        yield from clauses(child)


def test_each_clause_shows_its_values_and_the_first_that_decided_is_marked() -> None:
    node = parsed('a == "x" and not (b : "y*" or length(c) > 2) and d > 3')
    found = explain(node, {"a": ["x", "z"], "c": "abc"})
    assert describe(found).split("\n") == [
        "and  ✗",
        '  a = ["x","z"]  ✓ is x',
        "  not  ✗",
        "    or  ✓",
        "      b missing  ✗ not like y* (any case)",
        '      c = "abc"  ✓ length(c) > 2  ← decided',
        "  d missing  ✗ not > 3",
    ]
    assert (found.held, found.children[0].values) == (False, {"a": ["x", "z"]})


@pytest.mark.parametrize(
    ("clause", "document", "line"),
    [
        ('p : ("-i", "-it")', {"p": ["bash", "-c"]}, "✗ none of -i, -it (any case)"),
        ('p in ("a", "b c")', {"p": "b c"}, '✓ one of a, "b c"'),
        ('p not in ("a", "b")', {"p": "b"}, "✗ excluded: one of a, b"),
        ('p != "a"', {"p": "b"}, "✓ is not a"),
        ("p == null", {"p": "b"}, "✗ excluded: is there"),
        ("p != null", {}, "✗ must be there"),
        ('p == "Bash"', {"p": "bash"}, "✗ is not Bash; only upper and lower case differ"),
        ('p like "B*"', {"p": "bash"}, "✗ not like B*; only upper and lower case differ"),
        ('startsWith(p, "x")', {"p": "bash"}, "✗ does not start with x"),
        ('endsWith~(p, "H")', {"p": "bash"}, "✓ ends with H (any case)"),
        ('stringContains(p, "as")', {"p": "bash"}, "✓ contains as"),
        ('p regex "b.+"', {"p": "bash"}, "✓ fits /b.+/"),
        ('cidrMatch(source.ip, "10.0.0.0/8")', {"source.ip": "1.1.1.1"}, "✗ not in 10.0.0.0/8"),
        ("p >= 3", {"p": 3}, "✓ >= 3"),
        ("p == q", {"p": 1, "q": 2}, "✗ not p == q"),
        ("true", {}, "✓ always holds"),
        ('source.ip == "1.1.1.1"', {"source.ip": "x"}, "cannot be found, being no ip"),
        ('process.args : "x*"', {"process.args": "x" * 1025}, "keyword of at most 1,024"),
    ],
)  # fmt: skip
def test_a_clause_says_why(clause: str, document: dict[str, Any], line: str) -> None:
    assert line in describe(explain(parsed(clause), document))


def test_a_long_list_is_cut_and_a_value_is_on_one_line() -> None:
    node = tree.OneOf("p", tuple(f"v{n}" for n in range(1000)))
    (line,) = describe(explain(node, {"p": "x\ny" * 1000})).split("\n")
    assert "v11 and 988 more" in line
    assert len(line) < 500


def test_kibanas_names_with_wildcards_show_the_fields_they_stand_for() -> None:
    node = kuery.parse('host.*: (web or "db 1") and not user.name: *')
    told = describe(explain(node, {"host": {"name": "web", "os": {"type": "linux"}}}))
    assert 'host.name = "web", host.os.type = "linux"  ✓ one of web, "db 1"' in told
    assert "user.name missing  ✓" in told


def test_objects_kept_apart_are_explained_one_by_one() -> None:
    node = kuery.parse("items: { name: a and size > 3 }")
    document = {"items": [{"name": "a", "size": 1}, {"name": "b", "size": 9}]}
    apart = explain(node, document, FieldTable({"items": "nested"}))
    together = explain(node, document)
    assert (apart.held, together.held) == (False, True)
    assert [child.held for child in apart.children] == [False, False]
    assert apart.text == "one of the objects at items"


def test_what_only_elasticsearch_can_answer_is_named_and_leaves_the_answer_open() -> None:
    sent = querydsl.filters([{"query": {"geo_distance": {"distance": "1km", "place": [0, 0]}}}])
    opened = explain(tree.all_of((tree.Exists("a"), sent)), {"a": 1})
    assert opened.held is None
    assert "geo_distance" in describe(opened)
    assert "? only Elasticsearch can answer  ← decided" in describe(opened)
    assert explain(tree.all_of((sent, tree.Exists("b"))), {"a": 1}).held is False
    assert explain(tree.Not(sent), {}).held is None


def test_what_is_sent_with_a_known_meaning_is_explained_by_it() -> None:
    sent = querydsl.filters([{"query": {"match_phrase": {"host.name": "web"}}}])
    assert describe(explain(sent, {"host.name": "db"})).startswith('host.name = "db"  ✗')


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.slow
def test_an_explanation_agrees_with_evaluate_and_its_decision_settles_it(
    data: st.DataObject,
) -> None:
    vocabulary = data.draw(strategies.vocabularies)
    node = data.draw(strategies.trees(strategies.leaves(vocabulary)))
    document = data.draw(strategies.documents(vocabulary))
    found = explain(node, document, strategies.TYPES)
    assert found.held is evaluate.matches(node, document, strategies.TYPES)
    assert sum(clause.decided for clause in clauses(found)) == 1
    assert settled(found) is found.held
    assert as_json(found)["held"] is found.held


def settled(explanation: Explanation) -> bool | None:
    """The answer of the clause that decided, turned round by each `not` above it."""
    if explanation.decided:
        return explanation.held
    for child in explanation.children:
        if any(clause.decided for clause in clauses(child)):
            below = settled(child)
            return (not below) if explanation.joins == "not" else below
    raise AssertionError("nothing decided")
