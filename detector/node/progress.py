"""What a slow step is doing -> whoever draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called often, always from the thread that asked for the work."""

    def __call__(self, what: str, done: float, total: float | None) -> None:
        """`what` is a phrase to show; `done` of `total` are bytes, or seconds without a total."""


def silent(what: str, done: float, total: float | None) -> None:
    """Report to nobody."""
