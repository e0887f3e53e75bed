"""A detection and `head` or `tail` in, the first or the last of its matches out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from detector.detect.relaying import relayed
from detector.language.tree import Pipe
from detector.model import Ask, Detection, Found, Match, Page


def cut(detection: Detection, pipes: Sequence[Pipe]) -> Detection:
    """What the pipes leave of a run's matches; with `tail` they come at the end."""
    for pipe in pipes:
        detection = _head(detection, pipe.count) if pipe.kind == "head" else _tail(detection, pipe)
    return detection


def _head(detection: Detection, left: int) -> Detection:
    """No further question once there are enough."""
    reply: tuple[Page, ...] | None = None
    while left > 0:
        try:
            step = detection.send(reply)
        except StopIteration:
            return
        if isinstance(step, Ask):
            reply = yield step
            continue
        kept, reply = step.matches[:left], None
        left -= len(kept)
        yield Found(kept)
    detection.close()


def _tail(detection: Detection, pipe: Pipe) -> Detection:
    last: deque[Match] = deque(maxlen=pipe.count)

    def kept(found: Found) -> Detection:
        last.extend(found.matches)
        yield from ()

    yield from relayed(detection, kept)
    if last:
        yield Found(tuple(last))
