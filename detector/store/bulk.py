"""Operations in, what became of each out: bulk requests of which only what failed is repeated."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from detector.errors import Blocked, NotSetUp, StoreError, Unavailable
from detector.store import shapes
from detector.store.connection import Connection, Waits, reason_of, verdict

Operation: TypeAlias = Sequence[Any]
"""An action and, unless it deletes, a document."""

Item: TypeAlias = Mapping[str, Any]
"""What the cluster says of one operation: its `status` and, where it failed, its `error`."""


def send(
    connection: Connection, operations: Sequence[Operation], waits: Waits | None = None
) -> list[Item]:
    """What became of each; what failed for now is sent again, and only that.

    Raises `StoreError` where the first request as a whole was not answered: after it, what was
    written is known, whatever becomes of the rest.
    """
    results: dict[int, Item] = {}
    pending, waits = list(range(len(operations))), waits or connection.waits()
    while pending:
        lines = [line for i in pending for line in operations[i]]
        try:
            response = connection.call(
                lambda lines=lines: connection.client.bulk(operations=lines),  # type: ignore[misc]
                waits,
                shape=shapes.items(len(pending)),
            )
        except StoreError:
            if not results:
                raise
            break
        for i, item in zip(pending, response["items"], strict=True):
            results[i] = next(iter(item.values()))
        pending = [i for i in pending if _is_for_now(results[i])]
        pause = waits.next() if pending else None
        if pause is None:
            break
        time.sleep(pause)
    return [results[i] for i in range(len(operations))]


def refusal(item: Item, what: str = "a state document") -> StoreError:
    """Why a document was not written: `item` is the answer for it."""
    status, error = item["status"], item["error"]
    said = f"{what} was refused ({status}): {reason_of(error)}"
    if isinstance(error, Mapping) and error.get("type") == "strict_dynamic_mapping_exception":
        hint = "run `detector setup` once with the same --url: it adds what is new"
        return NotSetUp(f"the state indices are older than this detector: {said}", hint=hint)
    return verdict(status, error, said)


def _is_for_now(item: Item) -> bool:
    """Whether it is worth sending once more; a block is lifted by somebody, not by a moment."""
    error = refusal(item) if "error" in item else None
    return isinstance(error, Unavailable) and not isinstance(error, Blocked)
