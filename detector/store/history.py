"""Run records and dead letters in, what to say of each rule out: for `status`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from detector.store.elastic import ElasticStore
from detector.store.indices import HIDDEN

Json: TypeAlias = dict[str, Any]

MANY = 10_000
SUMS = ("search_ms", "write_ms", "matches", "alerts_created")


@dataclass(frozen=True, slots=True)
class Cost:
    """What the runs of a rule, of any kind, took together, and what came of them.

    `search_max_ms` is the search time of the run that searched longest.
    """

    rule_id: str
    name: str
    runs: int
    search_ms: int
    search_max_ms: int
    write_ms: int
    matches: int
    alerts_created: int

    @property
    def total_ms(self) -> int:
        return self.search_ms + self.write_ms


def latest(store: ElasticStore, rule_ids: Collection[str]) -> dict[str, Json]:
    """The newest record of a live run of each rule, as it was stored; a rule without is absent.

    Raises `StoreError`.
    """
    live = {"term": {"kind": "live"}}
    buckets = _by_rule(store, store.names.all_runs, live, {"run": _newest()})
    return {bucket["key"]: _record(bucket) for bucket in buckets if bucket["key"] in rule_ids}


def costs(store: ElasticStore, since: datetime) -> list[Cost]:
    """What each rule cost in runs that started at `since` or later, the most costly first.

    A rule is called what its newest record calls it. Raises `StoreError`.
    """
    of_each: dict[str, Json] = {name: {"sum": {"field": name}} for name in SUMS}
    of_each |= {"search_max_ms": {"max": {"field": "search_ms"}}, "run": _newest("name")}
    recent = {"range": {"started": {"gte": since.isoformat()}}}
    buckets = _by_rule(store, store.names.all_runs, recent, of_each)
    return sorted(map(_cost, buckets), key=lambda cost: (-cost.total_ms, cost.name))


def dead_letters(store: ElasticStore) -> dict[str, int]:
    """How many matches of each rule could not become alerts; a rule without is absent.

    Raises `StoreError`.
    """
    buckets = _by_rule(store, store.names.deadletter, {"match_all": {}}, {})
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}


def _by_rule(
    store: ElasticStore, index: str, query: Json, of_each: Mapping[str, Json]
) -> list[Json]:
    """A bucket for each rule that the documents name; none where there is no such index."""
    response = store.call(
        lambda: store.client.search(
            index=index,
            size=0,
            query=query,
            aggs={"rules": {"terms": {"field": "rule_id", "size": MANY}, "aggs": of_each}},
            expand_wildcards=HIDDEN,
            ignore_unavailable=True,
            allow_partial_search_results=False,
        )
    )
    found: list[Json] = response.get("aggregations", {}).get("rules", {}).get("buckets", [])
    return found


def _newest(*fields: str) -> Json:
    """The newest run record of a bucket, for `_record`: the fields that are named, or all."""
    source = list(fields) or True
    return {"top_hits": {"size": 1, "sort": [{"started": "desc"}], "_source": source}}


def _record(bucket: Json) -> Json:
    record: Json = bucket["run"]["hits"]["hits"][0]["_source"]
    return record


def _cost(bucket: Json) -> Cost:
    """Sums come as floats; what no record has, as null."""
    figures = {name: int(bucket[name]["value"] or 0) for name in (*SUMS, "search_max_ms")}
    name = _record(bucket).get("name") or bucket["key"]
    return Cost(rule_id=bucket["key"], name=name, runs=bucket["doc_count"], **figures)
