"""A search in, the header and body of an `_msearch` item out; its response in, a page out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from detector.language import dsl, evaluate, fields, tree
from detector.model import Cursor, Document, Page, Search

Json: TypeAlias = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEEP_ALIVE = "2m"
FOR_GOOD = frozenset({"query_shard_exception", "illegal_argument_exception", "parsing_exception"})
"""What a shard says when asking again changes nothing: a field of another type, a bad pattern."""
BUSY = frozenset({"es_rejected_execution_exception", "circuit_breaking_exception"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent for one search, and what its answer has to be read with."""

    search: Search
    header: Json
    body: Json
    residual: tree.Node | None
    size: int


def ask(
    search: Search,
    compiled: dsl.Compiled,
    *,
    size: int,
    exclude_tiers: Sequence[str] = (),
) -> Asked:
    """The request for one page of at most `size` hits.

    Sorting by `numeric_type: date` lets `date` and `date_nanos` indices mix; inside a point in time
    Elasticsearch breaks ties by `_shard_doc` on its own.
    """
    wanted = {*search.fields, search.time_field}
    if compiled.residual is not None:
        wanted |= tree.fields_of(compiled.residual)
    body: Json = {
        "size": size,
        "query": _query(search, compiled.query, exclude_tiers),
        "sort": [
            {
                search.time_field: {
                    "order": "asc",
                    "numeric_type": "date",
                    "unmapped_type": "date",
                }
            }
        ],
        "fields": sorted(wanted),
        "track_total_hits": False,
    }
    header: Json = {}
    if search.cursor is None:
        header = {
            "index": list(search.index),
            "ignore_unavailable": True,
            "allow_no_indices": True,
        }
    else:
        body["pit"] = {"id": search.cursor.point, "keep_alive": KEEP_ALIVE}
        if search.cursor.after:
            body["search_after"] = list(search.cursor.after)
    return Asked(search, header, body, compiled.residual, size)


def read(asked: Asked, response: Mapping[str, Any]) -> Page:
    """The page in a response without an `error`. A full page inside a point in time has a next."""
    hits = response["hits"]["hits"]
    following = None
    if asked.search.cursor and len(hits) == asked.size:
        point = response.get("pit_id", asked.search.cursor.point)
        following = replace(asked.search, cursor=Cursor(point, tuple(hits[-1]["sort"])))
    documents = [_document(hit) for hit in hits]
    if asked.residual is not None:
        documents = [d for d in documents if evaluate.matches(asked.residual, d.fields, fields.ECS)]
    documents.sort(key=lambda document: (document.time, document.index, document.id))
    return Page(
        documents=tuple(documents),
        next=following,
        hits=len(hits),
        took_ms=response.get("took", 0),
        warning=_nothing_there(asked.search, response),
        incomplete=_incomplete(response),
        transient=not _refused_for_good(response),
    )


def is_full(asked: Asked, response: Mapping[str, Any]) -> bool:
    """Whether a plain first page may have left something out."""
    return asked.search.cursor is None and len(response["hits"]["hits"]) == asked.size


def was_rejected(response: Mapping[str, Any]) -> bool:
    """Whether all or some of a response is missing because the cluster was too busy."""
    said = [response["error"]] if "error" in response else _causes(response)
    return any(
        error.get("type") in BUSY and error.get("durability") != "PERMANENT" for error in said
    )


def _causes(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The reasons of shards that failed, of remote clusters as well."""
    failures = [*response["_shards"].get("failures", ())]
    for cluster in response.get("_clusters", {}).get("details", {}).values():
        failures += cluster.get("failures", ())
    return [failure["reason"] for failure in failures]


def _query(search: Search, condition: Json, exclude_tiers: Sequence[str]) -> Json:
    filters: list[Json] = [
        {
            "range": {
                search.time_field: {
                    "gte": _instant(search.window.start),
                    "lt": _instant(search.window.end),
                    "format": "strict_date_optional_time",
                }
            }
        }
    ]
    inner = condition.get("bool")
    if len(condition) == 1 and inner is not None and set(inner) == {"filter"}:
        filters += inner["filter"]
    else:
        filters.append(condition)
    unwanted: list[Json] = []
    if search.without:
        unwanted.append({"exists": {"field": search.without}})
    if exclude_tiers:
        unwanted.append({"terms": {"_tier": list(exclude_tiers)}})
    return {"bool": {"filter": filters} | ({"must_not": unwanted} if unwanted else {})}


def _document(hit: Mapping[str, Any]) -> Document:
    return Document(
        index=hit["_index"],
        id=hit["_id"],
        source=hit.get("_source", {}),
        time=EPOCH + timedelta(milliseconds=hit["sort"][0]),
        fields=hit.get("fields", {}),
    )


def _nothing_there(search: Search, response: Mapping[str, Any]) -> str | None:
    if response["_shards"]["total"] == 0 and "_clusters" not in response:
        return f"no index matches {', '.join(search.index)}"
    return None


def _incomplete(response: Mapping[str, Any]) -> str | None:
    """What of an answer is missing: only `_clusters` tells of a remote that was left out."""
    if response.get("timed_out"):
        return "the search timed out before it was finished"
    shards = response["_shards"]
    if shards["failed"]:
        reasons = {
            f"{failure.get('index')}: {failure['reason'].get('reason')}"
            for failure in shards.get("failures", [])
        }
        told = "; ".join(sorted(reasons))[:500]
        return f"{shards['failed']} of {shards['total']} shards failed: {told}"
    clusters = response.get("_clusters", {})
    absent = sum(clusters.get(key, 0) for key in ("skipped", "partial", "failed"))
    return f"{absent} of {clusters['total']} clusters did not answer in full" if absent else None


def _refused_for_good(response: Mapping[str, Any]) -> bool:
    """Whether all that is missing are shards whose mapping cannot take the query."""
    failures = response["_shards"].get("failures", [])
    kinds = {failure["reason"].get("type") for failure in failures}
    return bool(kinds) and kinds <= FOR_GOOD and not response.get("timed_out")


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
