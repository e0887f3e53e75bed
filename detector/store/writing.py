"""Alerts in, what became of each out: created, there before, a dead letter, or held for now.

A document the cluster will never take must not hold up the others, nor be lost: what there is to
say of it is kept as a dead letter. A store that takes nothing at all is not its fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from detector.errors import Blocked, Rejected, StoreError, Unavailable
from detector.model import Alert, Letter, Written
from detector.store import bulk, indices
from detector.store.bulk import Item
from detector.store.connection import (
    FAULTY,
    Connection,
    Json,
    Patience,
    Waits,
    reason_of,
    status_of,
)

CHUNK = 1_000
BYTES = 8_000_000
LARGE = 1_000_000
"""Bytes of an alert that may be too large for a cluster; a smaller one waits, however long."""

ALONE = "too_large"
CREATED, EXISTS, TOO_LARGE, BUSY = 201, 409, 413, 429
NO_FAULT = frozenset({502, 503, 504})
"""What is said for a shard or a node that is away."""
OF_THE_STORE = frozenset(
    {"validation_exception", "index_not_found_exception", "invalid_index_name_exception"}
)
"""Refusals that any document would get: no room for another shard, no index, a bad name."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An alert and its body."""

    alert: Alert
    body: bytes

    @property
    def operation(self) -> tuple[object, bytes]:
        return {"create": {"_index": self.alert.index, "_id": self.alert.id}}, self.body


@dataclass(slots=True)
class Outcome:
    """What became of alerts, by id."""

    created: set[str] = field(default_factory=set)
    existing: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def written(self) -> Written:
        return Written(frozenset(self.created), frozenset(self.existing), self.refused, self.held)


class Writer:
    """One call of `write_alerts`; what is too large shares one budget of pauses."""

    def __init__(self, connection: Connection, names: indices.Names) -> None:
        self._connection = connection
        self._deadletter = names.deadletter
        self._outcome = Outcome()
        self._single: Waits | None = None
        self._alone: frozenset[str] = frozenset()

    def write(self, alerts: Sequence[Alert]) -> Written:
        """Raises `StoreError` where the store, and not an alert, is at fault."""
        for chunk in _by_bytes(alerts):
            items = self._send(chunk)
            self._alone = _broken_alone(chunk, items)
            for parcel, item in zip(chunk, items, strict=True):
                self._note(parcel, item)
        return self._outcome.written()

    def _send(self, chunk: Sequence[Parcel], waits: Waits | None = None) -> list[Item]:
        """What became of each; a request the cluster does not take whole is sent in halves."""
        try:
            return bulk.send(self._connection, [parcel.operation for parcel in chunk], waits)
        except StoreError as error:
            status = status_of(error)
            if status not in {TOO_LARGE, BUSY}:
                raise
            if len(chunk) > 1:
                return [item for half in _halves(chunk) for item in self._send_half(half)]
            if status == BUSY and len(chunk[0].body) < LARGE:
                raise
            return [{"status": status, "error": {"type": ALONE, "reason": error.message}}]

    def _send_half(self, half: Sequence[Parcel]) -> list[Item]:
        """Without pauses while it may be the size alone; one alert alone is given all the time."""
        alone = len(half) == 1
        return self._send(half, self._time_left() if alone else Waits(Patience(budget=0)))

    def _time_left(self) -> Waits:
        self._single = self._single or self._connection.waits()
        return self._single

    def _note(self, parcel: Parcel, item: Item) -> None:
        outcome, id_ = self._outcome, parcel.alert.id
        if _may_be_too_large(parcel, item) and item["error"].get("type") != ALONE:
            (item,) = self._send([parcel], self._time_left())
        if _created(item):
            outcome.created.add(id_)
        elif item["status"] == EXISTS:
            outcome.existing.add(id_)
        else:
            self._refused(parcel, item)

    def _refused(self, parcel: Parcel, item: Item) -> None:
        error, letter = bulk.refusal(item, "an alert"), _letter(parcel.alert, item)
        if isinstance(error, Unavailable):
            at_fault = _may_be_too_large(parcel, item) or parcel.alert.id in self._alone
            if not at_fault or not self._takes(letter):
                self._outcome.held[parcel.alert.id] = error.message
                return
        elif not isinstance(error, Rejected) or item["error"].get("type") in OF_THE_STORE:
            raise error
        else:
            bury(self._connection, self._deadletter, [letter])
        self._outcome.refused[parcel.alert.id] = letter.reason

    def _takes(self, letter: Letter) -> bool:
        """Whether the cluster takes at least a word on it: else it takes nothing for now."""
        try:
            bury(self._connection, self._deadletter, [replace(letter, document=None)])
        except StoreError:
            return False
        return True


