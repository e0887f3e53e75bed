"""An address in, a client whose requests are asked again while they fail for now out.

The only module that imports `elasticsearch`; its errors leave as ours.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import elastic_transport
import elasticsearch
import orjson
from elasticsearch import Elasticsearch
from elasticsearch.serializer import JsonSerializer

from detector.errors import Blocked, Forbidden, Rejected, StoreError, TimedOut, Unavailable
from detector.store.breaker import Breaker, Turn
from detector.store.shapes import Shape

T = TypeVar("T")
Client: TypeAlias = Elasticsearch

FOR_NOW = frozenset({408, 429})
FAULTY, REDIRECTED, NOT_THERE = 500, range(300, 400), frozenset({404, 405})
LOST_POINT = "search_context_missing_exception"
UNREADY = 503
PROBE_LIMIT = 5.0
UNKNOWN, WEAK = 401, 403
"""Who asks is not known, or is and may not."""

RENEW = (
    "the credentials are missing, wrong, expired or revoked; the daemon takes up a replaced file "
    "on SIGHUP"
)
STRENGTHEN = (
    "`detector check` lists what is missing, `detector setup --role` prints a role that has it"
)
UNTRUSTED = (
    "`elasticsearch.ca_certs` or `ca_fingerprint` say whom to trust, `client_cert` who is asking"
)
NOT_JSON = (elastic_transport.TextApiResponse, elastic_transport.BinaryApiResponse)
DEEP = 5_000
"""Levels of calls for documents of up to 1,000 levels, which is what Elasticsearch takes."""
STRANGER = "something other than Elasticsearch answered"
BETWEEN = "is there a proxy or a login page between?"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request that failed for now is tried again: full jitter, doubling, in seconds."""

    first: float = 0.25
    longest: float = 8.0
    budget: float = 30.0


class Waits:
    """The pauses between the tries of one request, until the budget is spent."""

    def __init__(self, patience: Patience) -> None:
        self._step, self._longest = patience.first, patience.longest
        self._deadline = time.monotonic() + patience.budget

    def next(self, least: float = 0.0) -> float | None:
        """Seconds to wait, `least` and more; None where the budget does not reach so far."""
        pause = least + random.uniform(0, self._step)  # noqa: S311 - jitter, not a secret
        if time.monotonic() + pause > self._deadline:
            return None
        self._step = min(self._step * 2, self._longest)
        return pause


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
        except RecursionError:
            if sys.getrecursionlimit() >= DEEP:
                raise
            sys.setrecursionlimit(DEEP)  # for good: the alert is as deep as its event
            return self._loads_anything(data)


class Ndjson(Json):
    """Many of them, one a line."""

    mimetype = "application/x-ndjson"

    def dumps(self, data: Any) -> bytes:
        lines = data if isinstance(data, list | tuple) else [data]
        return b"".join(super(Ndjson, self).dumps(line).rstrip(b"\n") + b"\n" for line in lines)


