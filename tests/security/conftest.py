"""One node with users and HTTPS for the tests of this folder (`secured`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security import node
from tests.security.node import Secured


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Start it; what tests leave behind stays, so each names its own space and indices."""
    with node.running(tmp_path_factory.mktemp("secured")) as started:
        yield started
