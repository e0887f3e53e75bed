"""Alerts as they lie in Elasticsearch, newest first or as they come: for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
TIME, UUID, PART = "@timestamp", "kibana.alert.uuid", "kibana.alert.group.index"
PAGE = 1_000
OVERLAP = timedelta(minutes=10)
"""Longer than a run takes; what a backfill writes after it has run that long is not shown."""

NOT_SHOWN = ["kibana.alert.rule.parameters", "kibana.alert.rule.note", "kibana.alert.rule.threat"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts: written since `since` (UTC), of these severities and rules (ids or names).

    Not the building blocks of an alert on several events: it stands for them.
    """

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
        return {"bool": {"filter": filters, "must_not": [{"exists": {"field": PART}}]}}


def newest(store: ElasticStore, wanted: Wanted, limit: int) -> list[Json]:
    """At most `limit` alerts, newest first; each as its source with dotted `kibana.*` keys."""
    return [hit["_source"] for hit in _search(store, wanted, limit, "desc")]


class Follower:
    """Gives every alert once, as it comes.

    All alerts of a run bear the run's time, and become visible by and by: those of the last
    `OVERLAP` are asked for again, and what has been given is remembered by id.
    """

    def __init__(self, store: ElasticStore, wanted: Wanted) -> None:
        self._store = store
        self._wanted = wanted
        self._given: dict[str, datetime] = {}

    def fresh(self) -> list[Json]:
        """Alerts not given before, oldest first."""
        found = [alert for alert in self._recent() if alert[UUID] not in self._given]
        self._given |= {alert[UUID]: datetime.fromisoformat(alert[TIME]) for alert in found}
        self._forget()
        return found

    def _recent(self) -> Iterator[Json]:
        hits = _search(self._store, self._wanted, PAGE, "asc")
        while hits:
            yield from (hit["_source"] for hit in hits)
            if len(hits) < PAGE:
                return
            hits = _search(self._store, self._wanted, PAGE, "asc", hits[-1]["sort"])

    def _forget(self) -> None:
        """What is older than the overlap is neither asked for nor remembered."""
        if not self._given:
            return
        since = max(self._given.values()) - OVERLAP
        if self._wanted.since is None or since > self._wanted.since:
            self._wanted = replace(self._wanted, since=since)
            self._given = {uuid: time for uuid, time in self._given.items() if time >= since}


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
