"""Text to tree and back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.language import eql
from detector.language.tree import (
    And,
    Call,
    Compare,
    Equals,
    Everything,
    Exists,
    Field,
    Holds,
    InNetwork,
    Like,
    Literal,
    Node,
    Not,
    Nothing,
    OneOf,
    Or,
    Pipe,
    Piped,
    Regex,
    Sample,
    Sequence,
    StartsWith,
    Step,
    fields_of,
    keys_of,
    leaves,
)
from tests.language import strategies

X = Equals("a", "x")

READ: dict[str, Node] = {
    'a == "x"': X,
    '"x" == a': X,
    'a != "x"': Not(X),
    "?a == true": Equals("a", True, optional=True),
    "a": Equals("a", True),
    "1 < a": Compare("a", ">", 1),
    "a >= -1.5": Compare("a", ">=", -1.5),
    "a == null": Not(Exists("a")),
    "null != a": Exists("a"),
    'a in ("x", 1, null)': OneOf("a", ("x", 1)),
    'a not in~ ("x")': Not(OneOf("a", ("x",), any_case=True)),
    'a : "x"': Like("a", ("x",), any_case=True),
    'a like~ ("x*", "y")': Like("a", ("x*", "y"), any_case=True),
    'wildcard(a, "x*", "y")': Like("a", ("x*", "y")),
    'a regex ("x.", "y")': Regex("a", ("x.", "y")),
    'STARTSWITH~(a, "x")': StartsWith("a", "x", any_case=True),
    'startsWith(a, "x") == false': Not(StartsWith("a", "x")),
    'true != startsWith(a, "x")': Not(StartsWith("a", "x")),
    'cidrMatch(a, "::1")': InNetwork("a", ("::1",)),
    'a == number("0x32", 16)': Equals("a", 50),
    "a == 1 + 2 * 3 - -1": Equals("a", 8),
    'a == "x" and (a == "x" and a == "x")': And((X, X, X)),
    'a == "x" or (a == "x" or not a == "x")': Or((X, X, Not(X))),
    'a == "x" and startsWith("abc", "b")': And((X, Nothing())),
    'a == "x" and a == "y"': And((X, Equals("a", "y"))),
    'a in ("x") and a in ("y")': And((OneOf("a", ("x",)), OneOf("a", ("y",)))),
    "a > 1 and a < 0": And((Compare("a", ">", 1), Compare("a", "<", 0))),
    "not a > 1": Not(Compare("a", ">", 1)),
    "a == b": Holds(Call("==", (Field("a"), Field("b")))),
    "length(a) > 5": Holds(Call(">", (Call("length", (Field("a"),)), Literal(5)))),
    "5 < length(a)": Holds(Call(">", (Call("length", (Field("a"),)), Literal(5)))),
    "a + 1 == 2": Holds(Call("==", (Call("add", (Field("a"), Literal(1))), Literal(2)))),
}


@pytest.mark.parametrize(("text", "node"), READ.items(), ids=READ.keys())
def test_a_condition_is_read(text: str, node: Node) -> None:
    assert eql.parse(f"any where {text}") == node


def test_the_category_is_a_clause_of_the_field_that_is_given() -> None:
    assert eql.parse("process where true", category_field="kind") == Equals("kind", "process")
    assert eql.parse('process where a == "x"') == And((Equals("event.category", "process"), X))
    assert eql.parse("process where false") == Nothing()
    assert eql.parse("any where true") == Everything()


def test_pipes_stay_with_an_event_query() -> None:
    assert eql.parse("any where true | tail 5 | head 2") == Piped(
        Everything(), (Pipe("tail", 5), Pipe("head", 2))
    )


def test_a_sequence_is_read_whole() -> None:
    query = eql.parse(
        """
        sequence by host.id, ?user.id with maxspan=1m
          [any where a == "x"] by process.pid with runs=3
          ![any where true] by process.parent.pid
          [file where a == "x"] by x
        until [any where false] by y
        | head 1
        """
    )
    assert query == Sequence(
        steps=(
            Step(X, (Field("process.pid"),), runs=3),
            Step(Everything(), (Field("process.parent.pid"),), absent=True),
            Step(And((Equals("event.category", "file"), X)), (Field("x"),)),
        ),
        by=(Field("host.id"), Field("user.id", optional=True)),
        max_span=timedelta(minutes=1),
        until=Step(Nothing(), (Field("y"),)),
        pipes=(Pipe("head", 1),),
    )
    assert keys_of(query, query.steps[0])[-1] == Field("process.pid")
    assert fields_of(query) >= {"host.id", "user.id", "y", "a", "event.category"}
    assert eql.parse(eql.render(query)) == query


def test_a_sample_is_read() -> None:
    query = eql.parse('sample by host [any where a == "x"] by b [any where true] by c')
    assert query == Sample(
        (Step(X, (Field("b"),)), Step(Everything(), (Field("c"),))), by=(Field("host"),)
    )
    assert eql.parse(eql.render(query)) == query


@pytest.mark.parametrize("span", ["500ms", "3 s", "2m", "1h", "1d"])
def test_a_span_has_a_unit(span: str) -> None:
    query = eql.parse(f"sequence with maxspan={span} [any where true] [any where true]")
    assert isinstance(query, Sequence)
    assert query.max_span is not None
    assert eql.parse(eql.render(query)) == query


def test_leaves_come_in_the_order_they_are_written() -> None:
    query = eql.parse("any where not (a or (b and c)) and d")
    assert [eql.condition(leaf) for leaf in leaves(query)] == [f"{name} == true" for name in "abcd"]


names = st.sampled_from(["a", "a.b", "@t", "by", "with space", "a`b", "1a", "a.", "ä", "in.x"])
texts = st.text(max_size=6)
expressions = st.recursive(
    names.map(Field) | st.builds(Field, names, st.just(True)),
    lambda inner: (
        st.builds(lambda left, right: Call("concat", (left, right)), inner, inner)
        | st.builds(lambda one, text: Call("indexOf", (one, Literal(text)), True), inner, texts)
        | st.builds(lambda left, right: Call("add", (left, right)), inner, inner)
        | st.builds(lambda one: Call("not", (Call("is null", (one,)),)), inner)
        | st.builds(lambda one: Call("and", (one, Call("like", (one, Literal("x*"))))), inner)
    ),
    max_leaves=4,
)
held = st.builds(lambda one, text: Holds(Call("==", (one, Literal(text)))), expressions, texts)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    strategies.vocabularies.flatmap(
        lambda words: strategies.trees(strategies.leaves(words) | strategies.unpushable)
    )
)
@pytest.mark.slow
def test_what_is_rendered_is_read_back(node: Node) -> None:
    assert eql.parse(eql.render(node)) == node


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(names, texts, st.booleans())
def test_names_and_texts_survive_rendering(name: str, text: str, optional: bool) -> None:
    node = Or((Equals(name, text, optional), Not(Like(name, (text, "*"), True, optional))))
    assert eql.parse(eql.render(node)) == node


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(held.filter(lambda node: isinstance(node.expression.args[0], Call)))
def test_expressions_survive_rendering(node: Holds) -> None:
    again = eql.parse(eql.render(node))
    assert again == node or eql.parse(eql.render(again)) == again
