"""Random trees and documents that meet often: few words, many disguises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from detector.language import functions, querydsl, tree
from detector.language.fields import FieldTable
from detector.language.tree import Node

Grid: TypeAlias = tuple[list[dict[str, Any]], list[Node]]
"""Documents, and conditions each of which is asked of every one of them."""

MAPPING: dict[str, dict[str, Any]] = {
    "name": {"type": "keyword"},
    "args": {"type": "keyword"},
    "short": {"type": "keyword", "ignore_above": 4},
    "process.name": {"type": "keyword"},
    "process.args.inner": {"type": "keyword"},
    "count": {"type": "long"},
    "small": {"type": "short"},
    "ratio": {"type": "double"},
    "rough": {"type": "float"},
    "rougher": {"type": "half_float"},
    "whole": {"type": "integer"},
    "flag": {"type": "boolean"},
    "source.ip": {"type": "ip"},
    "@timestamp": {"type": "date"},
    "precise": {"type": "date_nanos"},
    "message": {"type": "text"},
    "items": {
        "type": "nested",
        "properties": {"name": {"type": "keyword"}, "count": {"type": "long"}},
    },
}
TYPES = FieldTable(
    {name: properties["type"] for name, properties in MAPPING.items()}
    | {"items.name": "keyword", "items.count": "long"},
    ignore_above={"short": 4},
)

STRINGS = ["name", "args", "short", "process.name", "process.args.inner"]
NUMBERS = ["count", "small", "whole", "ratio", "rough", "rougher"]
TIMES = ["@timestamp", "precise"]

WORDS = [
    "", "a", "A", "ab", "aB", "abc", "ABC", "b*b", "a?c", "*", "?", "a\\b", "\\", "\\\\", "C:\\Win",
    "c:\\win", "ä", "Ä", "ß", "İ", "K", "k", "😀", "a😀", "\U00010400", "\ufffd", "a b", " ",
    "a\nb", "a.b", "[a]", "(a)", "a|b", "@", "#", "~a", "<1-3>", "a&b", '"a"', "x-i", "-i", "1",
    "true", "2024-01-01", "/bin/bash", "/BIN/bash", "bash", "abcd", "abcde", "ääää",
]  # fmt: skip
ADDRESSES = ["10.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"]
NETWORKS = [*ADDRESSES, "10.0.0.0/8", "10.0.0.1/31", "0.0.0.0/0", "::/0", "fe80::/10", "::1/128"]
DATES = [
    "2024-01-01", "2024-01-01T00:00:00.000Z", "2024-01-01T10:00", "2024-01-01T10:00:00.123456Z",
    "2024-01-01T12:00:00+02:00", "2024-02-29", "2024-01", "2023-12-31T23:59:59.999Z",
]  # fmt: skip
WHOLE_DATES = [date for date in DATES if date != "2024-01-01T10:00"]
INTEGERS = [0, 1, -1, 2, 5, 7, 255, 32767, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
SMALL = [0, 1, -1, 2, 5, 7, 255, 32767, -32768]
FLOATS = [0.0, 0.1, -0.5, 1.0, 2.5, 5.7, 1e10, 0.30000001192092896]


def _disguises(word: str) -> list[str]:
    """The word, in other case, and as patterns that fit it."""
    half = len(word) // 2
    glob = [word[:half] + "*", "*" + word[half:], word[:half] + "?" + word[half + 1 :]]
    return [word, word.swapcase(), word.upper(), *glob, *(one.swapcase() for one in glob)]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The few words that documents and trees of one grid are made of, so that they meet."""

    words: tuple[str, ...]

    def values(self) -> st.SearchStrategy[str]:
        return st.sampled_from([case for w in self.words for case in (w, w.swapcase(), w + "b")])

    def patterns(self) -> st.SearchStrategy[str]:
        disguised = [one for word in self.words for one in _disguises(word)]
        return st.sampled_from(disguised) | st.text("*?aB\\ä", max_size=4)


