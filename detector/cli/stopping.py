"""Ctrl-C and SIGTERM in, a question that turns true out: what is done by then stays done."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from detector.cli import show

SHOW_CURSOR = "\x1b[?25h"
INTERRUPTED = 130


@contextmanager
def asked() -> Iterator[Callable[[], bool]]:
    """Whether a person or the system has asked for an end; who asks twice has it at once."""
    times = 0

    def heard(*_: object) -> None:
        nonlocal times
        times += 1
        if times == 1:
            show.say("stopping after the requests in hand; once more to stop at once", "yellow")
            return
        if sys.stderr.isatty():
            os.write(2, SHOW_CURSOR.encode())  # a bar has hidden it
        os._exit(INTERRUPTED)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: times > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
