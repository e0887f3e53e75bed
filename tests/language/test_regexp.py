"""Lucene's regular expressions, by hand and against the node that defines them."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import LanguageError
from detector.language import regexp

CASES = [
    ("abc", "abc", True),
    ("abc", "xabcx", False),
    ("", "", True),
    ("", "a", False),
    ("a|b", "b", True),
    ("ab?", "a", True),
    ("ab*", "abbb", True),
    ("ab+", "a", False),
    ("a{2}", "aa", True),
    ("a{2,}", "aaaa", True),
    ("a{1,2}", "aaa", False),
    (".", "\n", True),
    (".", "🦊", True),
    ("[a-c]+", "abcabc", True),
    ("[^a-c]", "d", True),
    ("[^a-c]", "a", False),
    ("[-a]", "-", True),
    (r"[\]]", "]", True),
    (r"a\.b", "a.b", True),
    (r"a\.b", "axb", False),
    ('"a.b"', "a.b", True),
    ('"a.b"', "axb", False),
    ("^a$", "a", False),
    ("^a$", "^a$", True),
    (r"\d+", "2024", True),
    (r"\w+\s\w+", "two words", True),
    (r"\S+", "two words", False),
    (r"[\d_]+", "1_2", True),
    ("a.*?b", "a--b", True),
    ("()", "", True),
    ("#", "", False),
    ("@", "anything at all", True),
    ("@&[0-9]+", "12", True),
    ("[a-z]+&.{3}", "abc", True),
    ("[a-z]+&.{3}", "abcd", False),
    ("~(ab)", "ab", False),
    ("~(ab)", "abc", True),
    ("<1-100>", "7", True),
    ("<1-100>", "007", True),
    ("<1-100>", "101", False),
    ("<01-12>", "7", False),
    ("<01-12>", "07", True),
    ("<0-5>", "0", True),
    ("a<3-17>b", "a12b", True),
]

CASED = [
    ("abc", "ABC", True),
    ("[abc]x", "BX", True),
    ("[a-c]x", "Bx", False),
    ("[^a]", "A", False),
    (r"\w", "A", True),
    ("é", "É", True),
    ("s", "\u017f", True),
]


@pytest.mark.parametrize(("pattern", "value", "expected"), CASES)
def test_a_pattern_fits_the_whole_value(pattern: str, value: str, expected: bool) -> None:
    assert regexp.compile(pattern).matches(value) is expected


@pytest.mark.parametrize(("pattern", "value", "expected"), CASED)
def test_any_case_folds_characters_but_not_ranges(pattern: str, value: str, expected: bool) -> None:
    assert regexp.compile(pattern, any_case=True).matches(value) is expected


@pytest.mark.parametrize(
    ("pattern", "column"),
    [
        ("a(b", 3),
        ("a)", 2),
        ("[ab", 3),
        ('"ab', 2),
        ("a{", 2),
        ("a{2,1}", 6),
        ("<name>", 2),
        ("\\", 1),
        (r"a\b", 3),
    ],
)
def test_a_pattern_that_cannot_be_read_says_where(pattern: str, column: int) -> None:
    with pytest.raises(LanguageError) as raised:
        regexp.compile(pattern)
    assert raised.value.place is not None
    assert raised.value.place.column == column


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(.*.*.*)*x", "(a?){50}a{50}b", "((a+)+)+b"]
)
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    value = "a" * 10_000
    began = time.monotonic()
    assert not regexp.compile(pattern).matches(value)
    assert time.monotonic() - began < 1


def test_a_pattern_with_too_many_states_is_an_error() -> None:
    text = "".join(random.Random(1).choices("ab", k=40_000))
    with pytest.raises(LanguageError, match="too complex"):
        regexp.compile("(a|b)*a(a|b){300}").matches(text)


def test_lone_surrogates_are_characters() -> None:
    assert regexp.compile("a.").matches("a\ud800")


atoms = st.sampled_from(
    [
        "a",
        "b",
        "A",
        "1",
        ".",
        "[ab]",
        "[^a]",
        "[a-c1]",
        '"a."',
        r"\.",
        r"\d",
        r"\w",
        r"\S",
        "@",
        "#",
        "()",
        "<1-12>",
        "<01-12>",
        "^",
        "$",
        "é",
        "s",
        "[^As]",
        "[éa]",
    ]
)
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}&{pair[1]})"),
        inner.map(lambda p: f"~({p})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)  # fmt: skip
values = st.text(alphabet="abAB12.^$éÉsS\u017f_ \n", max_size=6)


@pytest.mark.node
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(patterns, min_size=20, max_size=20),
    st.lists(values, min_size=20, max_size=20),
    st.booleans(),
)
def test_a_pattern_means_what_the_node_says(
    es: Elasticsearch, some: list[str], texts: list[str], any_case: bool
) -> None:
    texts = sorted({text for text in texts if text})
    es.indices.delete(index="regexps", ignore_unavailable=True)
    es.indices.create(index="regexps", mappings={"properties": {"f": {"type": "keyword"}}})
    lines: list[Any] = []
    for number, text in enumerate(texts):
        lines += [{"index": {"_id": str(number)}}, {"f": text}]
    if lines:
        es.bulk(index="regexps", operations=lines, refresh=True)
    searches: list[Any] = []
    for pattern in some:
        query = {"value": pattern, "flags": "ALL", "case_insensitive": any_case}
        searches += [{}, {"query": {"regexp": {"f": query}}, "size": 100, "_source": False}]
    responses = es.msearch(index="regexps", searches=searches)["responses"]
    for pattern, response in zip(some, responses, strict=True):
        if "error" in response:
            continue  # the node refuses more states than we do
        found = {texts[int(hit["_id"])] for hit in response["hits"]["hits"]}
        matches = regexp.compile(pattern, any_case=any_case).matches
        assert {text for text in texts if matches(text)} == found, (pattern, any_case)