vocabularies = st.lists(st.sampled_from(WORDS), min_size=4, max_size=6).map(
    lambda words: Vocabulary(tuple(words))
)
numbers = st.sampled_from(INTEGERS) | st.sampled_from(FLOATS) | st.sampled_from(["1", "5.0", "x"])


def scalars(field: str, vocabulary: Vocabulary) -> st.SearchStrategy[tree.Scalar]:
    """Literals a query may compare `field` with, some of them of the wrong type."""
    kinds: dict[str, st.SearchStrategy[tree.Scalar]] = {
        "boolean": st.booleans() | st.sampled_from(["true", "false", "yes", ""]),
        "ip": st.sampled_from([*NETWORKS, "x"]),
        "date": st.sampled_from([*DATES, "x", 1704067200000, 0]),
        "date_nanos": st.sampled_from([*DATES, "x"]),
    }
    if field in NUMBERS:
        return numbers
    texts = vocabulary.values() | st.sampled_from([1, 0, True, 0.1])
    return kinds.get(MAPPING[field]["type"], texts)


@st.composite
def leaves(draw: st.DrawFn, vocabulary: Vocabulary) -> Node:
    """A leaf that a query can say."""
    field = draw(st.sampled_from(sorted(MAPPING.keys() - {"message", "items"})))
    order = draw(st.sampled_from(["<", "<=", ">", ">="]))
    values = tuple(draw(st.lists(scalars(field, vocabulary), min_size=1, max_size=3)))
    general: list[Node] = [
        tree.Exists(field),
        tree.Equals(field, values[0]),
        tree.OneOf(field, values),
        tree.Compare(field, cast("tree.Order", order), values[0]),
        tree.Everything(),
        tree.Nothing(),
    ]
    if field == "source.ip":
        networks = draw(st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=2))
        general.append(tree.InNetwork(field, tuple(networks)))
    if field not in STRINGS:
        return draw(st.sampled_from(general))
    return draw(st.sampled_from(general) | string_leaves(field, vocabulary))


@st.composite
def sayings(draw: st.DrawFn, vocabulary: Vocabulary) -> Node:
    """What KQL has words for and EQL has not."""
    field = draw(st.sampled_from(sorted(MAPPING.keys() - {"items"})))
    if draw(st.integers(0, 9)) == 0:
        return draw(nested)
    if field != "message" and draw(st.integers(0, 4)) == 0:
        low = draw(scalars(field, vocabulary))
        high = draw(scalars(field, vocabulary).filter(lambda value: type(value) is type(low)))
        return tree.Between(field, ((">=", low), ("<", high)))
    plain = scalars(field, vocabulary).map(lambda value: functions.string(value) or "")
    parts = vocabulary.values().flatmap(
        lambda word: st.sampled_from([(word[:1], word[1:]), ("", word[1:]), (word[:1], "")])
    )
    wordings = st.builds(tree.Wording, plain.map(lambda text: (text,)), phrase=st.booleans())
    wild = parts.filter(any).map(tree.Wording)
    some = draw(st.lists(wordings | wild if field in STRINGS else wordings, min_size=1, max_size=3))
    return tree.Says(field, tuple(some))


nested: st.SearchStrategy[Node] = st.builds(
    lambda name, count, negated: tree.Nested(
        "items",
        tree.all_of(
            [
                tree.Says("items.name", (tree.Wording((name,)),)),
                tree.Not(tree.Equals("items.count", count))
                if negated
                else tree.Compare("items.count", ">=", count),
            ]
        ),
    ),
    st.sampled_from(["a", "b"]),
    st.integers(0, 2),
    st.booleans(),
)
items = st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(["a", "b"]), "count": st.integers(0, 2)}
    ),
    max_size=3,
)


