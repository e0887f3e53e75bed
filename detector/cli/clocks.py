"""Measurements of the cluster's clock in, what is said of them out: on a terminal or in the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from detector.cli import show
from detector.cli.log import Logger
from detector.errors import StoreError
from detector.store.clock import NOTEWORTHY


class Said:
    """A warning on standard error where the clocks differ; a time that is not told is none."""

    def skewed(self, ahead: timedelta) -> None:
        if abs(ahead) > NOTEWORTHY:
            show.say(f"warning: {difference(ahead)}", "yellow")

    def untold(self, error: StoreError, *, measured: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Logged:
    """Lines of a daemon's log, whenever something has changed."""

    log: Logger

    def skewed(self, ahead: timedelta) -> None:
        seconds = round(ahead.total_seconds(), 3)
        if abs(ahead) > NOTEWORTHY:
            self.log.write("warning", difference(ahead), ahead_s=seconds)
        else:
            self.log.write("info", "this machine's clock is the cluster's again", ahead_s=seconds)

    def untold(self, error: StoreError, *, measured: bool) -> None:
        stands_in = "what was last measured goes on" if measured else "this machine's stands in"
        said = f"the cluster's clock cannot be read, {stands_in}: {error.message}"
        self.log.write("warning", said, measured=measured)


def difference(ahead: timedelta) -> str:
    """In words, the machine's clock being `ahead` of the cluster's or, below zero, behind it."""
    way = "ahead of" if ahead > timedelta(0) else "behind"
    return f"this machine's clock is {abs(ahead).total_seconds():.0f} s {way} the cluster's"
