"""Where this user's own files are."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """The folder for what can be fetched or made again: `$XDG_CACHE_HOME/detector`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detector"
