"""Lucene's regular expressions, by hand and against the node that defines them."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from detector.errors import LanguageError
from detector.language import codepoints, regexp
from tests.language import tables

TABLE = tables.load("regexp.yaml")
PATTERNS: list[dict[str, Any]] = TABLE["patterns"]
ERRORS: list[dict[str, Any]] = TABLE["errors"]


def names(cases: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{case['pattern']}{'~' if case.get('any_case') else ''}" for case in cases]


def fitting(pattern: str, values: Sequence[str], *, any_case: bool) -> set[str] | None:
    """The values that fit; None where the pattern cannot be read."""
    try:
        matches = regexp.compile(pattern, any_case=any_case).matches
    except LanguageError:
        return None
    return set(filter(matches, values))


@pytest.mark.parametrize("case", PATTERNS, ids=names(PATTERNS))
def test_a_pattern_fits_whole_values(case: dict[str, Any]) -> None:
    values = [*case["fits"], *case["fails"]]
    found = fitting(case["pattern"], values, any_case=case.get("any_case", False))
    assert found == set(case["fits"])


@pytest.mark.parametrize("case", ERRORS, ids=names(ERRORS))
def test_a_pattern_that_cannot_be_read_says_where(case: dict[str, Any]) -> None:
    with pytest.raises(LanguageError) as raised:
        regexp.compile(case["pattern"])
    assert raised.value.message.startswith(case["message"])
    assert raised.value.place is not None
    assert (raised.value.place.column, raised.value.place.text) == (case["column"], case["pattern"])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("cmd.exe", False), ("a|b", False), (r"a\b", False), ("^a-b$ c/d", True), ("", True)],
)
def test_a_pattern_without_operators_is_literal(pattern: str, expected: bool) -> None:
    assert regexp.is_literal(pattern) is expected


def test_lone_surrogates_are_characters() -> None:
    assert regexp.compile("a[\ud800].", any_case=True).matches("A\ud800\udfff")
    assert not regexp.compile("a[^\ud800]").matches("a\ud800")


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b",
        "(a|a)*b",
        "(.*.*.*)*x",
        "((a+)+)+b",
        "(a?){50}a{50}b",
        "a?" * 100 + "b",
        "(.*){1,100}x",
        "a" * 9_999 + "b",
        "~(.*b.*)&.*c",
    ],
    ids=lambda pattern: pattern[:20],
)
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    value = "a" * 10_000
    began = time.process_time()
    assert not regexp.compile(pattern).matches(value)
    assert time.process_time() - began < 0.5


def test_short_values_pass_at_a_million_characters_a_second() -> None:
    values = [f"powershell.exe -enc {number}" for number in range(5_000)]
    matches = regexp.compile(r".*\\(cmd|powershell|pwsh)\.exe.*", any_case=True).matches
    began = time.process_time()
    assert not any(map(matches, values))
    assert sum(map(len, values)) / (time.process_time() - began) > 1_000_000


@pytest.mark.parametrize("pattern", ["(a|b)*a(a|b){300}", "(.{1,50}){1,50}x", "(a|b?)" * 3_000])
def test_a_pattern_with_too_many_states_is_an_error(pattern: str) -> None:
    text = "".join(random.Random(1).choices("ab", k=40_000))
    began = time.process_time()
    with pytest.raises(LanguageError, match="too complex"):
        regexp.compile(pattern).matches(text)
    assert time.process_time() - began < 5


@pytest.mark.slow
def test_states_that_earlier_values_led_to_are_let_go() -> None:
    """Each value leads to a few states of its own; all of them together are too many."""
    chance = random.Random(1)
    matches = regexp.compile("(a|b)*a(a|b){60}").matches
    for _ in range(300):
        text = "".join(chance.choices("ab", k=150))
        assert matches(text) is (text[-61] == "a")


@pytest.mark.parametrize(
    "pattern",
    ["(" * 100_000 + "a", "(" * 65 + "a" + ")" * 65, "a" + "{2}" * 5_000, "a{100001}"],
    ids=lambda pattern: pattern[:10],
)
def test_a_pattern_beyond_the_limits_is_an_error(pattern: str) -> None:
    with pytest.raises(LanguageError, match=r"nested too deeply|repetitions"):
        regexp.compile(pattern)


@pytest.mark.parametrize("inner", ["({}b)*", "(a|b{})", "~(a{})", "({}&.*)", "(x?{}){{2,3}}"])
def test_a_pattern_as_deep_as_allowed_needs_little_stack(inner: str) -> None:
    pattern = "a"
    while fitting(following := inner.format(pattern), [], any_case=False) is not None:
        pattern = following
    limit = sys.getrecursionlimit()
    depth = len(list(itertools.takewhile(bool, _frames())))
    sys.setrecursionlimit(depth + 500)
    try:
        regexp.compile(pattern).matches("ab" * 200)
    finally:
        sys.setrecursionlimit(limit)


def _frames() -> Any:
    frame: Any = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back


# Against the node

ATOMS = [
    *("a", "b", "A", "1", ".", "[ab]", "[^a]", "[a-c1]", "[^As]", "[éa]", '"a."', r"\.", r"\d"),
    *(r"\w", r"\S", "@", "#", "()", "<1-12>", "<01-12>", "^", "$", "é", "s", r"[\d-b]", r"[\.-9]"),
]
WRITTEN = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}&{pair[1]})"),
        inner.map(lambda pattern: f"~({pattern})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)
# Most of these cannot be read: the node must think so too.
SCRIBBLED = st.lists(
    st.sampled_from([*'abA12-()[]{}|&~*+?.^\\"<>#@,', "(a", "b)", "{1,", "[^", "<1-"]),
    min_size=1,
    max_size=7,
).map("".join)
VALUES = ["", *map("".join, itertools.product("abA1.", repeat=2)), *"abAs1295.^$éÉsS\u017f_ \n-]\\"]
VALUES += [
    "aab",
    "bab",
    "12",
    "05",
    "a.b",
    "éa",
    "aSs",
    "111",
    "A A",
    "ab12",
    "sssss",
    "(a)",
    "a|b",
]
VALUES = sorted(set(VALUES))


def store(es: Elasticsearch, values: Sequence[str]) -> None:
    es.indices.create(
        index="regexps",
        mappings={"properties": {"f": {"type": "keyword"}}},
        settings={"number_of_shards": 1, "number_of_replicas": 0},
    )
    actions = [
        {"_index": "regexps", "_id": str(number), "f": value} for number, value in enumerate(values)
    ]
    helpers.bulk(es, actions, refresh=True)


def answered(
    es: Elasticsearch, patterns: Sequence[str], values: Sequence[str], *, any_case: bool
) -> list[set[str] | None]:
    """For each pattern the values the node finds; None where it cannot read the pattern."""
    searches: list[dict[str, Any]] = []
    for pattern in patterns:
        query = {"value": pattern, "flags": "ALL", "case_insensitive": any_case}
        searches += [{}, {"query": {"regexp": {"f": query}}, "size": 5_000, "_source": False}]
    answers: list[set[str] | None] = []
    for answer in es.msearch(index="regexps", searches=searches)["responses"]:
        assert "too_complex" not in str(answer.get("error")), answer
        hits = None if "error" in answer else answer["hits"]["hits"]
        answers.append(None if hits is None else {values[int(hit["_id"])] for hit in hits})
    return answers


@pytest.mark.node
@pytest.mark.parametrize("any_case", [False, True])
def test_the_table_means_on_the_node_what_it_means_here(es: Elasticsearch, any_case: bool) -> None:
    cases = [case for case in PATTERNS if case.get("any_case", False) is any_case] + ERRORS
    values = sorted({value for case in PATTERNS for value in [*case["fits"], *case["fails"]]})
    store(es, values)
    patterns = [case["pattern"] for case in cases]
    answers = answered(es, patterns, values, any_case=any_case)
    assert dict(zip(patterns, answers, strict=True)) == {
        pattern: fitting(pattern, values, any_case=any_case) for pattern in patterns
    }


@pytest.mark.node
@pytest.mark.parametrize("any_case", [False, True])
def test_any_pattern_means_what_the_node_says(es: Elasticsearch, any_case: bool) -> None:
    store(es, VALUES)

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.one_of(WRITTEN, SCRIBBLED), min_size=40, max_size=40))
    def hold(patterns: list[str]) -> None:
        answers = answered(es, patterns, VALUES, any_case=any_case)
        for pattern, answer in zip(patterns, answers, strict=True):
            assert fitting(pattern, VALUES, any_case=any_case) == answer, pattern

    hold()


@pytest.mark.node
def test_case_folds_as_on_the_node_for_every_letter_of_the_bmp(es: Elasticsearch) -> None:
    every = map(chr, range(0xD800))
    letters = [one for one in every if codepoints.cases(one) != codepoints.of(one)]
    store(es, letters)
    for start in range(0, len(letters), 500):
        some = letters[start : start + 500]
        answers = answered(es, some, letters, any_case=True)
        for letter, answer in zip(some, answers, strict=True):
            assert fitting(letter, letters, any_case=True) == answer, letter
