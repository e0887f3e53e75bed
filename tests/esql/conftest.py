"""One node with ES|QL for the tests of this folder, clean for each test that asks (`esql`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

from tests.clearing import clear
from tests.esql import node
from tests.esql.node import WithEsql


@pytest.fixture(scope="session")
def esql_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithEsql]:
    """Start it once."""
    with node.running(tmp_path_factory.mktemp("esql")) as started:
        yield started


@pytest.fixture
def esql(esql_node: WithEsql) -> Iterator[Elasticsearch]:
    """Give a client; what a test made is removed after it."""
    with esql_node.client() as client:
        yield client
        clear(client)
