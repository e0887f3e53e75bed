"""Run records and dead letters in, what to say of each rule out: for `status`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from detector.store.elastic import ElasticStore
from detector.store.indices import HIDDEN

MANY = 10_000


def latest(store: ElasticStore, rule_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The newest record of a live run of each rule, as it was stored; a rule without is absent.

    Raises `StoreError`.
    """
    newest = {"top_hits": {"size": 1, "sort": [{"started": "desc"}]}}
    response = store.call(
        lambda: store.client.search(
            index=store.names.all_runs,
            size=0,
            query={"term": {"kind": "live"}},
            aggs={"rules": {"terms": {"field": "rule_id", "size": MANY}, "aggs": {"run": newest}}},
            expand_wildcards=HIDDEN,
            allow_partial_search_results=False,
        )
    )
    buckets = response.get("aggregations", {}).get("rules", {}).get("buckets", ())
    return {
        bucket["key"]: bucket["run"]["hits"]["hits"][0]["_source"]
        for bucket in buckets
        if bucket["key"] in rule_ids
    }


def dead_letters(store: ElasticStore) -> dict[str, int]:
    """How many matches of each rule could not become alerts; a rule without is absent.

    Raises `StoreError`.
    """
    response = store.call(
        lambda: store.client.search(
            index=store.names.deadletter,
            size=0,
            aggs={"rules": {"terms": {"field": "rule_id", "size": MANY}}},
            ignore_unavailable=True,
            allow_partial_search_results=False,
        )
    )
    buckets = response.get("aggregations", {}).get("rules", {}).get("buckets", ())
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}
