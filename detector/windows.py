"""Windows in, windows out: what is left of them, what they come to together. Pure arithmetic.

Half open as everywhere: windows that touch are one, and an empty one is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from detector.model import Window


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
