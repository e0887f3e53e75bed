"""Run records in, the spans that nothing has covered since out: for `gaps`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from detector.model import Gap, Window
from detector.store.elastic import ElasticStore
from detector.windows import without

Json = dict[str, Any]
MANY = 10_000
HIDDEN = "all"  # a pattern alone does not find hidden indices


def unfilled(store: ElasticStore) -> list[Gap]:
    """Every recorded gap less what a backfill of its rule has covered after it, oldest first.

    A gap is never marked as filled: that it is follows from the runs. Raises `StoreError`.
    """
    runs = store.names.all_runs
    store.call(lambda: store.client.indices.refresh(index=runs, expand_wildcards=HIDDEN))
    recorded = _runs(store, {"exists": {"field": "gap.start"}})
    fills = _runs(
        store,
        {
            "bool": {
                "filter": [{"term": {"kind": "backfill"}}, {"term": {"status": "succeeded"}}],
                "must_not": [{"exists": {"field": "gap.start"}}],
            }
        },
    )
    found = [gap for run in recorded for gap in _left(run, fills)]
    return _distinct(sorted(found, key=lambda gap: (gap.window.start, gap.rule_id)))


def _runs(store: ElasticStore, query: Json) -> list[Json]:
    response = store.call(
        lambda: store.client.search(
            index=store.names.all_runs,
            query=query,
            size=MANY,
            sort=[{"started": {"order": "asc", "unmapped_type": "date"}}],
            source_includes=["rule_id", "started", "window", "gap"],
            expand_wildcards=HIDDEN,
        )
    )
    return [hit["_source"] for hit in response["hits"]["hits"]]


def _left(run: Json, fills: Sequence[Json]) -> list[Gap]:
    """A record written by an earlier version holds one gap, not a list of them."""
    recorded = run["gap"] if isinstance(run["gap"], list) else [run["gap"]]
    since = [
        _window(fill["window"])
        for fill in fills
        if fill["rule_id"] == run["rule_id"] and fill["started"] >= run["started"]
    ]
    return [
        Gap(run["rule_id"], window, gap["reason"])
        for gap in recorded
        for window in without([_window(gap)], since)
    ]


def _window(source: Json) -> Window:
    return Window(datetime.fromisoformat(source["start"]), datetime.fromisoformat(source["end"]))


def _distinct(gaps: Sequence[Gap]) -> list[Gap]:
    """Gaps of one rule and reason that touch or overlap, told as one."""
    merged: list[Gap] = []
    for gap in gaps:
        for position, other in enumerate(merged):
            same = (other.rule_id, other.reason) == (gap.rule_id, gap.reason)
            if same and gap.window.start <= other.window.end:
                end = max(other.window.end, gap.window.end)
                merged[position] = Gap(gap.rule_id, Window(other.window.start, end), gap.reason)
                break
        else:
            merged.append(gap)
    return merged
