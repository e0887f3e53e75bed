"""What indices know of fields: from `field_caps` to the questions that are asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.errors import Rejected, Unavailable
from detector.language import dsl, eql, tree
from detector.language.fields import ECS
from detector.model import Buckets, Page, Search, Window
from detector.store import fieldtypes
from detector.store.elastic import ElasticStore
from detector.store.fieldtypes import AGAIN_AFTER, GOOD_FOR, Mappings
from tests.builders import NOW, iso

CONFLICTS: list[tuple[str, dict[str, Any], str | None]] = [
    ("a.b", {"keyword": {}}, "keyword"),
    ("a.b", {"keyword": {}, "unmapped": {}}, "keyword"),
    ("a.b", {"keyword": {}, "object": {}}, "keyword"),
    ("a.b", {"byte": {}, "integer": {}}, "long"),
    ("a.b", {"long": {}, "float": {}}, "double"),
    ("a.b", {"keyword": {}, "wildcard": {}}, "keyword"),
    ("a.b", {"date": {}, "date_nanos": {}}, "date"),
    ("a.b", {"keyword": {}, "text": {"indices": ["x"]}}, "keyword"),
    ("a.b", {"keyword": {}, "long": {}}, None),
    ("process.pid", {"keyword": {}, "long": {}}, "long"),
    ("process.pid", {"unmapped": {}}, "long"),
    ("process.pid", {}, "long"),
    ("process.pid", {"keyword": {}}, "keyword"),
]


@pytest.mark.parametrize(("name", "told", "type_"), CONFLICTS)
def test_one_type_for_all_indices(name: str, told: dict[str, Any], type_: str | None) -> None:
    assert fieldtypes.types({name: told}).type_of(name) == type_


def test_analysed_text_is_asked_for_by_its_whole_values() -> None:
    types = fieldtypes.types({"a": {"text": {}}, "a.keyword": {"keyword": {}}})
    assert dsl.translate(tree.Equals("a", "x"), types) == dsl.Compiled(
        {"term": {"a.keyword": "x"}}, None
    )
    there = {"bool": {"should": [{"exists": {"field": "a"}}, {"exists": {"field": "a.keyword"}}]}}
    there["bool"]["minimum_should_match"] = 1  # type: ignore[assignment]
    assert dsl.translate(tree.Exists("a"), types) == dsl.Compiled(there, None)


def test_where_some_indices_analyse_a_field_all_there_is_read() -> None:
    texts = {"indices": [".ds-logs-a-default-2026.11.24-000003", "logs-b"]}
    types = fieldtypes.types({"a": {"keyword": {}, "text": texts}})
    assert types.analysed_in("a") == (".ds-logs-a-default-*", "logs-b")
    for leaf in (tree.Equals("a", "x"), tree.Not(tree.Equals("a", "x"))):
        assert dsl.translate(leaf, types).residual == leaf


def test_no_query_asks_for_a_field_that_cannot_be_searched() -> None:
    types = fieldtypes.types({"a": {"keyword": {"searchable": False}}})
    assert dsl.translate(tree.Equals("a", "x"), types).residual is not None


@dataclass
class Cluster:
    """Answers `field_caps` from a table of indices, and keeps what it was asked."""

    indices: dict[str, dict[str, str]]
    asked: list[tuple[list[str], list[str]]] = field(default_factory=list)
    error: Exception | None = None

    def field_caps(self, *, index: list[str], fields: list[str], **_: Any) -> Any:
        self.asked.append((index, fields))
        if self.error:
            raise self.error
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for name in index:
            for one, type_ in self.indices.get(name, {}).items():
                if one in fields:
                    told.setdefault(one, {}).setdefault(type_, {"indices": []})
                    told[one][type_]["indices"].append(name)
        return {"fields": told}


@dataclass
class Line:
    """A connection that passes questions on as they are."""

    client: Cluster
    now: float = 0.0

    def attempt(self, request: Any) -> Any:
        return request()


def mappings(line: Line) -> Mappings:
    return Mappings(line, lambda: line.now)  # type: ignore[arg-type]


def test_rules_share_a_request_and_fields_are_asked_once() -> None:
    line = Line(Cluster({"x": {"a": "long"}, "y": {"b": "ip"}}))
    known = mappings(line)
    for _ in range(2):
        known.learn({("x",): {"a"}, ("y",): {"b"}})
    known.learn({("x",): {"a"}})
    assert [sorted(index) for index, _ in line.client.asked] == [["x", "y"]]
    assert (known.of(("x",)).type_of("a"), known.of(("y",)).type_of("b")) == ("long", "ip")
    assert known.of(("z",)) is ECS


def test_fields_that_differ_are_asked_of_each_for_itself() -> None:
    line = Line(Cluster({"x": {"a": "long"}, "y": {"a": "keyword"}}))
    known = mappings(line)
    known.learn({("x",): {"a"}, ("y",): {"a"}})
    assert (known.of(("x",)).type_of("a"), known.of(("y",)).type_of("a")) == ("long", "keyword")


def test_a_mapping_is_asked_for_again_and_what_is_equal_stays_the_same() -> None:
    line = Line(Cluster({"x": {"a": "long"}}))
    known = mappings(line)
    known.learn({("x",): {"a"}})
    first = known.of(("x",))
    line.now += GOOD_FOR
    known.learn({("x",): {"a"}})
    assert known.of(("x",)) is first
    line.client.indices["x"]["a"] = "keyword"
    line.now += GOOD_FOR
    known.learn({("x",): {"a"}})
    assert known.of(("x",)).type_of("a") == "keyword"


@pytest.mark.parametrize("error", [Unavailable("away"), Rejected("no")])
def test_without_an_answer_what_was_known_stays(error: Exception) -> None:
    line = Line(Cluster({"x": {"a": "long"}}))
    known = mappings(line)
    known.learn({("x",): {"a"}})
    line.client.error, line.now = error, GOOD_FOR
    for _ in range(3):
        known.learn({("x",): {"a"}})
    assert len(line.client.asked) == 2
    assert known.of(("x",)).type_of("a") == "long"
    line.client.error, line.now = None, GOOD_FOR + AGAIN_AFTER
    known.learn({("x",): {"a"}})
    assert len(line.client.asked) == 3


def test_who_may_not_be_asked_does_not_blind_the_others() -> None:
    class Guarded(Cluster):
        def field_caps(self, *, index: list[str], fields: list[str], **rest: Any) -> Any:
            if "secret" in index:
                raise Rejected("not yours")
            return super().field_caps(index=index, fields=fields, **rest)

    known = mappings(Line(Guarded({"x": {"a": "long"}})))
    known.learn({("x",): {"a"}, ("secret",): {"a"}})
    assert known.of(("x",)).type_of("a") == "long"


def test_a_request_line_stays_short_and_exclusions_hold_for_one_set() -> None:
    line = Line(Cluster({}))
    mappings(line).learn({(f"{'x' * 100}{i}",): {"a"} for i in range(60)} | {("y", "-z"): {"a"}})
    assert all(len(",".join(index)) <= fieldtypes.LINE for index, _ in line.client.asked)
    assert [index for index, _ in line.client.asked if "-z" in index] == [["y", "-z"]]


HOUR = Window(NOW - timedelta(hours=1), NOW)

WHOLE = {"properties": {"tool": {"properties": {"name": {"type": "keyword"}}}}}
PLAIN: dict[str, Any] = {}  # as Elasticsearch maps by itself: text, and `.keyword` beside it
WORDS = {"properties": {"tool": {"properties": {"name": {"type": "text"}}}}}
OBJECTS = {"properties": {"tool": {"type": "nested"}}}
MAPPINGS = {"whole": WHOLE, "plain": PLAIN, "words": WORDS, "nested": OBJECTS}

QUERIES = [
    ('tool.name == "Big Hammer"', {"a"}),
    ('tool.name : "big hammer"', {"a"}),
    ('tool.name : "big*"', {"a", "b"}),
    ('tool.name in ("Big Hammer", "saw")', {"a", "c"}),
    ('tool.name != "Big Hammer"', {"b", "c", "d"}),
    ("tool.name != null", {"a", "b", "c"}),
    ("tool.name == null", {"d"}),
    ('not tool.name : "big*"', {"c", "d"}),
    ('endswith(tool.name, "mmer") or tool.name == "saw"', {"a", "c"}),
    ('tool.name regex "S.*|s.*"', {"c"}),
]
VALUES = {"a": "Big Hammer", "b": "big", "c": "saw", "d": None}


def fill(es: Elasticsearch, names: Iterable[str]) -> ElasticStore:
    lines: list[Any] = []
    for name in names:
        es.indices.create(index=f"tools-{name}", mappings=MAPPINGS[name])
        for id_, value in VALUES.items():
            lines.append({"index": {"_index": f"tools-{name}"}})
            lines.append({"@timestamp": iso(NOW - timedelta(minutes=1)), "id": id_})
            lines[-1] |= {"tool": {"name": value}} if value else {}
    assert not es.bulk(operations=lines, refresh=True)["errors"]
    return ElasticStore(es, "types")


def found(store: ElasticStore, query: str) -> list[tuple[str, str]]:
    where = eql.parse(f"any where {query}")
    assert not isinstance(where, tree.Piped | tree.Sequence | tree.Sample)
    search = Search("r", ("tools-*",), where, HOUR, "@timestamp")
    (page,) = store.search([search])
    assert isinstance(page, Page), page
    assert not page.incomplete
    return sorted((one.index, one.source["id"]) for one in page.documents)


@pytest.mark.node
@pytest.mark.parametrize(
    "names", [("whole",), ("plain",), ("words",), ("whole", "plain"), ("whole", "plain", "words")]
)
def test_however_an_index_maps_a_field_the_same_is_found(
    es: Elasticsearch, names: tuple[str, ...]
) -> None:
    store = fill(es, names)
    for query, ids in QUERIES:
        expected = sorted((f"tools-{name}", id_) for name in names for id_ in ids)
        assert found(store, query) == expected, query


@pytest.mark.node
def test_objects_an_index_keeps_apart_are_read(es: Elasticsearch) -> None:
    assert found(fill(es, ["nested"]), 'tool.name == "saw"') == [("tools-nested", "c")]


@pytest.mark.node
def test_text_is_counted_by_its_whole_values(es: Elasticsearch) -> None:
    store = fill(es, ["plain"])
    question = Buckets("r", ("tools-*",), tree.Everything(), HOUR, "@timestamp", by=("tool.name",))
    (page,) = store.search([question])
    assert isinstance(page, Page), page
    assert [(one.key, one.count) for one in page.buckets] == [
        (("Big Hammer",), 1),
        (("big",), 1),
        (("saw",), 1),
    ]
