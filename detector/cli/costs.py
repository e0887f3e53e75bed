"""`detector status --top`: the rules that cost most, by what their runs took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from detector.cli import reports, show
from detector.store import history

if TYPE_CHECKING:
    from detector.store.elastic import ElasticStore
    from detector.store.history import Cost

SPAN = timedelta(hours=24)
COLUMNS = (
    "share", "runs", "search ms", "a run", "longest", "write ms", "matches", "alerts", "rule",
)  # fmt: skip


def rank(store: ElasticStore, now: datetime, most: int, *, json: bool) -> None:
    """Show the `most` costly rules of the last 24 hours. Raises `StoreError`."""
    since = now - SPAN
    costs = history.costs(store, since)
    if json:
        show.document(_document(costs, most, now, since))
        return
    total = _total(costs)
    rows = [_row(cost, total) for cost in costs[:most]]
    if rows:
        show.out().print(show.listed(COLUMNS, rows, show.out().width))
    show.say(_summary(costs, most, since), None if rows else "yellow")


def _total(costs: Sequence[Cost]) -> int:
    return sum(cost.total_ms for cost in costs)


def _share(part: int, total: int) -> float:
    return part / total if total else 0.0


def _row(cost: Cost, total: int) -> tuple[object, ...]:
    return (
        f"{_share(cost.total_ms, total):6.1%}",
        cost.runs,
        cost.search_ms,
        round(cost.search_ms / cost.runs, 1),
        cost.search_max_ms,
        cost.write_ms,
        cost.matches,
        cost.alerts_created,
        cost.name,
    )


def _summary(costs: Sequence[Cost], most: int, since: datetime) -> str:
    if not costs:
        return f"no runs since {show.when(since)}"
    shown, total = costs[:most], _total(costs)
    return (
        f"{len(shown):,} of {len(costs):,} rules: {_share(_total(shown), total):.1%} of "
        f"{total:,} ms of searches and writes "
        f"in {sum(cost.runs for cost in costs):,} runs since {show.when(since)}"
    )


def _document(costs: Sequence[Cost], most: int, now: datetime, since: datetime) -> dict[str, Any]:
    total = _total(costs)
    return {
        "now": reports.iso(now),
        "since": reports.iso(since),
        "runs": sum(cost.runs for cost in costs),
        "search_ms": sum(cost.search_ms for cost in costs),
        "write_ms": sum(cost.write_ms for cost in costs),
        "top": [
            asdict(cost) | {"share": round(_share(cost.total_ms, total), 4)}
            for cost in costs[:most]
        ],
    }
