"""Elasticsearch as a store: searches as `_msearch`, alerts as bulk `create`."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from detector.errors import Blocked, NotSetUp, Rejected, StoreError, Unavailable
from detector.language import dsl, fields, tree
from detector.model import (
    Alert,
    Answer,
    Backfilled,
    Checkpoint,
    Cursor,
    Failure,
    RunRecord,
    Search,
    Survey,
    Written,
)
from detector.store import counting, indices, msearch
from detector.store.clock import ClusterClock
from detector.store.connection import Client, Connection, Json, Patience, reason_of, verdict
from detector.store.msearch import Asked

WRITE_CHUNK = 1_000
WRITE_BYTES = 8_000_000
LOOKUP_CHUNK = 5_000
CREATED, EXISTS = 201, 409


class ElasticStore:
    """The contract of `store.base.Store` on an Elasticsearch of 8.x or 9.x."""

    def __init__(
        self,
        client: Client,
        space: str,
        *,
        page_size: int = 1_000,
        searches_per_request: int = 200,
        exclude_tiers: Sequence[str] = (),
        patience: Patience | None = None,
    ) -> None:
        self.connection = Connection(client, patience)
        self.call = self.connection.call
        self.names = indices.Names(space)
        self._page_size = page_size
        self._searches_per_request = searches_per_request
        self._exclude_tiers = tuple(exclude_tiers)
        self.clock = ClusterClock(self._time)
        self._points: dict[tuple[str, ...], str] = {}
        self._compiled: dict[int, tuple[tree.Node, dsl.Compiled]] = {}

    @property
    def client(self) -> Client:
        """The client of the moment: `connection.renew` puts another in its place."""
        return self.connection.client

    def session(self) -> Self:
        """The same client, clock and translations; points in time of its own."""
        session = copy.copy(self)
        session._points = {}
        return session

    # -- searches

    def search(self, searches: Sequence[Search]) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(searches), self._searches_per_request):
            answers += self._search_together(searches[start : start + self._searches_per_request])
        return answers

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        asked = [self._ask(search) for search in searches]
        responses = self._counts(asked, fields)
        if any("error" in response or response["_shards"]["failed"] for response in responses):
            responses = self._counts(asked, ())  # a field that is text in some index
        for response in responses:
            if "error" in response:
                raise Rejected(f"matches cannot be counted: {reason_of(response['error'])}")
        return counting.read(asked, responses)

    def _counts(self, asked: Sequence[Asked], fields: Sequence[str]) -> list[dict[str, Any]]:
        lines = [line for item in asked for line in counting.ask(item, fields)]
        return list(self.call(lambda: self.client.msearch(searches=lines))["responses"])

    def release(self) -> None:
        points, self._points = self._points, {}
        for point in points.values():
            try:
                self.connection.once(lambda point=point: self.client.close_point_in_time(id=point))  # type: ignore[misc]
            except StoreError:
                continue  # it ends by itself when its keep-alive has passed

    def _search_together(self, searches: Sequence[Search]) -> list[Answer]:
        asked = [self._ask(search) for search in searches]
        answers, full = self._answers(asked)
        if full:
            again, _ = self._answers([self._under_a_point(asked[i].search) for i in full])
            for i, answer in zip(full, again, strict=True):
                answers[i] = answer
        return answers

    def _answers(self, asked: Sequence[Asked | Failure]) -> tuple[list[Answer], list[int]]:
        """An answer for each, and the positions of first pages that may have left something out."""
        sent = [item for item in asked if isinstance(item, Asked)]
        try:
            responses = iter(self._msearch(sent) if sent else [])
        except StoreError as error:
            return [Failure(error) for _ in asked], []
        answers: list[Answer] = []
        full = []
        for position, item in enumerate(asked):
            if isinstance(item, Failure):
                answers.append(item)
                continue
            response = next(responses)
            answers.append(_answer(item, response))
            if "error" not in response and msearch.is_full(item, response):
                full.append(position)
        return answers, full

    def _ask(self, search: Search) -> Asked:
        return msearch.ask(
            search,
            self._compile(search.where),
            size=self._page_size,
            exclude_tiers=self._exclude_tiers,
        )

    def _compile(self, where: tree.Node) -> dsl.Compiled:
        """Translated once per rule: keyed by identity, since hashing a large tree costs as much."""
        known = self._compiled.get(id(where))
        if known is None or known[0] is not where:
            known = (where, dsl.translate(where, fields.ECS))
            self._compiled[id(where)] = known
        return known[1]

    def _under_a_point(self, search: Search) -> Asked | Failure:
        """The same search from its beginning inside a point in time shared by its index set."""
        point = self._points.get(search.index)
        if point is None:
            try:
                point = self.call(
                    lambda: self.client.open_point_in_time(
                        index=list(search.index),
                        keep_alive=msearch.KEEP_ALIVE,
                        ignore_unavailable=True,
                    )
                )["id"]
            except StoreError as error:
                return Failure(error)
            self._points[search.index] = point
        return self._ask(replace(search, cursor=Cursor(point)))

    def _msearch(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        """A response for each; what was refused for now is asked again, and only that."""
        responses: dict[int, dict[str, Any]] = {}
        pending, waits = list(range(len(asked))), self.connection.waits()
        while True:
            lines = [line for i in pending for line in (asked[i].header, asked[i].body)]
            answer = self.call(lambda lines=lines: self.client.msearch(searches=lines), waits)  # type: ignore[misc]
            responses |= zip(pending, answer["responses"], strict=True)
            pending = [i for i in pending if msearch.was_rejected(responses[i])]
            pause = waits.next() if pending else None
            if pause is None:
                return [responses[i] for i in range(len(asked))]
            time.sleep(pause)

    # -- alerts

    def known(self, ids: Collection[str]) -> frozenset[str]:
        found: set[str] = set()
        for chunk in _chunks(list(ids), LOOKUP_CHUNK):
            response = self.call(
                lambda chunk=chunk: self.client.search(  # type: ignore[misc]
                    index=self.names.alerts,
                    query={"ids": {"values": chunk}},
                    size=len(chunk),
                    source=False,
                    ignore_unavailable=True,
                    filter_path="hits.hits._id,_shards.failed",
                )
            )
            if response["_shards"]["failed"]:
                raise Unavailable("some shards of the alerts index did not answer")
            found |= {hit["_id"] for hit in response.get("hits", {}).get("hits", ())}
        return frozenset(found)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        created: set[str] = set()
        existing: set[str] = set()
        refused: dict[str, str] = {}
        held: dict[str, str] = {}
        for chunk in _by_bytes(alerts):
            for (alert, _), item in zip(chunk, self._create(chunk), strict=True):
                if item["status"] == CREATED:
                    created.add(alert.id)
                elif item["status"] == EXISTS:
                    existing.add(alert.id)
                elif isinstance(error := refusal(item, "an alert"), Unavailable):
                    held[alert.id] = error.message
                else:
                    refused[alert.id] = reason_of(item["error"])
                    self._bury(alert, refused[alert.id])
        return Written(frozenset(created), frozenset(existing), refused, held)

    def refresh(self) -> None:
        self.call(
            lambda: self.client.indices.refresh(index=self.names.alerts, ignore_unavailable=True)
        )

    def _create(self, chunk: Sequence[tuple[Alert, bytes]]) -> list[dict[str, Any]]:
        """What became of each."""
        return self._bulk(
            [({"create": {"_index": alert.index, "_id": alert.id}}, body) for alert, body in chunk]
        )

    def _bury(self, alert: Alert, reason: str) -> None:
        letter = indices.dead_letter(alert, reason, datetime.now(UTC))
        self.call(
            lambda: self.client.index(index=self.names.deadletter, id=alert.id, document=letter)
        )

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
            response = self.call(lambda: self.client.mget(index=self.names.state, ids=sorted(ids)))
        except Rejected as error:
            raise self._not_set_up() from error
        for doc in response["docs"]:
            if "error" in doc:
                raise self._not_set_up() if _is_missing(doc["error"]) else _unread(doc["error"])
        return [doc for doc in response["docs"] if doc["found"]]

    def _not_set_up(self) -> NotSetUp:
        return NotSetUp(
            f"the index {self.names.state} is missing",
            hint="run `detector setup` once with the same --url",
        )

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> set[str]:
        saved = list(checkpoints)
        index, conflicts = self.names.state, set()
        items = self._bulk([(_save_action(index, c), indices.checkpoint(c)) for c in saved])
        for checkpoint, item in zip(saved, items, strict=True):
            if item["status"] == 409:
                conflicts.add(checkpoint.rule_id)
            elif "error" in item:
                raise refusal(item)
        return conflicts

    def record_runs(self, records: Iterable[RunRecord]) -> None:
        operations = []
        for record in records:
            target = {"_index": self.names.runs(record.started), "_id": record.uuid}
            operations.append(({"index": target}, indices.run(record)))
        for item in self._bulk(operations):
            if "error" in item:
                raise refusal(item)

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
        for item in self._bulk(operations):
            if "error" in item:
                raise refusal(item)

    def _bulk(self, operations: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        """What became of each; what failed for now is sent again, and only that.

        An operation is an action and, unless it deletes, a document.
        """
        results: dict[int, dict[str, Any]] = {}
        pending, waits = list(range(len(operations))), self.connection.waits()
        while pending:
            lines = [line for i in pending for line in operations[i]]
            response = self.call(lambda lines=lines: self.client.bulk(operations=lines), waits)  # type: ignore[misc]
            for i, item in zip(pending, response["items"], strict=True):
                results[i] = next(iter(item.values()))
            pending = [i for i in pending if _is_for_now(results[i])]
            pause = waits.next() if pending else None
            if pause is None:
                break
            time.sleep(pause)
        return [results[i] for i in range(len(operations))]

    def _time(self) -> datetime:
        """The time of the node whose clock is furthest behind. Raises `StoreError`."""
        answer = self.call(
            lambda: self.client.nodes.stats(metric="os", filter_path="nodes.*.timestamp")
        )
        stamps = [node["timestamp"] for node in answer.get("nodes", {}).values()]
        if not stamps:
            raise Rejected("the cluster does not tell its time")
        return datetime.fromtimestamp(min(stamps) / 1000, UTC)


def _answer(asked: Asked, response: Mapping[str, Any]) -> Answer:
    if "error" in response:
        status, error = response.get("status", 500), response["error"]
        said = f"the search was refused ({status}): {reason_of(error)}"
        return Failure(verdict(status, error, said))
    try:
        return msearch.read(asked, response)
    except Exception as error:  # noqa: BLE001 - a residual's fault ends its own rule's run only
        return Failure(Rejected(f"the answer could not be read: {error!r}"))


def refusal(item: Mapping[str, Any], what: str = "a state document") -> StoreError:
    """Why a document was not written: `item` is the answer for it."""
    status, error = item["status"], item["error"]
    said = f"{what} was refused ({status}): {reason_of(error)}"
    if isinstance(error, Mapping) and error.get("type") == "strict_dynamic_mapping_exception":
        hint = "run `detector setup` once with the same --url: it adds what is new"
        return NotSetUp(f"the state indices are older than this detector: {said}", hint=hint)
    return verdict(status, error, said)


def _is_for_now(item: Mapping[str, Any]) -> bool:
    """Whether it is worth sending once more; a block is lifted by somebody, not by a moment."""
    error = refusal(item) if "error" in item else None
    return isinstance(error, Unavailable) and not isinstance(error, Blocked)


def _is_missing(error: Mapping[str, Any]) -> bool:
    return error.get("type") == "index_not_found_exception"


def _unread(error: Mapping[str, Any]) -> StoreError:
    """A state document that exists cannot be read: its shard is away."""
    return Unavailable(f"the state cannot be read for now: {reason_of(error)}")


def _save_action(index: str, checkpoint: Checkpoint) -> dict[str, Any]:
    target: dict[str, Any] = {"_index": index, "_id": checkpoint.rule_id}
    if checkpoint.version is None:
        return {"create": target}
    number, term = checkpoint.version
    return {"index": target | {"if_seq_no": number, "if_primary_term": term}}


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _by_bytes(alerts: Sequence[Alert]) -> Iterator[list[tuple[Alert, bytes]]]:
    """Bulk requests bounded by number and size, each alert already serialised."""
    chunk: list[tuple[Alert, bytes]] = []
    serializer, size = Json(), 0
    for alert in alerts:
        body = serializer.dumps(alert.document)
        if chunk and (len(chunk) == WRITE_CHUNK or size + len(body) > WRITE_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((alert, body))
        size += len(body)
    if chunk:
        yield chunk
