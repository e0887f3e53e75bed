"""A space in, the months that its indices hold out; and dropping those that are old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from detector.store import gaps
from detector.store.elastic import ElasticStore
from detector.store.indices import HIDDEN

Kind = Literal["runs", "alerts"]

_MONTH = re.compile(r"-(\d{4})\.(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """An index of one month; `end` is the first moment after it. `gaps` are those not filled."""

    index: str
    kind: Kind
    end: datetime
    documents: int
    bytes: int
    gaps: int = 0


def older(store: ElasticStore, kind: Kind, keep: timedelta, now: datetime) -> list[Month]:
    """The months whose every record is older than `keep`, oldest first. Raises `StoreError`.

    Only names that are exactly ours count; alerts without a month stay.
    """
    start = f"detector-runs-{store.names.space}" if kind == "runs" else store.names.alerts
    listed: Any = store.call(
        lambda: store.client.cat.indices(
            index=f"{start}-*",
            expand_wildcards=HIDDEN,
            format="json",
            bytes="b",
            h="index,docs.count,store.size",
        )
    )
    found = []
    for row in listed:
        end = _end(str(row["index"]), start)
        if end is not None and end <= now - keep:
            found.append((end, str(row["index"]), row))
    return [
        Month(
            index=index,
            kind=kind,
            end=end,
            documents=int(row.get("docs.count") or 0),
            bytes=int(row.get("store.size") or 0),
            gaps=_gaps(store, index) if kind == "runs" else 0,
        )
        for end, index, row in sorted(found, key=lambda one: one[:2])
    ]


def drop(store: ElasticStore, months: list[Month]) -> Iterator[Month]:
    """Delete the indices one by one; give each that is gone. Raises `StoreError`."""
    for month in months:
        store.call(
            lambda index=month.index: store.client.options(ignore_status=404).indices.delete(  # type: ignore[misc]
                index=index
            )
        )
        yield month


def _end(index: str, start: str) -> datetime | None:
    found = _MONTH.fullmatch(index.removeprefix(start)) if index.startswith(start) else None
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    if not 1 <= year < 9999:
        return None
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _gaps(store: ElasticStore, index: str) -> int:
    """How many gaps only this month knows of."""
    return len(gaps.unfilled(store, recorded_in=index))
