"""Searches in, one request that counts their documents and most frequent values out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detector.model import Search, Survey
from detector.store.msearch import Asked, lack

MOST = 5


def ask(asked: Asked[Search], fields: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and body that count what `asked` would return, page by page."""
    body: dict[str, Any] = {"size": 0, "query": asked.body["query"], "track_total_hits": True}
    if fields:
        body["aggs"] = {name: {"terms": {"field": name, "size": MOST}} for name in fields}
    return asked.header, body


def read(asked: Iterable[Asked[Search]], responses: Sequence[Mapping[str, Any]]) -> Survey:
    """All answers together. A field that an index cannot count by is left out."""
    top: dict[str, Counter[Any]] = {}
    for response in responses:
        for name, found in response.get("aggregations", {}).items():
            for bucket in found["buckets"]:
                value = bucket.get("key_as_string", bucket["key"])
                top.setdefault(name, Counter())[value] += bucket["doc_count"]
    return Survey(
        count=sum(response["hits"]["total"]["value"] for response in responses),
        exact=all(item.residual is None for item in asked) and not any(map(lack, responses)),
        top={name: tuple(counts.most_common(MOST)) for name, counts in sorted(top.items())},
    )
