"""The same expectations, asked of a real Elasticsearch and of lists by the rules' own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from detector import detect
from detector.language import eql
from detector.model import Ask, Found, Match, Page, Window
from detector.store.base import Store
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import iso, make_rule
from tests.detect.test_oracle import CASES, DIFFER, IDS, milliseconds
from tests.language import shared
from tests.language.test_oracle import mapping

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WINDOW = Window(datetime(1960, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
SAMPLES = ("sample1", "sample2", "sample3")


def logged(dataset: str) -> list[Stored]:
    if dataset == "sample":
        return [
            Stored("oracle", str(source["id"]), {"@timestamp": "2022-12-12", **source})
            for name in SAMPLES
            for source in shared.lines(f"oracle/data/{name}.ndjson")
        ]
    stored = []
    for number, source in enumerate(shared.lines(f"oracle/data/{dataset}.ndjson")):
        time = EPOCH + timedelta(milliseconds=milliseconds(dataset, source))
        stored.append(Stored("oracle", str(number), {**source, "@timestamp": iso(time)}))
    return stored


def found(store: Store, case: dict[str, Any]) -> list[list[int]]:
    """The ids of each match of a rule with the case's query."""
    query = eql.parse(case["query"], category_field="event_type")
    name = IDS[case["dataset"]]
    rule = make_rule(
        where=query,
        index=("oracle",),
        lookback=timedelta(days=100_000),
        timestamp_override=None,
        parameters={"tiebreaker_field": name},
    )
    detection = detect.detect(rule, WINDOW)
    matches: list[Match] = []
    reply: tuple[Page, ...] | None = None
    while True:
        try:
            step = detection.send(reply)
        except StopIteration:
            return [[d.source[name] for d in match.documents] for match in matches]
        reply = None
        if isinstance(step, Ask):
            answers = store.search(step.searches)
            reply = tuple(one for one in answers if isinstance(one, Page))
            assert len(reply) == len(answers), answers
        elif isinstance(step, Found):
            matches += step.matches


def check(store: Store, dataset: str) -> None:
    for case in CASES:
        if case["dataset"] != dataset or case["name"] in DIFFER:
            continue
        ids = case["expected_event_ids"]
        choices = ids if ids and isinstance(ids[0], list) else [ids]
        wanted = [sorted(id_ for id_ in one if id_ != -1) for one in choices]
        matches = found(store, case)
        ours = sorted(id_ for one in matches for id_ in one)
        if "size" in case:
            assert all(set(one) <= set(ours) for one in wanted), case["name"]
        else:
            assert ours in wanted, case["name"]


@pytest.mark.parametrize("dataset", sorted(IDS))
def test_rules_over_lists_find_what_elasticsearch_finds(dataset: str) -> None:
    shared.needed("oracle")
    check(MemoryStore(logged(dataset), page_size=7), dataset)


@pytest.mark.node
@pytest.mark.parametrize("dataset", sorted(IDS))
def test_rules_over_a_node_find_what_elasticsearch_finds(es: Elasticsearch, dataset: str) -> None:
    shared.needed("oracle")
    keywords = {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}
    properties = {"@timestamp": {"type": "date"}, "ip": {"type": "ip"}, "host_ip": {"type": "ip"}}
    if dataset != "sample":
        # Elasticsearch asks the keyword beside a text; without the mapping, nobody knows of it.
        properties = {
            name: {"type": "keyword"} if body.get("type") == "text" else body
            for name, body in mapping(dataset).items()
        }
    es.indices.create(
        index="oracle", mappings={"properties": properties, "dynamic_templates": [keywords]}
    )
    stored = [
        {"_index": one.index, "_id": one.id, "_source": one.source} for one in logged(dataset)
    ]
    helpers.bulk(es, stored, refresh=True)
    check(ElasticStore(es, "default", page_size=7), dataset)
