"""The table of daemons, read from and written to one document of the state index."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from detector.model import Leases
from detector.store import indices
from detector.store.bulk import refusal
from detector.store.connection import Client
from detector.store.elastic import ElasticStore


class ElasticLeases:
    """The contract of `store.base.LeaseTable`; an answer is waited for at most `timeout`."""

    def __init__(self, store: ElasticStore, timeout: timedelta) -> None:
        self._store = store
        self._timeout = timeout.total_seconds()

    def read(self) -> Leases:
        answer = self._store.connection.once(
            lambda: self._client(404).get(index=self._store.names.state, id=indices.LEASES)
        )
        if not answer.get("found"):
            return Leases()
        table = indices.read_leases(answer["_source"])
        return replace(table, version=(answer["_seq_no"], answer["_primary_term"]))

    def save(self, leases: Leases) -> bool:
        if leases.version is None:
            version: dict[str, Any] = {"op_type": "create"}
        else:
            version = {"if_seq_no": leases.version[0], "if_primary_term": leases.version[1]}
        answer = self._store.connection.once(
            lambda: self._client(400, 409).index(
                index=self._store.names.state,
                id=indices.LEASES,
                document=indices.leases(leases, datetime.now(UTC)),
                **version,
            )
        )
        if "error" in answer and answer["status"] != 409:
            raise refusal(answer.body)
        return "error" not in answer

    def _client(self, *accepted: int) -> Client:
        return self._store.client.options(request_timeout=self._timeout, ignore_status=accepted)
