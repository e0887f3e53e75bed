"""What cycles and backfills did, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from detector.cli import show
from detector.model import Gap, RunRecord, Window
from detector.run import backfill
from detector.run.cycle import Report


def as_json(report: Report) -> dict[str, Any]:
    """The document of `once --json` and `backfill --json`; keys are only ever added."""
    return {
        "now": iso(report.now),
        "rules": report.rules,
        "alerts_created": report.alerts_created,
        "alerts_existing": report.alerts_existing,
        "duration_ms": report.duration_ms,
        "runs": [_run(record) for record in report.runs],
    }


def of_backfill(report: backfill.Report) -> dict[str, Any]:
    """As `as_json`, and what was not covered; `resumed` counts pieces done by an earlier run."""
    return as_json(report) | {
        "pieces": report.pieces,
        "resumed": report.resumed,
        "uncovered": [gap(one) for one in report.uncovered],
    }


def uncovered(report: backfill.Report) -> list[str]:
    """A line for each range that was not covered."""
    names = {record.rule_id: record.name for record in report.runs}
    return [
        f"not covered: {iso(one.window.start)} to {iso(one.window.end)}, "
        f"{show.clean(names.get(one.rule_id, one.rule_id))}: {show.clean(one.reason)}"
        for one in report.uncovered
    ]


def gap(one: Gap) -> dict[str, str]:
    """A span that is not covered, as JSON has it."""
    return {"rule_id": one.rule_id} | _window(one.window) | {"reason": one.reason}


def runs(report: Report) -> Table:
    """A line a run."""
    columns = ("status", "created", "existing", "matches", "from", "to", "rule", "")
    return show.table(columns, (_row(record) for record in report.runs))


def summary(report: Report) -> str:
    """What a person wants to know first."""
    failed = sum(record.status == "failed" for record in report.runs)
    partial = sum(record.status == "partial failure" for record in report.runs)
    text = (
        f"{report.alerts_created:,} alerts created, {report.alerts_existing:,} existed; "
        f"{report.rules:,} rules in {report.duration_ms / 1000:.2f} s"
    )
    if failed:
        text += f"; {failed} failed"
    return text + (f"; {partial} with warnings" if partial else "")


def iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(record: RunRecord) -> tuple[object, ...]:
    said = "; ".join([*([record.error] if record.error else []), *record.warnings])
    return (
        record.status,
        record.alerts_created,
        record.alerts_existing,
        record.matches,
        show.when(record.window.start),
        show.when(record.window.end),
        record.name,
        said,
    )


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "rule_id": record.rule_id,
        "name": record.name,
        "kind": record.kind,
        "window": _window(record.window),
        "status": record.status,
        "matches": record.matches,
        "alerts_created": record.alerts_created,
        "alerts_existing": record.alerts_existing,
        "warnings": list(record.warnings),
        "error": record.error,
        "gap": _hull(record.gaps),
        "gaps": [_window(gap.window) | {"reason": gap.reason} for gap in record.gaps],
        "search_ms": record.search_ms,
        "write_ms": record.write_ms,
    }


def _window(window: Window) -> dict[str, str]:
    return {"start": iso(window.start), "end": iso(window.end)}


def _hull(gaps: Sequence[Gap]) -> dict[str, str] | None:
    """From the first gap's start to the last one's end; `gaps` has them one by one."""
    if not gaps:
        return None
    starts, ends = (gap.window.start for gap in gaps), (gap.window.end for gap in gaps)
    return _window(Window(min(starts), max(ends)))
