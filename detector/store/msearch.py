"""A search in, the header and body of an `_msearch` item out; its response in, a page out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar

from detector.language import dsl, evaluate, tree
from detector.language.fields import ECS, FieldTypes
from detector.model import Buckets, Cursor, Document, Earlier, Page, Rows, Search, Window
from detector.store.sifting import Unread, sifted

Json: TypeAlias = dict[str, Any]
Q = TypeVar("Q", Search, Buckets, Earlier)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEEP_ALIVE = "2m"
TIME_ORDER = {"order": "asc", "numeric_type": "date", "unmapped_type": "date"}
FOR_GOOD = frozenset({"query_shard_exception", "illegal_argument_exception", "parsing_exception"})
"""What a shard says when asking again changes nothing: a field of another type, a bad pattern."""
ABSENT = ("skipped", "partial", "failed", "running")
"""What `_clusters` calls a cluster that did not answer in full."""
TOO_MANY = 429
BUSY = frozenset({"es_rejected_execution_exception", "circuit_breaking_exception"})


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q]):
    """What is sent for one question, and what its answer has to be read with."""

    search: Q
    header: Json
    body: Json
    residual: tree.Node | None
    size: int
    types: FieldTypes = ECS


@dataclass(frozen=True, slots=True)
class Lack:
    """What part of a question was not answered; `transient` is whether asking again may help."""

    reason: str
    transient: bool = True

    def noted(self, page: Page) -> Page:
        """The page, said to lack this as well."""
        if page.incomplete is None:
            return replace(page, incomplete=self.reason, transient=self.transient)
        reasons = dict.fromkeys((self.reason, page.incomplete))
        return replace(
            page, incomplete="; ".join(reasons), transient=self.transient or page.transient
        )


def ask(
    search: Search,
    compiled: dsl.Compiled,
    *,
    size: int,
    types: FieldTypes = ECS,
    timeout: float | None = None,
    exclude_tiers: Sequence[str] = (),
) -> Asked[Search]:
    """The request for one page of at most `size` hits, from indices with fields of `types`.

    Sorting by `numeric_type: date` lets `date` and `date_nanos` indices mix; inside a point in time
    Elasticsearch breaks ties by `_shard_doc` on its own.
    """
    wanted = {*search.fields, search.time_field}
    if compiled.residual is not None:
        wanted |= tree.fields_of(compiled.residual)
    body: Json = {
        "size": size,
        "query": named(query(search, compiled.query, exclude_tiers), search.rule_id),
        "sort": [{search.time_field: TIME_ORDER}],
        "fields": sorted(wanted),
        "track_total_hits": False,
    }
    if timeout is not None:
        body["timeout"] = milliseconds(timeout)
    if search.cursor is not None:
        body["pit"] = {"id": search.cursor.point, "keep_alive": KEEP_ALIVE}
        if search.cursor.after:
            body["search_after"] = list(search.cursor.after)
    at = header(search.index) if search.cursor is None else {}
    return Asked(search, at, body, compiled.residual, size, types)


def milliseconds(seconds: float) -> str:
    """A span as a search has it."""
    return f"{max(1, int(seconds * 1000))}ms"


def header(index: Sequence[str]) -> Json:
    """Where an item is asked; what is not there is no failure."""
    return {"index": list(index), "ignore_unavailable": True, "allow_no_indices": True}


def read(asked: Asked[Search], response: Mapping[str, Any]) -> Page:
    """The page in a response without an `error`. A full page inside a point in time has a next."""
    hits = response["hits"]["hits"]
    following = None
    if asked.search.cursor and len(hits) == asked.size:
        point = response.get("pit_id", asked.search.cursor.point)
        following = replace(asked.search, cursor=Cursor(point, tuple(hits[-1]["sort"])))
    documents = [_document(hit, asked.search.window) for hit in hits]
    unread: tuple[Unread, ...] = ()
    if asked.residual is not None:
        holds = evaluate.predicate(asked.residual, asked.types)
        documents, unread = sifted(documents, holds, lambda document: document.fields)
    documents.sort(key=lambda document: (document.time, document.index, document.id))
    lacking = lack(response)
    return Page(
        documents=tuple(documents),
        next=following,
        hits=len(hits),
        took_ms=response.get("took", 0),
        warning=nothing_there(asked.search.index, response),
        incomplete=lacking.reason if lacking else None,
        transient=lacking.transient if lacking else True,
        unread=unread,
        timed_out=bool(response.get("timed_out")),
    )


def found_no_index(response: Mapping[str, Any]) -> bool:
    """Whether nothing was searched at all."""
    return response["_shards"]["total"] == 0 and "_clusters" not in response


def is_full(asked: Asked[Any], response: Mapping[str, Any]) -> bool:
    """Whether a plain first page of documents may have left something out."""
    search = asked.search
    if not isinstance(search, Search) or search.cursor or asked.size == search.limit:
        return False
    return len(response["hits"]["hits"]) == asked.size


def was_rejected(response: Mapping[str, Any]) -> bool:
    """Whether all or some of a response is missing because the cluster was too busy."""
    if "error" in response:
        said = [response["error"], *response["error"].get("root_cause", ())]
    else:
        said = _causes(response)
    busy = [error for error in said if error.get("type") in BUSY]
    if not busy:
        return response.get("status") == TOO_MANY
    return any(error.get("durability") != "PERMANENT" for error in busy)


def lack(response: Mapping[str, Any]) -> Lack | None:
    """What is missing in a response without an `error`.

    Shards of remotes count in `_shards` as well; that a remote was left out as a whole is told by
    `_clusters` alone, with 200 and no failed shard. What comes under `running` is not awaited.
    """
    said = list(_missing(response))
    if not said:
        return None
    kinds = {cause.get("type") for cause in _causes(response)}
    for_good = bool(kinds) and kinds <= FOR_GOOD and not response.get("timed_out")
    return Lack("; ".join(said)[:1_000], transient=not for_good)


def left_out(first: Mapping[str, Any], again: Mapping[str, Any]) -> Lack | None:
    """The remotes that answered a first time and were not asked again."""
    gone = sorted(_remotes(first) - _remotes(again))
    return Lack(f"remote clusters went away: {', '.join(gone)}") if gone else None


def _missing(response: Mapping[str, Any]) -> Iterator[str]:
    if response.get("timed_out"):
        yield "the search timed out before it was finished"
    shards = response["_shards"]
    if shards["failed"]:
        told = "; ".join(sorted(_reasons(shards.get("failures", ()))))
        yield f"{shards['failed']} of {shards['total']} shards failed: {told[:500]}"
    yield from absent(response.get("_clusters", {}))


def absent(clusters: Mapping[str, Any]) -> Iterator[str]:
    """What `_clusters` tells of those that did not answer in full."""
    if count := sum(clusters.get(key, 0) for key in ABSENT):
        told = "; ".join(_absent(clusters.get("details", {})))
        yield f"{count} of {clusters['total']} clusters did not answer in full: {told[:500]}"


def _reasons(failures: Iterable[Mapping[str, Any]]) -> set[str]:
    return {f"{failure.get('index')}: {failure['reason'].get('reason')}" for failure in failures}


def _absent(details: Mapping[str, Any]) -> Iterator[str]:
    for name, cluster in sorted(details.items()):
        if cluster["status"] in ABSENT:
            said = {str(failure["reason"].get("reason")) for failure in cluster.get("failures", ())}
            yield f"{name} ({cluster['status']}): {', '.join(sorted(said)) or 'no reason given'}"


def _causes(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Why shards and clusters did not answer; a cluster that gives no reason counts as one."""
    failures = [failure["reason"] for failure in response["_shards"].get("failures", ())]
    clusters = response.get("_clusters", {})
    details = clusters.get("details", {})
    for cluster in details.values():
        if cluster["status"] in ABSENT:
            failures += [f["reason"] for f in cluster.get("failures", ())] or [{}]
    if not details and any(clusters.get(key) for key in ABSENT):
        failures.append({})
    return failures