@st.composite
def string_leaves(draw: st.DrawFn, field: str, vocabulary: Vocabulary) -> Node:
    any_case = draw(st.booleans())
    several = tuple(draw(st.lists(vocabulary.patterns(), min_size=1, max_size=3)))
    word = draw(vocabulary.patterns())
    choices: list[Node] = [
        tree.Like(field, several, any_case),
        tree.Like(field, several, any_case),
        tree.OneOf(field, several, any_case),
        tree.StartsWith(field, word, any_case),
        tree.EndsWith(field, word, any_case),
        tree.Contains(field, word, any_case),
        tree.Regex(field, tuple(draw(st.lists(regexes, min_size=1, max_size=2))), any_case),
    ]
    return draw(st.sampled_from(choices))


regexes = st.sampled_from(
    ["a", "a.*", ".*b", "[ab]+", "a?b?c?", "(a|ab)(c|bcd)?", "\\w+", ".{2,3}", "[^a]*", "~(a)", "@",
     "c:\\\\win", "/bin/.*sh", "a&b", "<1-3>", "#", "", "k", "Ä.?", "[s-z]+", "c:.*"]
)  # fmt: skip

long_texts = st.text("a\nä😀", min_size=12, max_size=32)
lengths = st.builds(
    lambda field, order, size: tree.Holds(
        tree.Call(order, (tree.Call("length", (tree.Field(field),)), tree.Literal(size)))
    ),
    st.sampled_from(STRINGS),
    st.sampled_from(["==", "<", "<=", ">", ">="]),
    st.integers(0, 5) | st.integers(15, 31),
)
between_fields = st.builds(
    lambda name, left, right, any_case: tree.Holds(
        tree.Call(name, (tree.Field(left), tree.Field(right)), any_case)
    ),
    st.sampled_from(["startsWith", "endsWith", "stringContains"]),
    st.sampled_from(STRINGS),
    st.sampled_from(STRINGS),
    st.booleans(),
)
unpushable: st.SearchStrategy[Node] = lengths | between_fields


