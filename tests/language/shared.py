"""Material that lies beside the project and is no part of it; tests without it say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3] / "shared"


def lines(name: str) -> list[dict[str, Any]]:
    """The objects of an NDJSON file; none where it is not there."""
    path = ROOT / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def needed(name: str) -> Path:
    """The path of `name`; the test is left out where that is not there."""
    if not (ROOT / name).exists():
        pytest.skip(f"no ../shared/{name} beside the project")
    return ROOT / name
