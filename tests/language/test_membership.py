"""Long lists: the same answers as value by value, at once, and not in the query."""

from __future__ import annotations

import time

import pytest

from detector.language import dsl, evaluate, tree
from detector.language.fields import FieldTable

TYPES = FieldTable(
    {"k": "keyword", "n": "long", "f": "double", "ip": "ip", "d": "date", "b": "boolean"}
)
LISTS: dict[str, tuple[tree.Scalar, ...]] = {
    "k": ("a", "B", 7, "7", True),
    "n": (3, "4", 5.0, "x"),
    "f": (0.5, "1", 2),
    "ip": ("10.0.0.0/8", "10.1.2.3", "192.168.0.1", "2001:db8::/32", "no address"),
    "d": ("2026-11-24", 0, "2026-11"),
    "b": (True, "false"),
    "unknown": ("a", 7, "8", True, 1.5),
}
FOUND: tuple[object, ...] = (
    "a",
    "b",
    "B",
    7,
    "7",
    8,
    "8",
    True,
    "true",
    3,
    4,
    5,
    1.5,
    0.5,
    1,
    2,
    2.5,
    0,
)
FOUND += ("10.255.0.1", "11.0.0.1", "192.168.0.1", "2001:db8::1", "2026-11-24T10:00:00Z", "2026-12")


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize("found", FOUND, ids=str)
def test_a_list_says_what_its_values_say_one_by_one(field: str, found: object) -> None:
    document = {field: found}
    one_by_one = [tree.Equals(field, value) for value in LISTS[field]]
    expected = evaluate.matches(tree.any_of(one_by_one), document, TYPES)
    assert evaluate.matches(tree.OneOf(field, LISTS[field]), document, TYPES) == expected


@pytest.mark.parametrize(
    ("leaf", "muted"),
    [
        (tree.OneOf("k", tuple(f"h{n}" for n in range(100_000))), {"k": "h99999"}),
        (tree.OneOf("ip", tuple(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(100_000))),
         {"ip": "10.1.134.159"}),
        (tree.InNetwork("ip", tuple(f"10.{n >> 8}.{n & 255}.0/25" for n in range(60_000))),
         {"ip": "10.9.200.77"}),
    ],
    ids=["keyword", "ip", "networks"],
)  # fmt: skip
def test_a_long_list_is_the_residuals_and_fast(leaf: tree.Node, muted: dict[str, str]) -> None:
    where = tree.all_of((tree.Exists("k"), tree.Not(leaf)))
    compiled = dsl.translate(where, TYPES)
    assert compiled.query == {"exists": {"field": "k"}}
    assert compiled.residual == tree.Not(leaf)
    holds = evaluate.predicate(leaf, TYPES)
    began = time.monotonic()
    assert all(holds(muted) for _ in range(10_000))
    assert not any(holds({"k": "other", "ip": "172.16.0.1"}) for _ in range(10_000))
    assert time.monotonic() - began < 2
