"""Run records in, the spans that nothing has covered since out: for `gaps`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from detector.model import Gap, Window
from detector.store.elastic import ElasticStore
from detector.store.indices import HIDDEN
from detector.windows import closed, told_once, without

Json = dict[str, Any]
PAGE = 5_000


def unfilled(store: ElasticStore, *, recorded_in: str | None = None) -> list[Gap]:
    """Every recorded gap less what a backfill of its rule has covered after it, oldest first.

    A gap is never marked as filled: that it is follows from the runs. With `recorded_in`, only the
    gaps that this index knows of. Raises `StoreError`.
    """
    runs = store.names.all_runs
    store.call(lambda: store.client.indices.refresh(index=runs, expand_wildcards=HIDDEN))
    fills = list(
        _runs(
            store,
            runs,
            {
                "filter": [{"term": {"kind": "backfill"}}],
                "must_not": [{"exists": {"field": "error"}}, {"exists": {"field": "gap.start"}}],
            },
        )
    )
    recorded = _runs(store, recorded_in or runs, {"filter": [{"exists": {"field": "gap.start"}}]})
    return list(told_once(gap for run in recorded for gap in _left(run, fills)))


def _runs(store: ElasticStore, index: str, conditions: Json) -> Iterator[Json]:
    """Run records that hold to `conditions`, however many, page by page."""
    after: list[Any] | None = None
    while True:
        hits = store.call(lambda: _page(store, index, conditions, after))["hits"]["hits"]  # noqa: B023
        yield from (hit["_source"] for hit in hits)
        if len(hits) < PAGE:
            return
        after = hits[-1]["sort"]


def _page(store: ElasticStore, index: str, conditions: Json, after: list[Any] | None) -> Any:
    return store.client.search(
        index=index,
        query={"bool": conditions},
        size=PAGE,
        sort=[
            {"started": {"order": "asc", "unmapped_type": "date"}},
            {"uuid": {"order": "asc", "unmapped_type": "keyword"}},
        ],
        search_after=after,
        source_includes=["rule_id", "started", "window", "gap", "lateness_ms"],
        expand_wildcards=HIDDEN,
        allow_partial_search_results=False,
    )


def _left(run: Json, fills: Sequence[Json]) -> list[Gap]:
    """A record written by an earlier version holds one gap, not a list of them."""
    recorded = run["gap"] if isinstance(run["gap"], list) else [run["gap"]]
    since = [
        _closed(fill)
        for fill in fills
        if fill["rule_id"] == run["rule_id"] and fill["started"] >= run["started"]
    ]
    return [
        Gap(run["rule_id"], window, gap["reason"])
        for gap in recorded
        for window in without([_window(gap)], since)
    ]


def _closed(fill: Json) -> Window:
    late = timedelta(milliseconds=fill.get("lateness_ms", 0))
    return closed(_window(fill["window"]), datetime.fromisoformat(fill["started"]), late)


def _window(source: Json) -> Window:
    return Window(datetime.fromisoformat(source["start"]), datetime.fromisoformat(source["end"]))