def bury(connection: Connection, index: str, letters: Sequence[Letter]) -> None:
    """Keep dead letters that are not there yet, without the document where it is refused as well.

    Raises `StoreError`.
    """
    now = datetime.now(UTC)
    for letter in letters:
        whole = _keep(connection, index, letter, now)
        if whole is not None and letter.document is not None:
            whole = _keep(connection, index, replace(letter, document=None), now)
        if whole is not None:
            raise whole


def _keep(connection: Connection, index: str, letter: Letter, now: datetime) -> StoreError | None:
    """Why the letter could not be written; None when it is there."""
    action = {"create": {"_index": index, "_id": letter.id}}
    try:
        (item,) = bulk.send(connection, [(action, indices.dead_letter(letter, now))])
    except StoreError as error:
        return error
    if "error" not in item or item["status"] == EXISTS:
        return None
    return bulk.refusal(item, "a dead letter")


def _letter(alert: Alert, item: Item) -> Letter:
    ancestors = alert.document.get("kibana.alert.ancestors") or ()
    return Letter(
        id=alert.id,
        rule_id=str(alert.document.get("kibana.alert.rule.rule_id")),
        reason=reason_of(item["error"]),
        time=alert.time,
        events=tuple((str(one["index"]), str(one["id"])) for one in ancestors[-1:]),
        index=alert.index,
        document=alert.document,
    )


def _may_be_too_large(parcel: Parcel, item: Item) -> bool:
    error = bulk.refusal(item) if "error" in item else None
    for_now = isinstance(error, Unavailable) and not isinstance(error, Blocked)
    return for_now and item["status"] == BUSY and len(parcel.body) >= LARGE


def _broken_alone(chunk: Sequence[Parcel], items: Sequence[Item]) -> frozenset[str]:
    """The one of an index that kept breaking the cluster while it took others: the alert's fault.

    Where more break, or none is taken, it is the index, as when its disk is full.
    """
    broken: dict[str, list[str]] = {}
    for parcel, item in zip(chunk, items, strict=True):
        if item["status"] >= FAULTY and item["status"] not in NO_FAULT:
            broken.setdefault(parcel.alert.index, []).append(parcel.alert.id)
    taken = {p.alert.index for p, item in zip(chunk, items, strict=True) if _created(item)}
    return frozenset(ids[0] for index, ids in broken.items() if len(ids) == 1 and index in taken)


def _created(item: Item) -> bool:
    return bool(item["status"] == CREATED)


def _halves(chunk: Sequence[Parcel]) -> tuple[Sequence[Parcel], Sequence[Parcel]]:
    half = len(chunk) // 2
    return chunk[:half], chunk[half:]


def _by_bytes(alerts: Sequence[Alert]) -> Iterator[list[Parcel]]:
    """Bulk requests bounded by number and size, each alert already serialised."""
    chunk: list[Parcel] = []
    serializer, size = Json(), 0
    for alert in alerts:
        body = serializer.dumps(alert.document)
        if chunk and (len(chunk) == CHUNK or size + len(body) > BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(Parcel(alert, body))
        size += len(body)
    if chunk:
        yield chunk
