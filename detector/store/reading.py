"""Alerts as they lie in Elasticsearch, newest first or as they come: for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from detector.store.elastic import ElasticStore

Json = dict[str, Any]

SHOWN = [
    "@timestamp",
    "kibana.alert.*",
    "host.name",
    "container.id",
    "container.image.name",
    "orchestrator.resource.name",
    "user.name",
    "process.name",
]
NOT_SHOWN = ["kibana.alert.rule.parameters", "kibana.alert.rule.note", "kibana.alert.rule.threat"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts: written since `since` (UTC), of these severities and rules (ids or names)."""

    since: datetime | None = None
    severities: Sequence[str] = ()
    rules: Sequence[str] = ()

    def query(self) -> Json:
        filters: list[Json] = []
        if self.since:
            filters.append({"range": {"@timestamp": {"gte": self.since.isoformat()}}})
        if self.severities:
            filters.append({"terms": {"kibana.alert.severity": list(self.severities)}})
        if self.rules:
            names = list(self.rules)
            either = [
                {"terms": {"kibana.alert.rule.rule_id": names}},
                {"terms": {"kibana.alert.rule.name": names}},
            ]
            filters.append({"bool": {"should": either, "minimum_should_match": 1}})
        return {"bool": {"filter": filters}}


def newest(store: ElasticStore, wanted: Wanted, limit: int) -> list[Json]:
    """At most `limit` alerts, newest first; each as its source with dotted `kibana.*` keys."""
    return [hit["_source"] for hit in _search(store, wanted, limit, "desc")]


def after(
    store: ElasticStore, wanted: Wanted, position: Sequence[Any] | None, limit: int = 1_000
) -> tuple[list[Json], Sequence[Any] | None]:
    """Alerts behind `position`, oldest first, and the position of the last of them."""
    hits = _search(store, wanted, limit, "asc", position)
    return [hit["_source"] for hit in hits], hits[-1]["sort"] if hits else position


def one(store: ElasticStore, id_: str) -> Json | None:
    """The whole alert whose id begins with `id_`, or None where none or several do."""
    hits = store.call(
        lambda: store.client.search(
            index=store.names.alerts,
            query={"prefix": {"kibana.alert.uuid": id_}},
            size=2,
            ignore_unavailable=True,
        )
    )["hits"]["hits"]
    return hits[0]["_source"] if len(hits) == 1 else None


def _search(
    store: ElasticStore,
    wanted: Wanted,
    limit: int,
    order: str,
    position: Sequence[Any] | None = None,
) -> list[Json]:
    """Ties in time are broken by id, so that following misses and repeats nothing."""
    response = store.call(
        lambda: store.client.search(
            index=store.names.alerts,
            query=wanted.query(),
            size=limit,
            sort=[{"@timestamp": order}, {"kibana.alert.uuid": order}],
            search_after=list(position) if position else None,
            source_includes=SHOWN,
            source_excludes=NOT_SHOWN,
            ignore_unavailable=True,
        )
    )
    return list(response["hits"]["hits"])
