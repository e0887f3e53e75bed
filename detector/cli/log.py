"""What the daemon does in, a line each on standard error out: for people, or as ECS documents."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ecs_logging import StdlibFormatter

from detector import __version__
from detector.cli import reports, show
from detector.errors import DetectorError
from detector.model import RunRecord
from detector.run.cycle import Report
from detector.settings import Log

NAME = "detector"
LIBRARIES = {
    "apscheduler": logging.ERROR,  # a tick during a cycle is no event
    "elastic_transport": logging.WARNING,
    "urllib3": logging.WARNING,
}
"""Whose warnings go the same way, so that no line of another form stands between ours."""

REQUESTS = "elastic_transport.transport"
"""Names every request and its time; credentials are in headers, which it does not tell."""

STYLES = {"error": "bold red", "warning": "yellow"}


class Logger:
    """Tells of cycles, through the standard library's `logging`.

    What events, rules and clusters say is never trusted: JSON is plain ASCII with every control
    character escaped, and lines for people are cleaned of them.
    """

    def __init__(self, log: Log, *, json: bool = False) -> None:
        plain = log.format == "auto" and not sys.stderr.isatty()
        machines = json or plain or log.format == "json"
        handler = _documents() if machines else _Lines()
        for name, least in LIBRARIES.items():
            _lead(logging.getLogger(name), handler, least)
        debug = log.level == "debug"
        _lead(logging.getLogger(REQUESTS), handler, logging.DEBUG if debug else logging.WARNING)
        self._logger = logging.getLogger(NAME)
        _lead(self._logger, handler, logging.getLevelNamesMapping()[log.level.upper()])

    def cycle_finished(self, report: Report) -> None:
        level = "error" if report.failed else "info"
        self.write(
            level,
            reports.summary(report),
            alerts_created=report.alerts_created,
            alerts_existing=report.alerts_existing,
            duration_ms=report.duration_ms,
        )
        for record in report.runs:
            self._of_run(record)

    def cycle_failed(self, error: Exception) -> None:
        message = error.message if isinstance(error, DetectorError) else repr(error)
        if isinstance(error, DetectorError) and error.hint:
            message += f" (hint: {error.hint})"
        self._write("error", f"the cycle failed: {message}", {"error": _error(error, message)})

    def write(self, level: str, message: str, **about: object) -> None:
        """A line of its own; `about` goes below `detector` where lines are for machines."""
        self._write(level, message, {"detector": about})

    def _of_run(self, record: RunRecord) -> None:
        about = {
            "rule": {"id": record.rule_id, "name": record.name},
            "detector": {"run": record.uuid, "kind": record.kind, "rule_hash": record.rule_hash},
        }
        if record.error:
            said = {"error": {"message": record.error}}
            self._write("error", f"{record.name}: {record.error}", about | said)
        for warning in record.warnings:
            self._write("warning", f"{record.name}: {warning}", about)

    def _write(self, level: str, message: str, extra: Mapping[str, Any]) -> None:
        number = logging.getLevelNamesMapping()[level.upper()]
        self._logger.log(number, "%s", message, extra=extra)


class _Lines(logging.Handler):
    """A line with time and level, coloured on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        time = reports.iso(datetime.fromtimestamp(record.created, UTC))
        line = f"{time}  {level:<7}  {show.clean(record.getMessage())}"
        with suppress(OSError):  # a terminal that went away must not end the watch
            show.say(line, STYLES.get(level))


def _documents() -> logging.Handler:
    """One ECS document a line, as filebeat and the Elastic Agent read them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        StdlibFormatter(
            extra={
                "service.name": NAME,
                "service.version": __version__,
                "event.dataset": f"{NAME}.log",
            },
            exclude_fields=["log.original", "log.origin", "process.name", "process.thread"],
        )
    )
    return handler


def _lead(logger: logging.Logger, handler: logging.Handler, level: int) -> None:
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _error(error: Exception, message: str) -> dict[str, str]:
    return {"type": type(error).__name__, "message": message}
