"""ElastAlert2 on the same node, with the same rules and events."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured


def measure(lab: Lab) -> Iterator[Measured]:
    yield from ()
