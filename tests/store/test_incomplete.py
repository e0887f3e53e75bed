"""Indices of which shards do not answer: what is asked for reports is never 'nothing' then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.errors import StoreError
from detector.store import gaps, history, inspection, sources
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import NOW, iso, make_rule

pytestmark = pytest.mark.node

HOUR = timedelta(hours=1)
RUNS, LETTERS = "detector-runs-default-2026.01", "detector-deadletter-default"
RECORD = {
    "rule_id": "a",
    "kind": "live",
    "uuid": "1",
    "started": iso(NOW),
    "gap": {"start": iso(NOW - HOUR), "end": iso(NOW), "reason": "none"},
    "window": {"start": iso(NOW - HOUR), "end": iso(NOW)},
}
TYPES = {
    "properties": {
        "rule_id": {"type": "keyword"},
        "kind": {"type": "keyword"},
        "uuid": {"type": "keyword"},
        "started": {"type": "date"},
    }
}


def lose(es: Elasticsearch, index: str) -> None:
    """An index whose shard no node holds."""
    nowhere = {"index.routing.allocation.require._name": "nobody"}
    es.indices.create(index=index, settings=nowhere, mappings=TYPES, wait_for_active_shards="0")


@pytest.fixture
def store(es: Elasticsearch) -> ElasticStore:
    """One that does not wait long for shards."""
    return ElasticStore(es, "default", patience=Patience(0.01, 0.01, 0.05))


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(gaps.unfilled, id="gaps"),
        pytest.param(lambda store: history.latest(store, ["a"]), id="runs"),
    ],
)
def test_an_index_of_runs_that_cannot_be_asked_is_an_error(
    es: Elasticsearch, store: ElasticStore, ask: Callable[[ElasticStore], Any]
) -> None:
    es.indices.create(index=RUNS, mappings=TYPES)
    es.index(index=RUNS, document=RECORD, refresh=True)
    assert ask(store)
    text = {"properties": {"rule_id": {"type": "text"}, "started": {"type": "text"}}}
    odd = RUNS.replace("01", "02")
    es.indices.create(index=odd, mappings=text)
    es.index(index=odd, document=RECORD, refresh=True)
    with pytest.raises(StoreError):
        ask(store)


def test_dead_letters_that_are_not_there_are_an_error(
    es: Elasticsearch, store: ElasticStore
) -> None:
    assert history.dead_letters(store) == {}
    lose(es, LETTERS)
    with pytest.raises(StoreError):
        history.dead_letters(store)


def test_a_source_that_answers_in_part_is_said(es: Elasticsearch, store: ElasticStore) -> None:
    es.index(index="logs-a", document={"@timestamp": iso(NOW)}, refresh=True)
    lose(es, "logs-b")
    rule = make_rule(index=("logs-*",))
    (source,) = sources.views(store, [rule], NOW)[rule.rule_id].sources
    assert source.newest == NOW
    assert source.error
    assert "shards" in source.error
    said = [problem.message for problem in inspection.inspect(store, [rule])]
    assert any("logs-*" in message and "shards" in message for message in said), said