def _remotes(response: Mapping[str, Any]) -> set[str]:
    return set(response.get("_clusters", {}).get("details", ())) - {"(local)"}


def query(search: Search | Buckets | Rows, condition: Json, exclude_tiers: Sequence[str]) -> Json:
    """The whole query: the condition inside the window."""
    filters = [_inside(search)]
    inner = condition.get("bool")
    if len(condition) == 1 and inner is not None and set(inner) == {"filter"}:
        filters += inner["filter"]
    else:
        filters.append(condition)
    unwanted: list[Json] = []
    if isinstance(search, Search) and search.without:
        unwanted.append({"exists": {"field": search.without}})
    if exclude_tiers:
        unwanted.append({"terms": {"_tier": list(exclude_tiers)}})
    return {"bool": {"filter": filters} | ({"must_not": unwanted} if unwanted else {})}


def named(query: Json, rule_id: str) -> Json:
    """The query with its rule's id, so that slow logs and `_tasks` tell whose it is."""
    (kind,) = query
    return {kind: query[kind] | {"_name": rule_id}}


def _inside(search: Search | Buckets | Rows) -> Json:
    """The window, as Kibana asks it: of `@timestamp` where the other time is missing."""
    primary = _range(search.time_field, search.window)
    if isinstance(search, Search) or not search.fallback:
        return primary
    lacking = {"exists": {"field": search.time_field}}
    secondary = {"bool": {"filter": [_range("@timestamp", search.window)], "must_not": [lacking]}}
    return {"bool": {"should": [primary, secondary], "minimum_should_match": 1}}


def _range(name: str, window: Window) -> Json:
    return {
        "range": {
            name: {
                "gte": stamp(window.start),
                "lt": stamp(window.end),
                "format": "strict_date_optional_time",
            }
        }
    }


def _document(hit: Mapping[str, Any], window: Window) -> Document:
    return Document(
        index=hit["_index"],
        id=hit["_id"],
        source=hit.get("_source", {}),
        time=_time(hit["sort"][0], window),
        fields=hit.get("fields", {}),
    )


def _time(milliseconds: int, window: Window) -> datetime:
    """The time a hit is sorted by; of several times of one document the first may be any."""
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return window.start


def nothing_there(index: Sequence[str], response: Mapping[str, Any]) -> str | None:
    """The warning where nothing was searched at all."""
    return f"no index matches {', '.join(index)}" if found_no_index(response) else None


@lru_cache(maxsize=256)
def stamp(time: datetime) -> str:
    """A time as a query has it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
