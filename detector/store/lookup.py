"""An index and an id in, the one document there out: for looking at a single event."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from detector.errors import LanguageError, Rejected
from detector.language import dsl, evaluate, tree
from detector.language.tree import Node
from detector.model import Source
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored

FIELDS = 1_000
"""Names that are asked for at most: an index lists 200 by itself, a request's line is short."""


def fetch(
    store: ElasticStore, index: str, id_: str, names: Collection[str] = ()
) -> tuple[Stored, dict[str, list[Any]]]:
    """The document with this id in an index, data stream or alias, as it was logged.

    Beside it what the index holds under `names`, constants and runtime fields included.
    Raises `StoreError`: where there is none, or several indices have one.
    """
    asked = [{"field": name} for name in sorted(names) if not name.startswith("_")][:FIELDS]
    answer = store.call(
        lambda: store.client.search(
            index=index,
            query={"ids": {"values": [id_]}},
            fields=asked,
            size=2,
        )
    )
    hits = answer["hits"]["hits"]
    if not hits:
        hint = "`_index` and `_id` stand in every hit, and in an alert's `kibana.alert.ancestors`"
        raise Rejected(f"no document {id_} in {index}", hint=hint)
    if len(hits) > 1:
        where = ", ".join(hit["_index"] for hit in hits)
        raise Rejected(f"several documents {id_} in {index}", hint=f"name one of {where}")
    hit = hits[0]
    source: Source = hit.get("_source") or {}
    return Stored(hit["_index"], hit["_id"], source), hit.get("fields", {})


def satisfies(store: ElasticStore, document: Stored, where: Node) -> bool | None:
    """Whether the document is found by the query that is sent for `where`, residual applied.

    None where the index cannot take the query. Raises `StoreError` where it does not answer.
    """
    types = store.field_types((document.index,), tree.fields_of(where))
    compiled = dsl.translate(where, types)
    wanted = [{"ids": {"values": [document.id]}}, compiled.query]
    try:
        answer = store.call(
            lambda: store.client.search(
                index=document.index, query={"bool": {"filter": wanted}}, size=0
            )
        )
        residual = compiled.residual
        held = residual is None or evaluate.matches(residual, document.source, types)
    except (Rejected, LanguageError):
        return None
    return bool(answer["hits"]["total"]["value"]) and held


def covers(store: ElasticStore, patterns: Sequence[str], document: Stored) -> bool:
    """Whether a search of `patterns` would see the document, aliases and data streams included."""
    wanted = [{"ids": {"values": [document.id]}}, {"term": {"_index": document.index}}]
    answer = store.call(
        lambda: store.client.search(
            index=list(patterns),
            query={"bool": {"filter": wanted}},
            size=0,
            ignore_unavailable=True,
            allow_no_indices=True,
        )
    )
    return bool(answer["hits"]["total"]["value"])
