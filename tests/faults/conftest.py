"""What stands between the engine and its node, and the node as the engine finds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

from detector.store import scratch
from detector.store.elastic import ElasticStore
from tests.builders import install
from tests.faults.proxy import Proxy


@pytest.fixture
def between(node_url: str) -> Iterator[Proxy]:
    with Proxy(node_url) as made:
        yield made


@pytest.fixture
def installed(es: Elasticsearch) -> ElasticStore:
    """Give a store with its templates, and one for the indices of events."""
    store = ElasticStore(es, "default")
    install(store)
    scratch.template(store, "events", ["logs-*"])
    return store
