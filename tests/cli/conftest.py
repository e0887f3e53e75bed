"""Commands are run in an empty folder, without the settings of whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("DETECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def at_node(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, node_url: str) -> Path:
    """The same folder; the cluster is the node's."""
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_URL", node_url)
    return elsewhere
