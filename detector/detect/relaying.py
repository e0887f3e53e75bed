"""A detection in, one with the same questions and other findings out."""

from __future__ import annotations

from collections.abc import Callable

from detector.model import Ask, Detection, Found, Page


def relayed(
    detection: Detection,
    turned: Callable[[Found], Detection],
    heard: Callable[[tuple[Page, ...]], None] = lambda _: None,
    asking: Callable[[Ask], None] = lambda _: None,
) -> Detection:
    """What `turned` makes of each finding, which may ask as well.

    `asking` is shown each question of the detection, `heard` each answer.
    """
    reply: tuple[Page, ...] | None = None
    while True:
        try:
            step = detection.send(reply)
        except StopIteration:
            return
        reply = None
        if isinstance(step, Ask):
            asking(step)
            reply = yield step
            heard(reply or ())
        else:
            yield from turned(step)
