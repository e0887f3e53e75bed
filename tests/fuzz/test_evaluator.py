"""Whatever an event holds and a pattern asks, the evaluator answers, and in bounded time."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import LanguageError
from detector.language import eql, evaluate, fields, functions, kuery, pattern, regexp
from tests.language import strategies

pytestmark = pytest.mark.slow

FUZZ = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SECONDS = 4.0  # of processor time; most take hundredths of one


@contextmanager
def in_time() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


PATTERNS = [
    "(a|aa)*b", "(a*)*b", "(a+)+b", "(.*a){30}", "(.*a){100}", "([ab]*a){60}", ".*.*.*.*.*.*.*.*x",
    "((a{1000}){1000})", "(a{1,1000}){1,1000}b", "(.{0,50}){0,50}x", "(a?){1000}a{1000}",
    "(a?){100000}", "a{100000}", "~(.*a.*b.*)", "~(~(~((a|aa)*b)))", "(.*a.{20})&~(.*b.{20})",
    "(@a@)&(@b@)&(@c@)&(@d@)&(@e@)&(@f@)", "((a|b)*&~((a|b)*aa(a|b)*))*c", "(<1-1000000>)*x",
    "(a|b)*a(a|b){300}", "(a|b)*a(a|b){15}c", "(" * 60 + "a" + "*)" * 60,
]  # fmt: skip
TEXTS = {
    "a": "a" * 50_000,
    "ab": "ab" * 25_000,
    "aab": "aab" * 20_000,
    "nearly": "a" * 5_000 + "b",
    "beyond the BMP": "\U0001f600" * 30_000,
}


@pytest.mark.parametrize("text", PATTERNS, ids=lambda text: text[:24])
def test_a_regular_expression_answers_in_time_or_says_it_is_too_complex(text: str) -> None:
    for name, any_case in (("a", False), ("nearly", True)):
        with in_time():
            try:
                regexp.compile(text, any_case=any_case).matches(TEXTS[name])
            except LanguageError as error:
                assert "too complex" in error.message


NESTED = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "(a|aa)", "a?", "<1-99>", "@"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}&{pair[1]})"),
        inner.map(lambda one: f"~({one})"),
        st.tuples(inner, st.sampled_from(["*", "+", "{9}", "{0,40}", "{50,}", "{1000}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@FUZZ
@given(NESTED, st.sampled_from(sorted(TEXTS)))
def test_any_regular_expression_answers_in_time(text: str, which: str) -> None:
    with in_time():
        try:
            regexp.compile(text).matches(TEXTS[which][:3_000])
        except LanguageError as error:
            assert error.message


GLOBS = [
    "*a" * 1_000, "*a*" * 500 + "b", "*?" * 1_000, "*" * 10_000 + "b", "a*" * 5_000 + "b",
    "*" + "a?" * 500 + "*b*" + "?a" * 500, "*" + "a" * 1_000 + "b*", "*ab*" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("text", GLOBS, ids=lambda text: text[:12])
def test_wildcards_answer_in_time(text: str) -> None:
    for value in TEXTS.values():
        with in_time():
            pattern.glob((text,), any_case=True)(value)


ODD: list[Any] = [
    None, True, False, 0, -1, 1, 36, 99, 2**64, 10**400, -(10**400), 1e308, -1e308, 0.1,
    float("inf"), float("-inf"), float("nan"), "", "a", "0x", "0x1g", "-0x1", "1e400", "nan", "inf",
    "9" * 5_000, "1_000", "\u0663", "\ud800", "b\ud83d", "\0", "a" * 100, "10.0.0.1", "::1", " 1",
    "10.0.0.0/8", "1.2.3.4/99", "fe80::1%eth0", "+1", "--1", "\U0001f600", "2024-02-30",
    "9999-12-31T23:59:59.999999999+18:00", "0000-00-00",
]  # fmt: skip


def arguments(function: functions.Function) -> Iterator[tuple[Any, ...]]:
    """Every pair of odd values; of longer lists some by chance."""
    chance = random.Random(function.name)
    for length in range(function.least, (function.most or function.least + 1) + 1):
        if length < 3:
            yield from itertools.product(ODD, repeat=length)
        else:
            yield from (tuple(chance.choices(ODD, k=length)) for _ in range(500))


@pytest.mark.parametrize("function", functions.BY_NAME.values(), ids=lambda one: one.name)
def test_a_function_takes_any_value_of_an_event(function: functions.Function) -> None:
    with in_time():
        for args in arguments(function):
            functions.apply(function.name, args)
            functions.apply(function.name, args, any_case=True)


VALUES = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "args", "inner", "", ".", "a.b"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
NAMES = st.sampled_from([*strategies.MAPPING, "process", "process.args", "source", "event", ""])
VOCABULARY = strategies.Vocabulary(("a", "\ud800", "1", "10.0.0.1"))


def condition(text: str) -> Any:
    """The tree of a condition, which is no sequence."""
    return eql.parse(f"any where {text}")


CALCULATED = [
    condition(text)
    for text in (
        "length(name) > 0", "name < args", "cidrMatch(name, \"10.0.0.0/8\")", "number(args) == 1",
        "number(name, count) > 1", "substring(args, count, ratio) == name", "count / small == 0",
        "indexOf(name, args, ratio) == 1", 'string(@timestamp) == "x"', "ratio % rough < count",
        "between(name, args, short, true) == name", "concat(name, count, ratio) != short",
        "count * count * count > ratio", "string(source.ip) >= name", "not length(short) < ratio",
    )
]  # fmt: skip


@FUZZ
@given(
    strategies.trees(strategies.leaves(VOCABULARY) | st.sampled_from(CALCULATED)),
    st.dictionaries(NAMES, VALUES, max_size=6),
)
def test_any_event_is_judged_by_any_condition(node: Any, document: dict[str, Any]) -> None:
    with in_time():
        for types in (strategies.TYPES, fields.ECS):
            assert evaluate.matches(node, document, types) in {True, False}


def nested(levels: int, made: Any = "a") -> Any:
    for level in range(levels):
        made = {"name": made} if level % 2 else [made, {"name": "b"}]
    return made


@pytest.mark.parametrize("levels", [100, 10_000, 100_000])
def test_an_event_nested_ever_so_deep_is_judged(levels: int) -> None:
    document = {"name": nested(levels)}
    for text in ('name == "a"', "length(name) > 3", 'name.name : "a*"', "?name.x == null"):
        with in_time():
            evaluate.matches(condition(text), document)


PIECES = st.sampled_from([
    "process.name", ":", "*", "(", ")", "and", "or", "not", "{", "}", '"x"', '"', "\\", "<", ">=",
    "10.0.0.0/8", "a*b", "\\u00", "\\:", "\ud800", "\0", "\u202e", "1", "true", "null", "\n", ",",
])  # fmt: skip


@FUZZ
@given(st.text(max_size=30) | st.lists(PIECES, max_size=20).map(" ".join))
def test_any_kuery_is_read_or_refused(text: str) -> None:
    try:
        kuery.parse(text)
    except LanguageError as error:
        assert error.place is not None


@pytest.mark.parametrize(
    "text",
    ["(" * 200_000, "not " * 50_000 + "a", "a:" + "(b or " * 5_000 + "c" + ")" * 5_000,
     "a:{" * 5_000, '"' * 100_001, "a:" + "*" * 100_000, "a or " * 5_000 + "b", "\\" * 100_001],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_a_kuery_made_to_hang_is_refused_in_time(text: str) -> None:
    with in_time():
        try:
            kuery.parse(text)
        except LanguageError as error:
            assert error.message
