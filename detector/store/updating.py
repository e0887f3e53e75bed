"""What alerts stand for by now in, compare and set: what others change at the same time stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.errors import Forbidden, StoreError, Unavailable
from detector.model import Change
from detector.store import bulk, shapes, standing
from detector.store.bulk import Item
from detector.store.connection import UNREADY, WEAK, Connection, reason_of, verdict

ATTEMPTS = 10
CHUNK = 1_000
NOT_THERE, CONFLICT = 404, 409
ABSENT = "index_not_found_exception"
HINT = "rules with `alert_suppression` need more: `detector setup --role` says what"


def update(connection: Connection, changes: Sequence[Change]) -> None:
    """Alerts that are not there are left out. Raises `StoreError`."""
    for start in range(0, len(changes), CHUNK):
        pending = list(changes[start : start + CHUNK])
        for _ in range(ATTEMPTS):
            pending = _tried(connection, pending)
            if not pending:
                break
        else:
            raise Unavailable("the same alerts keep being changed by others")


def _tried(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """Those whose alert somebody has changed since it was read."""
    wanted = list(_wanted(changes, _read(connection, changes)))
    operations = [operation for _, operation in wanted]
    items = bulk.send(connection, operations) if operations else []
    conflicts = []
    for (change, _), item in zip(wanted, items, strict=True):
        if item["status"] == CONFLICT:
            conflicts.append(change)
        elif "error" in item and item["status"] != NOT_THERE:
            raise _refusal(item)
    return conflicts


def _read(connection: Connection, changes: Sequence[Change]) -> list[Mapping[str, Any]]:
    """The alerts as they are now, whether or not they are searchable."""
    docs = [{"_index": one.index, "_id": one.id} for one in changes]
    response = connection.call(
        lambda: connection.client.mget(docs=docs, source_includes=list(standing.READ)),
        shape=shapes.documents(len(docs)),
    )
    return list(response["docs"])


def _wanted(
    changes: Sequence[Change], found: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Change, bulk.Operation]]:
    for change, doc in zip(changes, found, strict=True):
        if "error" in doc:
            error = doc["error"]
            if error.get("type") == ABSENT:
                continue
            weak = error.get("type") == "security_exception"
            said = f"an alert cannot be read: {reason_of(error)}"
            raise verdict(WEAK if weak else UNREADY, error, said)
        if not doc["found"]:
            continue
        fields = standing.changes(doc["_source"], change.fields)
        if fields is not None:
            seen = {"if_seq_no": doc["_seq_no"], "if_primary_term": doc["_primary_term"]}
            target = {"_index": change.index, "_id": change.id, **seen}
            yield change, ({"update": target}, {"doc": fields})


def _refusal(item: Item) -> StoreError:
    error = bulk.refusal(item, "the update of an alert")
    return Forbidden(error.message, hint=HINT) if isinstance(error, Forbidden) else error
