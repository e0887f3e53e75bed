"""An address in, a client whose requests are asked again while they fail for now out.

The only module that imports `elasticsearch`; its errors leave as ours.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import elastic_transport
import elasticsearch
import orjson
from elasticsearch import Elasticsearch
from elasticsearch.serializer import JsonSerializer

from detector.errors import Forbidden, Rejected, StoreError, Unavailable

T = TypeVar("T")
Client: TypeAlias = Elasticsearch

FOR_NOW = frozenset({429, 502, 503, 504})
STRANGER = "something other than Elasticsearch answered"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request that failed for now is tried again: full jitter, doubling, in seconds."""

    first: float = 0.25
    longest: float = 8.0
    budget: float = 30.0

    def waits(self) -> Iterator[float]:
        """The pauses between tries; ends when the budget is spent."""
        deadline, step = time.monotonic() + self.budget, self.first
        while True:
            pause = random.uniform(0, step)  # noqa: S311 - jitter, not a secret
            if time.monotonic() + pause > deadline:
                return
            yield pause
            step = min(step * 2, self.longest)


class Json(JsonSerializer):
    """orjson, but for what it refuses: Elasticsearch stores and returns lone surrogates."""

    def dumps(self, data: Any) -> bytes:
        if isinstance(data, str | bytes):
            return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        try:
            return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:
            return json.dumps(data).encode()

    def loads(self, data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            return self._loads_anything(data)

    def _loads_anything(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise elastic_transport.SerializationError("the answer is not JSON") from error


class Ndjson(Json):
    """Many of them, one a line."""

    mimetype = "application/x-ndjson"

    def dumps(self, data: Any) -> bytes:
        lines = data if isinstance(data, list | tuple) else [data]
        return b"".join(super(Ndjson, self).dumps(line).rstrip(b"\n") + b"\n" for line in lines)


def connect(url: str, **options: Any) -> Elasticsearch:
    """A client for `url`; `options` are the client's own (api_key, basic_auth, ca_certs, ...).

    It does not retry: the store does, with pauses, and only what failed.
    """
    serializer, lines = Json(), Ndjson()
    return Elasticsearch(
        _with_port(url),
        serializers={
            "application/json": serializer,
            "application/vnd.elasticsearch+json": serializer,
            "application/x-ndjson": lines,
            "application/vnd.elasticsearch+x-ndjson": lines,
        },
        max_retries=0,
        retry_on_status=(),
        **options,
    )


def _with_port(url: str) -> str:
    """`url` with its scheme's port where it names none, as the client wants it."""
    parts = urlsplit(url)
    if parts.port:
        return url
    port = 443 if parts.scheme == "https" else 80
    return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{port}").geturl()


class Connection:
    """A client, and the patience with which its requests are made."""

    def __init__(self, client: Client, patience: Patience | None = None) -> None:
        self.client = client
        self.patience = patience or Patience()

    def call(self, request: Callable[[], T]) -> T:
        """The answer to `request`, asked again with pauses while there is none for now.

        Raises `StoreError`; `Unavailable` when the budget is spent.
        """
        waits = self.patience.waits()
        while True:
            try:
                return self.once(request)
            except Unavailable:
                pause = next(waits, None)
                if pause is None:
                    raise
            time.sleep(pause)

    def once(self, request: Callable[[], T]) -> T:
        """The answer to `request`, asked one time. Raises `StoreError`."""
        try:
            answer = request()
            if isinstance(answer, elastic_transport.TextApiResponse):
                raise elastic_transport.SerializationError("the answer is not JSON")
        except (elasticsearch.ApiError, elastic_transport.TransportError) as raised:
            raise translate(raised) from raised
        return answer


def translate(error: elasticsearch.ApiError | elastic_transport.TransportError) -> StoreError:
    """The client's error as one of ours."""
    if isinstance(error, elasticsearch.UnsupportedProductError):
        return Unavailable(STRANGER, hint="is there a proxy or a login page between?")
    if isinstance(error, elasticsearch.ApiError):
        status = error.meta.status
        said = f"Elasticsearch answered {status}: {reason_of(error.body)}"
        if status in {401, 403}:
            return Forbidden(said, hint="check the credentials and `detector check`")
        return Unavailable(said) if status in FOR_NOW else Rejected(said)
    if isinstance(error, elastic_transport.SerializationError):
        return Unavailable(f"{STRANGER}: {error.message}")
    return Unavailable(f"Elasticsearch cannot be reached: {error.message}")


def reason_of(error: Any) -> str:
    """What Elasticsearch says of an error, from the outermost reason to its cause."""
    if not isinstance(error, Mapping):
        return str(error)[:500]
    if isinstance(error.get("error"), Mapping | str):
        return reason_of(error["error"])
    said: list[str] = []
    causes = [error, *error.get("root_cause", ())]
    while causes:
        cause = causes.pop(0)
        reason = str(cause.get("reason", ""))
        if reason and not any(reason in earlier for earlier in said):
            said.append(reason)
        if isinstance(cause.get("caused_by"), Mapping):
            causes.insert(0, cause["caused_by"])
    return ": ".join(said)[:1_000] or str(error)[:500]
