"""What stands between the engine and its node, and the node as the engine finds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.store import installation, scratch
from detector.store.elastic import ElasticStore
from tests.faults.proxy import Proxy


@pytest.fixture
def between(node_url: str) -> Iterator[Proxy]:
    with Proxy(node_url) as made:
        yield made


@pytest.fixture
def installed(es: Elasticsearch) -> ElasticStore:
    """Give a store with its templates, and one for the indices of events."""
    store = ElasticStore(es, "default")
    installation.install(store, lambda lacking: alerts.template("default", missing_types=lacking))
    scratch.template(store, "events", ["logs-*"])
    return store
