from __future__ import annotations

import subprocess
import sys

import pytest
from elasticsearch import Elasticsearch

pytestmark = pytest.mark.node


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_the_node_empty(es: Elasticsearch, turn: int) -> None:
    assert es.info()["version"]["number"] == "9.1.0"
    assert es.indices.get_alias(index="*", expand_wildcards="all").body == {}
    es.indices.put_index_template(name="left-behind", index_patterns=["left-*"], priority=turn)
    es.index(index="left-behind", document={"turn": turn}, refresh=True)
    es.indices.create(index=".hidden", settings={"hidden": True})
    es.cluster.put_settings(persistent={"cluster.max_shards_per_node": 2000 + turn})
    assert es.count(index="left-behind")["count"] == 1


def test_launcher_without_folders_is_a_usage_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "detector.node"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "path.data" in ended.stderr
