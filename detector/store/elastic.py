"""Elasticsearch as a store: searches as `_msearch`, alerts as bulk `create`."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from detector.errors import NotSetUp, Rejected, StoreError, Unavailable
from detector.language.fields import FieldTypes
from detector.model import (
    Alert,
    Answer,
    Backfilled,
    Change,
    Checkpoint,
    Letter,
    Question,
    RunRecord,
    Search,
    Survey,
    Written,
)
from detector.store import bulk, esql, indices, shapes, updating, writing
from detector.store.bulk import Item, Operation, refusal
from detector.store.clock import ClusterClock
from detector.store.connection import (
    UNREADY,
    WEAK,
    Client,
    Connection,
    Patience,
    kinds_of,
    reason_of,
    verdict,
)
from detector.store.searching import Searcher

LOOKUP_CHUNK = 5_000
MISSING = "index_not_found_exception"
CONFLICT = 409


class ElasticStore:
    """The contract of `store.base.Store` on an Elasticsearch of 8.x or 9.x."""

    def __init__(
        self,
        client: Client,
        space: str,
        *,
        page_size: int = 1_000,
        searches_per_request: int = 200,
        rules_per_search: int = 64,
        exclude_tiers: Sequence[str] = (),
        search_timeout: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.connection = Connection(client, patience)
        self.call = self.connection.call
        self.names = indices.Names(space)
        self.clock = ClusterClock(self._time)
        self._searcher = Searcher(
            self.connection,
            page_size=page_size,
            per_request=searches_per_request,
            rules_per_search=rules_per_search,
            exclude_tiers=exclude_tiers,
            alerts=self.names.alerts,
            timeout=search_timeout,
        )

    @property
    def client(self) -> Client:
        """The client of the moment: `connection.renew` puts another in its place."""
        return self.connection.client

    def session(self) -> Self:
        """The same client, clock and translations; points in time of its own."""
        session = copy.copy(self)
        session._searcher = self._searcher.session()
        return session

    # -- searches

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        return self._searcher.search(questions)

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        return self._searcher.survey(searches, fields)

    def release(self) -> None:
        self._searcher.release()

    def field_types(self, patterns: Sequence[str], names: Collection[str]) -> FieldTypes:
        """What these indices know of the fields; ECS where they are not mapped or do not tell."""
        return self._searcher.translations.types_for(patterns, names)

    # -- alerts

    def known(self, ids: Collection[str]) -> frozenset[str]:
        return self._ids(self.names.all_alerts, ids)

    def _ids(self, index: str, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` that exist in an index or alias, which need not be there."""
        found: set[str] = set()
        for chunk in _chunks(list(ids), LOOKUP_CHUNK):
            response = self.call(
                lambda chunk=chunk: self.client.search(  # type: ignore[misc]
                    index=index,
                    query={"ids": {"values": chunk}},
                    size=len(chunk),
                    source=False,
                    ignore_unavailable=True,
                    filter_path="hits.hits._id,_shards.failed",
                ),
                shape=shapes.searched,
            )
            if response["_shards"]["failed"]:
                raise Unavailable(f"some shards of {index} did not answer")
            found |= {hit["_id"] for hit in response.get("hits", {}).get("hits", ())}
        return frozenset(found)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        return writing.Writer(self.connection, self.names).write(alerts)

    def change_alerts(self, changes: Sequence[Change]) -> None:
        updating.update(self.connection, changes)

    def bury(self, letters: Sequence[Letter]) -> None:
        writing.bury(self.connection, self.names.deadletter, letters)

    def buried(self, ids: Collection[str]) -> frozenset[str]:
        return self._ids(self.names.deadletter, ids)

    def refresh(self) -> None:
        names = self.names.all_alerts
        self.call(lambda: self.client.indices.refresh(index=names, ignore_unavailable=True))

    def refuse_unset_shadow(self) -> None:
        """Raise `NotSetUp` where alerts of shadow rules would make an index without its mapping."""
        name = self.names.shadow
        if not self.call(lambda: self.client.indices.exists_index_template(name=name)):
            hint = "`detector setup` makes it; shadow rules need it"
            raise NotSetUp(f"the index template {name} is missing", hint=hint)

    def has_esql(self) -> bool:
        """Whether the cluster has ES|QL; one that says nothing of it is taken to have it."""
        try:
            self.call(lambda: self.client.esql.query(query="ROW a = 1 | LIMIT 1"))
        except StoreError as error:
            return not esql.is_missing(error)
        return True

    # -- state

    def checkpoints(self, rule_ids: Collection[str]) -> dict[str, Checkpoint]:
        return {
            doc["_id"]: replace(
                indices.read_checkpoint(doc["_source"]),
                version=(doc["_seq_no"], doc["_primary_term"]),
            )
            for doc in self._state(rule_ids)
        }

    def _state(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """The documents of the state index that exist."""
        if not ids:
            return []
        try:
            response = self.call(
                lambda: self.client.mget(index=self.names.state, ids=sorted(ids)),
                shape=shapes.documents(len(ids)),
            )
        except Rejected as error:
            raise self._not_set_up() if MISSING in kinds_of(error) else error from error
        for doc in response["docs"]:
            if "error" in doc:
                raise self._not_set_up() if _is_missing(doc["error"]) else _unread(doc["error"])
        return [doc for doc in response["docs"] if doc["found"]]

    def _not_set_up(self) -> NotSetUp:
        return NotSetUp(
            f"the index {self.names.state} is missing",
            hint="run `detector setup` once with the same --url",
        )

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
        given, index, saved = list(checkpoints), self.names.state, {}
        items = self._bulk([(_save_action(index, c), indices.checkpoint(c)) for c in given])
        for checkpoint, item in zip(given, items, strict=True):
            if "error" not in item:
                version = item["_seq_no"], item["_primary_term"]
                saved[checkpoint.rule_id] = replace(checkpoint, version=version)
            elif item["status"] != CONFLICT:
                raise refusal(item)
        return saved

    def record_runs(self, records: Iterable[RunRecord]) -> None:
        operations = []
        for record in records:
            target = {"_index": self.names.runs(record.started), "_id": record.uuid}
            operations.append(({"index": target}, indices.run(record)))
        self._write_all(operations)

    def backfilled(self, rule_ids: Collection[str]) -> dict[str, Backfilled]:
        found = self._state([indices.backfilled_id(rule_id) for rule_id in rule_ids])
        saved = [indices.read_backfilled(doc["_source"]) for doc in found]
        return {one.rule_id: one for one in saved}

    def save_backfilled(self, progress: Iterable[Backfilled]) -> None:
        operations: list[Sequence[Any]] = []
        for saved in progress:
            at = {"_index": self.names.state, "_id": indices.backfilled_id(saved.rule_id)}
            if saved.windows:
                operations.append(({"index": at}, indices.backfilled(saved, datetime.now(UTC))))
            else:
                operations.append(({"delete": at},))
        self._write_all(operations)

    def _write_all(self, operations: Sequence[Operation]) -> None:
        for item in self._bulk(operations):
            if "error" in item:
                raise refusal(item)

    def _bulk(self, operations: Sequence[Operation]) -> list[Item]:
        return bulk.send(self.connection, operations)

    def _time(self) -> datetime:
        """The time of the node whose clock is furthest behind. Raises `StoreError`."""
        answer = self.call(
            lambda: self.client.nodes.stats(metric="os", filter_path="nodes.*.timestamp")
        )
        stamps = [node["timestamp"] for node in answer.get("nodes", {}).values()]
        if not stamps:
            raise Rejected("the cluster does not tell its time")
        return datetime.fromtimestamp(min(stamps) / 1000, UTC)


def _is_missing(error: Mapping[str, Any]) -> bool:
    return error.get("type") == MISSING


def _unread(error: Mapping[str, Any]) -> StoreError:
    """A state document that exists cannot be read: its shard is away, or it is not ours to read."""
    said = f"the state cannot be read: {reason_of(error)}"
    weak = error.get("type") == "security_exception"
    return verdict(WEAK if weak else UNREADY, error, said)


def _save_action(index: str, checkpoint: Checkpoint) -> dict[str, Any]:
    target: dict[str, Any] = {"_index": index, "_id": checkpoint.rule_id}
    if checkpoint.version is None:
        return {"create": target}
    number, term = checkpoint.version
    return {"index": target | {"if_seq_no": number, "if_primary_term": term}}


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
