"""Windows and gaps in, what is left of them, what they come to, their pieces out. Arithmetic.

Half open as everywhere: windows that touch are one, and an empty one is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from detector.model import Gap, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The same moments in as few windows as they fit, oldest first."""
    joined: list[Window] = []
    for window in sorted(windows, key=lambda one: one.start):
        if window.start >= window.end:
            continue
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return tuple(joined)


def on_grid(time: datetime, interval: timedelta) -> datetime:
    """The latest multiple of `interval` since the epoch that is not after `time`."""
    return EPOCH + (time - EPOCH) // interval * interval


def cut(window: Window, interval: timedelta) -> Iterator[Window]:
    """`window` in pieces that end on the grid of `interval`, oldest first."""
    start = window.start
    while start < window.end:
        end = min(on_grid(start, interval) + interval, window.end)
        yield Window(start, end)
        start = end


def closed(window: Window, started: datetime, lateness: timedelta) -> Window:
    """What a run that `started` then has covered for good: later, events may still come."""
    return Window(window.start, min(window.end, started - lateness))


def without(windows: Iterable[Window], holes: Iterable[Window]) -> tuple[Window, ...]:
    """What is left of `windows`, in their order, when every moment of `holes` is taken out."""
    left = [window for window in windows if window.start < window.end]
    for hole in holes:
        if hole.start >= hole.end:
            continue
        parts = []
        for window in left:
            parts += [
                Window(window.start, min(window.end, hole.start)),
                Window(max(window.start, hole.end), window.end),
            ]
        left = [window for window in parts if window.start < window.end]
    return tuple(left)


def told_once(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Gaps of one rule and reason that touch or overlap as one, oldest first."""
    found = [
        Gap(rule_id, window, reason)
        for (rule_id, reason), alike in groupby(sorted(gaps, key=_about), key=_about)
        for window in merged(gap.window for gap in alike)
    ]
    return tuple(sorted(found, key=lambda gap: (gap.window.start, _about(gap))))


def _about(gap: Gap) -> tuple[str, str]:
    return gap.rule_id, gap.reason
