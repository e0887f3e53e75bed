"""Files counted as lists are: random events and windows, residuals and arrays among them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from detector.language import eql, tree
from detector.model import Bucket, Buckets, Page, Question, Search, Window
from detector.questions import finding
from detector.store.memory import MemoryStore, Stored

pytest.importorskip("duckdb")

from detector.store import duck, eventfiles

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
FIELDS = ("process.name", "process.args", "process.pid", "source.ip", "some.thing")
WHERE = (
    "any where true",
    'any where process.name : ("bash", "s*")',
    "any where length(process.name) > 2",
    'any where not process.args : "-i"',
)

VALUES: dict[str, Sequence[Any]] = {
    "process.name": ("bash", "Bash", "sh", "x" * 1025, ["sh", "bash"], None),
    "process.args": (["a", "-i"], ["a", "a"], "a", [], [["b"], {"c": 1}]),
    "process.pid": (1, 1.5, "1", 2, "x", [1, 2]),
    "source.ip": ("10.0.0.1", "::ffff:10.0.0.1", "::1", "no", ["10.0.0.1", "::1"]),
    "some.thing": ("1", 1, 1.0, True, "true", {"deep": 1}),
}


def source(rng: Random, number: int) -> dict[str, Any]:
    event: dict[str, Any] = {"n": number}
    if rng.randrange(10):
        time = START + timedelta(seconds=rng.randrange(10))
        event["@timestamp"] = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for name, values in VALUES.items():
        if rng.randrange(2):
            _put(event, name, rng.choice(values), dotted=rng.randrange(4) == 0)
    return event


def _put(event: dict[str, Any], name: str, value: Any, *, dotted: bool) -> None:
    head, _, last = name.partition(".")
    if dotted or not isinstance(event.setdefault(head, {}), dict):
        event[name] = value
    else:
        event[head][last] = value


def condition(rng: Random, depth: int = 2) -> tree.Node:
    name = rng.choice(FIELDS)
    known = [value for value in VALUES[name] if isinstance(value, str | int | float)]
    values = tuple(rng.choices(known, k=rng.randint(1, 3)))
    leaves: list[tree.Node] = [tree.Equals(name, values[0]), tree.OneOf(name, values)]
    leaf = rng.choice(leaves)
    if not depth or rng.randrange(2):
        return tree.Not(leaf) if rng.randrange(5) == 0 else leaf
    joined = rng.choice([tree.any_of, tree.all_of])
    return joined([condition(rng, depth - 1) for _ in range(2)])


def question(rng: Random, where: tree.Node) -> Buckets:
    first = START + timedelta(seconds=rng.randrange(10))
    return Buckets(
        rule_id="rule",
        index=("scan",),
        where=where,
        window=Window(first, first + timedelta(seconds=rng.randint(1, 10))),
        time_field="@timestamp",
        by=tuple(rng.sample(FIELDS, rng.randrange(4))),
        least=rng.randint(1, 2),
        among=condition(rng) if rng.randrange(3) else None,
    )


def parsed(query: str) -> tree.Node:
    where = eql.parse(query)
    assert not isinstance(where, tree.Sequence | tree.Sample | tree.Piped)
    return where


@pytest.mark.parametrize("seed", range(6))
def test_files_are_counted_as_lists_are(seed: int, tmp_path: Path) -> None:
    rng, conditions = Random(seed), [parsed(query) for query in WHERE]
    file = tmp_path / "events.ndjson"
    events = [source(rng, number) for number in range(60)]
    file.write_text("".join(json.dumps(one) + "\n" for one in events))
    asked = [question(rng, rng.choice(conditions)) for _ in range(100)]
    store = duck.DuckStore(eventfiles.find([str(file)], BytesIO(), tmp_path), page_size=3)
    lists = MemoryStore(_stored(file), page_size=3)
    try:
        for one in asked:
            assert _counted(store, one) == _counted(lists, one), one
            for search in finding(one, one.by, 2):
                assert _found(store, search) == _found(lists, search), search
    finally:
        store.close()


def _stored(file: Path) -> Iterator[Stored]:
    for line in file.read_text().splitlines():
        event = eventfiles.event(line)
        assert event
        yield Stored(*event)


def _pages(store: MemoryStore, question: Question) -> Iterator[Page]:
    following: Question | None = question
    while following is not None:
        (page,) = store.search([following])
        assert isinstance(page, Page), page
        yield page
        following = page.next


def _counted(store: MemoryStore, question: Buckets) -> list[Bucket]:
    return [bucket for page in _pages(store, question) for bucket in page.buckets]


def _found(store: MemoryStore, search: Search) -> list[tuple[str, Any, Any]]:
    found = [one for page in _pages(store, search) for one in page.documents]
    return [(one.id, one.time, one.fields) for one in found]