def trees(leaf: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Trees of a few levels, in the form the parser gives them."""
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, min_size=2, max_size=3).map(tree.all_of)
            | st.lists(inner, min_size=2, max_size=3).map(tree.any_of)
            | inner.map(tree.Not)
        ),
        max_leaves=6,
    )


@st.composite
def queries(draw: st.DrawFn, vocabulary: Vocabulary) -> dict[str, Any]:
    """Query DSL about one field, as people write it into filters."""
    field = draw(st.sampled_from([*STRINGS, "count", "ratio", "flag", "source.ip", "@timestamp"]))
    fitting: dict[str, st.SearchStrategy[Any]] = {
        "count": st.sampled_from(INTEGERS),
        "ratio": st.sampled_from(FLOATS),
        "flag": st.booleans(),
        "source.ip": st.sampled_from(ADDRESSES),
        "@timestamp": st.sampled_from(WHOLE_DATES),
    }
    values = fitting.get(field, vocabulary.values())
    value, several = draw(values), draw(st.lists(values, min_size=1, max_size=3))
    bounds = draw(st.lists(st.sampled_from(["gt", "gte", "lt", "lte"]), max_size=2, unique=True))
    general = [
        {"term": {field: value}},
        {"term": {field: {"value": value, "boost": 2.0}}},
        {"terms": {field: several}},
        {"match": {field: value}},
        {"match_phrase": {field: {"query": value}}},
        {"exists": {"field": field}},
        {"match_all": {}},
    ]
    if field not in {"flag", "source.ip"}:
        general.append({"range": {field: {bound: draw(values) for bound in bounds}}})
    if field not in STRINGS:
        return draw(st.sampled_from(general))
    case = {"case_insensitive": True} if draw(st.booleans()) else {}
    pattern = draw(vocabulary.patterns())
    return draw(
        st.sampled_from(
            [
                *general,
                {"prefix": {field: {"value": value, **case}}},
                {"wildcard": {field: {"value": pattern, **case}}},
                {"term": {field: {"value": value, **case}}},
                {"regexp": {field: {"value": draw(st.sampled_from(["a.*", "[abAB]+", ".?"]))}}},
            ]
        )
    )


def compound(query: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """`bool` in all its forms: one clause or a list, with and without a minimum."""
    clauses = query | st.lists(query, max_size=2)
    parts = dict.fromkeys(("must", "filter", "should", "must_not"), clauses)
    least = {"minimum_should_match": st.sampled_from([0, 1, "1"])}
    return st.fixed_dictionaries({}, optional={**parts, **least}).map(lambda body: {"bool": body})


@st.composite
def filters(draw: st.DrawFn, vocabulary: Vocabulary) -> Node:
    """One or two of Kibana's filters, all together."""
    query = st.recursive(queries(vocabulary), compound, max_leaves=5)
    meta = st.fixed_dictionaries({"negate": st.booleans(), "disabled": st.sampled_from([False])})
    one = st.fixed_dictionaries({"meta": meta, "query": query})
    return querydsl.filters(draw(st.lists(one, min_size=1, max_size=2)))


def one_or_more(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return value | st.lists(value | st.none(), max_size=3)


CONTENT: dict[str, st.SearchStrategy[Any]] = {
    "long": st.sampled_from([*INTEGERS, 5.7, "5", "5.7", ""]),
    "short": st.sampled_from([*SMALL, "7"]),
    "integer": st.sampled_from([*SMALL, -(2**31), "7.2"]),
    "half_float": st.sampled_from([0.0, 0.1, -0.5, 1.0, 2.5, 5.7, 2049, "0.1"]),
    "double": st.sampled_from([*FLOATS, *INTEGERS, "0.1"]),
    "float": st.sampled_from([*FLOATS, 16777217, "0.1"]),
    "boolean": st.sampled_from([True, False, "true", "false", ""]),
    "ip": st.sampled_from(ADDRESSES),
    "date": st.sampled_from([*DATES, 1704067200000, 2024]),
    "date_nanos": st.sampled_from(WHOLE_DATES),
}


@st.composite
def documents(draw: st.DrawFn, vocabulary: Vocabulary) -> dict[str, Any]:
    """A source with some fields, dotted, nested, or in an array of objects."""
    source: dict[str, Any] = {}
    texts = vocabulary.values() | vocabulary.values() | st.sampled_from([1, 0.5, True]) | long_texts
    for name, properties in MAPPING.items():
        if not draw(st.booleans()):
            continue
        if name == "items":
            source[name] = draw(items)
            continue
        value = draw(one_or_more(CONTENT.get(properties["type"], texts)))
        parts = name.split(".")
        if len(parts) == 1 or draw(st.booleans()):
            source[name] = value
            continue
        for part in reversed(parts[1:]):
            value = {part: value}
        _merge(source, parts[0], [value] if draw(st.booleans()) else value)
    return source


def _merge(source: dict[str, Any], name: str, value: Any) -> None:
    """Put an object beside what stands there already, in an array."""
    if name not in source:
        source[name] = value
        return
    before = source[name] if isinstance(source[name], list) else [source[name]]
    source[name] = [*before, *(value if isinstance(value, list) else [value])]


def reproducible(examples: int) -> settings:
    """The same examples each time: what fails in CI fails here."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def grids(draw: st.DrawFn, size: int, *, kind: str) -> Grid:
    """Documents and trees that share a vocabulary: leaves, trees of them, of any leaf, filters."""
    vocabulary = draw(vocabularies)
    leaf = leaves(vocabulary) | sayings(vocabulary)
    node = {
        "leaves": leaf,
        "trees": trees(leaf),
        "any": trees(leaf | unpushable),
        "filters": filters(vocabulary) | trees(filters(vocabulary) | leaf),
    }[kind]
    sources = st.lists(documents(vocabulary), min_size=size, max_size=size)
    return draw(sources), draw(st.lists(node, min_size=size, max_size=size))
