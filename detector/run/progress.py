"""How long work reports on itself; the command line draws it."""

from __future__ import annotations

from typing import Protocol

from detector.model import RunRecord


class Progress(Protocol):
    """Told of steps as they happen; must return quickly and never raise."""

    def advance(self, share: float, text: str) -> None:
        """`share` of the work (0 to 1) is done; `text` says what is being done now."""

    def say(self, text: str) -> None:
        """Something to be read before the work goes on."""

    def finished(self, record: RunRecord) -> None:
        """A rule's run over one window has ended and is recorded."""


class Silent:
    """A progress nobody watches."""

    def advance(self, share: float, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def finished(self, record: RunRecord) -> None:
        pass
