"""One real Elasticsearch for the whole run (`node_url`), clean for each test that asks (`es`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from hypothesis import settings
from pytest_elasticsearch import factories

from detector import cli, folders
from detector.node import jars
from tests.clearing import clear

os.environ["NODE_PYTHON"] = sys.executable  # read by the executable below

cli.collect_seldom()  # as for rules: tests are many objects, and all of them stay

settings.register_profile("busy", deadline=None)  # how fast the machine is, is no property
settings.load_profile("busy")

COSTS = ("node", "slow")

elasticsearch_node = factories.elasticsearch_proc(
    executable=Path(__file__).parent / "node" / "elasticsearch", port=None
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the fast ones first: what is wrong is said soon."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is not None for mark in COSTS])


@pytest.fixture(scope="session")
def node_url(request: pytest.FixtureRequest) -> str:
    """Start the node; the jars come first, since the process fixture waits for 60 s only."""
    jars.fetch(jars.table(), folders.cache() / "jars")
    node = request.getfixturevalue("elasticsearch_node")
    return f"http://{node.host}:{node.port}"


@pytest.fixture(scope="session")
def _client(node_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(node_url, request_timeout=30) as client:
        yield client


@pytest.fixture
def es(_client: Elasticsearch) -> Iterator[Elasticsearch]:
    """Give a client; every index, template and cluster setting is removed after the test."""
    yield _client
    clear(_client)
