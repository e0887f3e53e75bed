"""What a client is made to send, while one listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from elasticsearch import Elasticsearch


class Listening:
    """The lines of every `_msearch` that `client` sends inside `with`."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client
        self._original = client.msearch
        self.sent: list[Sequence[Any]] = []

    def __enter__(self) -> Self:
        self._client.msearch = self._hear  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        del self._client.msearch

    def _hear(self, *, searches: Sequence[Any], **others: Any) -> Any:
        self.sent.append(searches)
        return self._original(searches=searches, **others)
