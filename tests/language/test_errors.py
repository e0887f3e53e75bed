"""What cannot be read ends in an error with its place, and nothing ends otherwise."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LanguageError
from detector.language import dsl, eql, evaluate, tree
from tests.language import tables

CASES: list[dict[str, Any]] = tables.load("errors.yaml")


@pytest.mark.parametrize("case", CASES, ids=[case["query"] for case in CASES])
def test_an_error_says_where_what_and_the_way_out(case: dict[str, Any]) -> None:
    with pytest.raises(LanguageError) as caught:
        eql.parse(case["query"])
    error, place = caught.value, caught.value.place
    assert place is not None
    assert place.text == case["query"].split("\n")[place.line - 1]
    assert case.get("message", error.message) == error.message
    assert case.get("hint", error.hint) == error.hint
    at = f"{place.line}:{place.column}+{place.width}"
    assert case.get("at", at) == at


DEEP = {
    "parentheses": "any where " + "(" * 5_000 + "a" + ")" * 5_000,
    "parentheses never closed": "any where " + "(" * 200_000,
    "negations": "any where " + "not " * 5_000 + "a",
    "signs": "any where 1 == " + "- " * 5_000 + "1",
    "sums": "any where 1 == a" + " + a" * 5_000,
    "functions": "any where " + "string(" * 5_000 + "a" + ")" * 5_000 + ' == "x"',
    "a million characters": "any where " + " or ".join(["a == 1"] * 100_000),
    "one long string": f'any where a == "{"x" * 1_000_000}"',
    "one long name": f"any where {'x' * 1_000_000}",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_too_much_is_refused(text: str) -> None:
    with pytest.raises(LanguageError, match=r"levels of nesting|is longer than"):
        eql.parse(text)


ENDLESS = {
    "comments never closed": "any where " + "()" * 200 + "/*" * 200_000,
    "strings never closed": "any where " + "()" * 200 + '"\n' * 200_000,
    "quotes": "any where " + "()" * 200 + '"' * 400_001,
    "backquotes": "any where " + "()" * 200 + "`" * 400_001,
    "slashes": "any where " + "()" * 200 + "/" * 400_000,
    "backslashes": 'any where a == "' + "\\" * 400_001,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS.keys())
def test_text_that_leads_nowhere_is_refused_in_linear_time(text: str) -> None:
    with pytest.raises(LanguageError):
        eql.parse(text)


NESTED = {
    "parentheses": "any where " + "(a == 1 or (a == 2 and " * 24 + "a" + "))" * 24,
    "negations": "any where " + "not " * 90 + "a",
    "sums": "any where 1 == a" + " + a" * 90,
    "functions": "any where " + "string(" * 90 + "a" + ")" * 90 + ' == "x"',
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED.keys())
def test_what_is_accepted_is_safe_to_use_in_a_thread(text: str) -> None:
    done: list[bool] = []

    def use() -> None:
        node = eql.parse(text)
        assert not isinstance(node, tree.Sequence | tree.Sample | tree.Piped)
        compiled = dsl.translate(node)
        evaluate.matches(node, {"a": ["1", 2]})
        assert eql.parse(eql.render(node)) == node
        done.append(compiled is not None)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert done


PIECES = st.sampled_from([
    "any", "process", "where", "and", "or", "not", "in", "in~", "like", "like~", "regex", ":", "==",
    "!=", "<", ">=", "(", ")", ",", '"x"', '"""y"""', "a.b", "?c", "`d e`", "1", "2.5", "-", "*",
    "true", "null", "startsWith", "length", "cidrMatch~", "sequence", "sample", "by", "with",
    "maxspan", "=", "5m", "[", "]", "![", "until", "runs", "|", "head", "//", "/*", "*/", "\n", "'",
])  # fmt: skip


@settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=40) | st.lists(PIECES, max_size=25).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        eql.parse(text)
    except LanguageError as error:
        assert error.place is not None
        assert 1 <= error.place.column <= len(error.place.text) + 1
