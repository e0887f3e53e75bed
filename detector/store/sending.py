"""What is to be asked in, what became of it out: in halves where one keeps all from an answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from detector.errors import Rejected, StoreError, TimedOut
from detector.model import Answer, Buckets, Earlier, Failure, Page
from detector.store import bucketing, earlier, msearch, shapes
from detector.store.connection import (
    Connection,
    Patience,
    Waits,
    kinds_of,
    reason_of,
    status_of,
    verdict,
)
from detector.store.msearch import Asked, Lack

AnyAsked: TypeAlias = Asked[Any]
Tried: TypeAlias = list[dict[str, Any]] | StoreError
"""The responses to many searches, or why there are none."""

UNREADABLE, TOO_LARGE = 400, 413
SEARCH_FOR_ONE = 60.0
"""Seconds for which is looked for the one search that keeps a request from being answered."""


@dataclass(frozen=True, slots=True)
class Told:
    """A question, the cluster's response, and what is known to be missing in it.

    `unread` are patterns of the question that may not be read: what they stand for is not shown.
    """

    asked: AnyAsked
    response: dict[str, Any]
    lack: Lack | None = None
    unread: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return "error" in self.response

    def answer(self) -> Answer:
        if self.failed:
            status, error = self.response.get("status", 500), self.response["error"]
            said = f"the search was refused ({status}): {reason_of(error)}"
            return Failure(verdict(status, error, said))
        try:
            page = _read(self.asked, self.response)
        except Exception as error:  # noqa: BLE001 - a residual's fault ends its own rule's run only
            return Failure(Rejected(f"the answer could not be read: {error!r}"))
        if self.unread:
            said = f"{', '.join(self.unread)} may not be read: what is there is not seen"
            page = replace(page, warning="; ".join(filter(None, (page.warning, said))))
        return self.lack.noted(page) if self.lack else page

    def lacking(self) -> Lack | None:
        return self.lack or msearch.lack(self.response)


class Sender:
    """Sends what is asked of one cluster, and again what was not answered for now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._looking_until: float | None = None

    def begin(self) -> None:
        """Look anew for what keeps requests from being answered."""
        self._looking_until = None

    def tell(self, asked: Sequence[AnyAsked | Failure]) -> list[Told | Failure]:
        """What became of each; what has failed already stays so."""
        sent = [item for item in asked if isinstance(item, Asked)]
        told = iter(self._told(sent, self._connection.waits()))
        return [item if isinstance(item, Failure) else next(told) for item in asked]

    def once(self, asked: Sequence[AnyAsked]) -> list[Told | Failure]:
        """The same without patience: whoever asks can ask otherwise."""
        lines, client = _lines(asked), self._connection.client
        try:
            answer = self._connection.attempt(
                lambda: client.msearch(searches=lines), shape=shapes.responses(len(asked))
            )
        except StoreError as error:
            return [Failure(error) for _ in asked]
        pairs = zip(asked, answer["responses"], strict=True)
        return [Told(item, response) for item, response in pairs]

    def _told(self, asked: Sequence[AnyAsked], waits: Waits) -> list[Told | Failure]:
        """What became of each; where one may be why nothing is answered, they are asked in halves.

        A body that cannot be parsed is a 400 for all of a request, one that takes too long holds
        all up. Looking for it ends, since it may be the cluster after all.
        """
        return self._apart(asked, self._tried(asked, waits))

    def _tried(self, asked: Sequence[AnyAsked], waits: Waits) -> Tried:
        try:
            return self._msearch(asked, waits) if asked else []
        except StoreError as error:
            return error

    def _apart(self, asked: Sequence[AnyAsked], tried: Tried) -> list[Told | Failure]:
        if not isinstance(tried, StoreError):
            return [Told(item, response) for item, response in zip(asked, tried, strict=True)]
        halves = _halves(asked) if self._may_look(tried) else ()
        parts = [(half, self._tried(half, Waits(Patience(budget=0)))) for half in halves]
        if not parts or all(_says_no_to_all(part) for _, part in parts):
            return [Failure(tried) for _ in asked]
        return [one for half, part in parts for one in self._apart(half, part)]

    def _may_look(self, error: StoreError) -> bool:
        if not isinstance(error, TimedOut) and status_of(error) not in {UNREADABLE, TOO_LARGE}:
            return False
        now = time.monotonic()
        self._looking_until = self._looking_until or now + SEARCH_FOR_ONE
        return now < self._looking_until

    def _msearch(self, asked: Sequence[AnyAsked], waits: Waits) -> list[dict[str, Any]]:
        """A response for each; what was refused for now is asked again, and only that."""
        responses: dict[int, dict[str, Any]] = {}
        pending = list(range(len(asked)))
        while True:
            try:
                told = self.responses(_lines([asked[i] for i in pending]), waits)
            except StoreError:
                if not responses:
                    raise
                break  # what is there stays
            for i, response in zip(pending, told, strict=True):
                if "error" not in response or "error" in responses.get(i, response):
                    responses[i] = response
            pending = [i for i in pending if msearch.was_rejected(responses[i])]
            pause = waits.next() if pending else None
            if pause is None:
                break
            time.sleep(pause)
        return [responses[i] for i in range(len(asked))]

    def responses(self, lines: Sequence[Any], waits: Waits | None = None) -> list[dict[str, Any]]:
        """To a header and a body for each. Raises `StoreError`."""
        client = self._connection.client
        answer = self._connection.call(
            lambda: client.msearch(searches=lines), waits, shape=shapes.responses(len(lines) // 2)
        )
        return list(answer["responses"])


def _lines(asked: Sequence[AnyAsked]) -> list[Any]:
    return [line for item in asked for line in (item.header, item.body)]


def _read(asked: AnyAsked, response: Mapping[str, Any]) -> Page:
    match asked.search:
        case Buckets():
            return bucketing.read(asked, response)
        case Earlier():
            return earlier.read(asked, response)
        case _:
            return msearch.read(asked, response)


def _says_no_to_all(tried: Tried) -> bool:
    """Whether it is a refusal that is not Elasticsearch's own, which tells of what it was asked."""
    return isinstance(tried, StoreError) and status_of(tried) == UNREADABLE and not kinds_of(tried)


def _halves(asked: Sequence[AnyAsked]) -> tuple[Sequence[AnyAsked], ...]:
    """Two parts of about the same size, or none: the searches of one rule stay together."""
    rules = [item.search.rule_id for item in asked]
    edges = [i for i in range(1, len(rules)) if rules[i] != rules[i - 1]]
    if not edges:
        return ()
    middle = min(edges, key=lambda edge: abs(edge - len(rules) / 2))
    return asked[:middle], asked[middle:]