def connect(url: str, **options: Any) -> Client:
    """A client for `url`; `options` are the client's own (api_key, basic_auth, ca_certs, ...).

    Several addresses of one cluster are separated by commas: they take turns, and one that does not
    answer is left out for a while. The client does not retry: `Connection` does, with pauses, and
    only what failed.
    """
    warnings.simplefilter("ignore", elasticsearch.ElasticsearchWarning)  # of queries, not for users
    serializer, lines = Json(), Ndjson()
    return Elasticsearch(
        [_with_port(address) for address in url.split(",")],
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
    """A client, the patience with which its requests are made, and what is known of the cluster."""

    def __init__(self, client: Client, patience: Patience | None = None) -> None:
        self.client = client
        self._patience = patience or Patience()
        self._breaker = Breaker()
        self._lock = threading.Lock()

    def addresses(self) -> list[str]:
        """Where the cluster's nodes are."""
        return [node.base_url for node in self.client.transport.node_pool.all()]

    def renew(self, **options: Any) -> None:
        """Go on with other options of the client; requests under way end as they began."""
        self.client = connect(",".join(self.addresses()), **options)

    def waits(self) -> Waits:
        """A budget of pauses, for several calls that together make one request."""
        return Waits(self._patience)

    def call(
        self, request: Callable[[], T], waits: Waits | None = None, *, shape: Shape | None = None
    ) -> T:
        """The answer to `request`, asked again with pauses while there is none for now.

        A body that is not of `shape` is somebody else's.

        Raises `StoreError`; `Unavailable` when the budget is spent, and at once while the cluster
        is known to be away.
        """
        waits = waits or self.waits()
        while True:
            self._await_turn()
            try:
                return self.once(request, shape)
            except Blocked:
                raise
            except Unavailable as error:
                pause = waits.next(error.after)
                if pause is None:
                    self._probe()
                    raise
            time.sleep(pause)

    def attempt(self, request: Callable[[], T], *, shape: Shape | None = None) -> T:
        """The answer to what can be asked otherwise: one time, and not while the cluster is away.

        That there is none says nothing of the cluster. Raises `StoreError`.
        """
        self._await_turn()
        return self.once(request, shape)

    def once(self, request: Callable[[], T], shape: Shape | None = None) -> T:
        """The answer to `request`, asked one time. Raises `StoreError`."""
        try:
            answer = request()
            if isinstance(answer, NOT_JSON):
                raise elastic_transport.SerializationError("the answer is not JSON")  # noqa: TRY301
        except (elasticsearch.ApiError, elastic_transport.TransportError) as raised:
            raise translate(raised) from raised
        except StoreError:
            raise
        except Exception as raised:  # noqa: BLE001 - its words may quote a header, and so the key
            raise Unavailable(f"a request failed: {type(raised).__name__}") from None
        if shape is not None and not shape(getattr(answer, "body", None)):
            raise Unavailable(f"{STRANGER}: the answer is of another shape", hint=BETWEEN)
        return answer

    def _await_turn(self) -> None:
        with self._lock:
            turn = self._breaker.turn(time.monotonic())
        if turn is Turn.PROBE:
            self._probe()
        if turn is not Turn.GO and (reason := self._breaker.reason):
            wait = self._breaker.wait(time.monotonic())
            raise Unavailable(f"{reason}; it is asked again in {wait:.0f} s at the earliest")

    def _probe(self) -> None:
        """Ask for the cluster itself: a request that fails may be at fault, this one is not."""
        try:
            self.once(self.client.options(request_timeout=PROBE_LIMIT).info)
        except Unavailable as error:
            with self._lock:
                self._breaker.open(time.monotonic(), error.message)
            return
        except StoreError:
            pass  # it is there, and said no
        with self._lock:
            self._breaker.close()


def translate(error: elasticsearch.ApiError | elastic_transport.TransportError) -> StoreError:
    """The client's error as one of ours."""
    if isinstance(error, elasticsearch.UnsupportedProductError):
        return Unavailable(STRANGER, hint=BETWEEN)
    if isinstance(error, elasticsearch.ApiError):
        said = f"Elasticsearch answered {error.meta.status}: {reason_of(error.body)}"
        return verdict(error.meta.status, error.body, said, _asked_pause(error.meta))
    if isinstance(error, elastic_transport.SerializationError):
        return Unavailable(f"{STRANGER}: {error.message}")
    hint = UNTRUSTED if isinstance(error, elastic_transport.TlsError) else None
    if isinstance(error, elastic_transport.ConnectionTimeout):
        return TimedOut(f"Elasticsearch did not answer in time: {error.message}")
    return Unavailable(f"Elasticsearch cannot be reached: {error.message}", hint=hint)


def status_of(error: StoreError) -> int | None:
    """With what status the cluster answered, where it did."""
    cause = error.__cause__
    return cause.meta.status if isinstance(cause, elasticsearch.ApiError) else None


def verdict(status: int, error: Any, said: str, after: float = 0.0) -> StoreError:
    """What an answer of `status` means; `error` is its body, or that of one item in it."""
    kinds = set(_kinds(error))
    if "index_closed_exception" in kinds:
        return Blocked(said, hint="open the index, or delete it")
    if "cluster_block_exception" in kinds and status != UNREADY:
        return Blocked(said, hint="free disk space, or lift the block; nothing is lost meanwhile")
    if status in {UNKNOWN, WEAK}:
        return Forbidden(said, hint=RENEW if status == UNKNOWN else STRENGTHEN)
    if status in REDIRECTED or (status in NOT_THERE and not _is_elastics(error)):
        return Unavailable(f"{STRANGER}: {said}", hint=BETWEEN, after=after)
    if status in FOR_NOW or status >= FAULTY or LOST_POINT in kinds:
        return Unavailable(said, after=after)
    return Rejected(said)


def _is_elastics(error: Any) -> bool:
    """Whether it is an error as Elasticsearch tells it, of a request or of one item."""
    return isinstance(error, Mapping) and ("type" in error or {"error", "status"} <= error.keys())


def kinds_of(error: StoreError) -> frozenset[str]:
    """The types of what the cluster answered, and of its causes; none where it did not."""
    cause = error.__cause__
    body = cause.body if isinstance(cause, elasticsearch.ApiError) else None
    return frozenset(_kinds(body)) - {"None"}


def _kinds(error: Any) -> Iterator[str]:
    """The types of an error and its causes."""
    if isinstance(error, Mapping):
        yield str(error.get("type"))
        for key in ("error", "caused_by"):
            yield from _kinds(error.get(key))
        for cause in error.get("root_cause", ()):
            yield from _kinds(cause)


def _asked_pause(meta: elastic_transport.ApiResponseMeta) -> float:
    """Seconds of a `Retry-After`, which is a number or a date (RFC 9110, 10.2.3)."""
    asked = (meta.headers.get("retry-after") or "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        sent = parsedate_to_datetime(meta.headers.get("date") or "")
    except ValueError:
        sent = datetime.now(UTC)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - sent).total_seconds())
    except (ValueError, TypeError):
        return 0.0


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
