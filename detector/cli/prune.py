"""`detector prune`: old months of run records, and on request of alerts, are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from detector.cli import options, reports, show, wiring
from detector.errors import DetectorError, SettingsError
from detector.store import months
from detector.store.months import Month
from detector.text import durations


def prune(
    ctx: typer.Context,
    runs: Annotated[
        str | None,
        typer.Option("--runs", metavar="AGE", help="Of run records (default: retention.runs)."),
    ] = None,
    alerts: Annotated[
        str | None,
        typer.Option("--alerts", metavar="AGE", help="Of alerts, such as `400d` (default: none)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would go and delete nothing.")
    ] = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Delete the months whose every document is older than an age, and list them.

    Asks nothing. Alerts are touched only where --alerts names an age; they go by the months of
    their events. With run records goes what is known of gaps that have not been filled.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    keep = configured.retention.runs if runs is None else _age(runs, "--runs")
    keep_alerts = None if alerts is None else _age(alerts, "--alerts")
    with wiring.store(common, configured) as store:
        now = store.clock.now()
        found = months.older(store, "runs", keep, now)
        if keep_alerts is not None:
            found += months.older(store, "alerts", keep_alerts, now)
        gone = found if dry_run else list(months.drop(store, found))
    if common.json:
        show.document({"dry_run": dry_run, "deleted": [_json(month) for month in gone]})
        return
    if gone:
        columns = ("index", "documents", "bytes", "open gaps")
        show.out().print(show.table(columns, map(_row, gone)))
    show.say(_summary(gone, dry_run=dry_run), "green")


def _age(text: str, option: str) -> timedelta:
    """Raises `SettingsError` naming `option`."""
    try:
        return durations.parse(text)
    except DetectorError as error:
        raise SettingsError(f"{option}: {error.message}", hint=error.hint) from None


def _summary(gone: Sequence[Month], *, dry_run: bool) -> str:
    verb = "would be deleted" if dry_run else "deleted"
    known = sum(month.gaps for month in gone)
    text = f"{len(gone)} months {verb}"
    return f"{text}; {known} open gaps with them" if known else text


def _row(month: Month) -> tuple[object, ...]:
    return month.index, month.documents, month.bytes, month.gaps


def _json(month: Month) -> dict[str, Any]:
    return {
        "index": month.index,
        "kind": month.kind,
        "end": reports.iso(month.end),
        "documents": month.documents,
        "bytes": month.bytes,
        "gaps": month.gaps,
    }


app = options.app(prune)
