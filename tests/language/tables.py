"""The tables under `tests/cases`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parents[1] / "cases"


def load(name: str) -> Any:
    """What a table holds."""
    return yaml.safe_load((CASES / name).read_text(encoding="utf-8"))
