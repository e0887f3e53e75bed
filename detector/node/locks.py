"""Files that say who uses a data folder; the kernel frees them when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

PAUSE = 0.05


def share(path: Path, limit: float) -> int | None:
    """Hold `path` together with others; return the open file, None after `limit` seconds."""
    deadline = time.monotonic() + limit
    while (handle := _take(path, fcntl.LOCK_SH)) is None and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return handle


def claim(path: Path) -> int | None:
    """Hold `path` alone; return the open file, None when somebody else holds it."""
    return _take(path, fcntl.LOCK_EX)


def release(handle: int) -> None:
    """Let go of a lock; one that a child process inherited stays with the child."""
    os.close(handle)


def _take(path: Path, kind: int) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
