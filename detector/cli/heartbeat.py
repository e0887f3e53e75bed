"""Complete cycles in, calls of a dead man's switch out: when they stop, someone else notices."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from pydantic import SecretStr

from detector import __version__
from detector.run.cycle import Report
from detector.run.daemon import Listener

TIMEOUT = 5.0


class Heartbeat:
    """Calls `url` from a thread of its own after each cycle, while no rule is failing.

    A rule keeps it silent from a run that did not see its whole window until one that does, also
    over cycles in which it is not due, for as long as it is among those that `watched` names.
    Calls that become due while one is under way are one. What goes wrong is told to `warn`, without
    the address, which can be a secret.
    """

    def __init__(
        self,
        url: str,
        warn: Callable[[str], None],
        watched: Callable[[], Collection[str]],
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._url, self._timeout = url, timeout
        self._warn, self._watched = warn, watched
        self._failing: set[str] = set()
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def cycle_finished(self, report: Report) -> None:
        """Call, if each rule was seen whole when it last ran; a cycle without runs says nothing."""
        ran = {run.rule_id for run in report.runs}
        broken = {run.rule_id for run in report.runs if run.error or run.gaps}
        self._failing = ((self._failing - ran) & set(self._watched())) | broken
        if ran and not self._failing:
            self._signals.put(True)

    def cycle_failed(self) -> None:
        """Nothing was complete, so nothing is called; what was due is due again in a minute."""

    def close(self, patience: float = TIMEOUT) -> None:
        """Call no more; what is due or under way gets `patience` seconds."""
        self._signals.put(False)
        self._thread.join(patience)

    def _beat(self) -> None:
        going = True
        while going:
            signals = [self._signals.get()]
            while not self._signals.empty():
                signals.append(self._signals.get())
            going = all(signals)
            if any(signals):
                self._call()

    def _call(self) -> None:
        request = urllib.request.Request(  # noqa: S310 - the settings let only http and https pass
            self._url, headers={"User-Agent": f"detector/{__version__}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout):  # noqa: S310
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is, detection goes on
            self._warn(f"the heartbeat did not arrive: {_said(error)}")


@dataclass(frozen=True, slots=True)
class Beating:
    """A listener of the daemon, and a heartbeat that hears the same."""

    listener: Listener
    heartbeat: Heartbeat

    def cycle_finished(self, report: Report) -> None:
        self.listener.cycle_finished(report)
        self.heartbeat.cycle_finished(report)

    def cycle_failed(self, error: Exception) -> None:
        self.listener.cycle_failed(error)
        self.heartbeat.cycle_failed()


@contextmanager
def beside(
    listener: Listener,
    url: SecretStr | None,
    warn: Callable[[str], None],
    watched: Callable[[], Collection[str]],
) -> Iterator[Listener]:
    """`listener` with a heartbeat where there is a `url`; alone where there is none."""
    if url is None:
        yield listener
        return
    heartbeat = Heartbeat(url.get_secret_value(), warn, watched)
    try:
        yield Beating(listener, heartbeat)
    finally:
        heartbeat.close()


def _said(error: Exception) -> str:
    """What went wrong, never in words that may quote the address."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"{error.code} was answered"
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return type(cause).__name__
