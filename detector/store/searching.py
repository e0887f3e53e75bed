"""Searches in, answers out: many in one `_msearch`, each as whole as the cluster can make it.

First pages are asked without a point in time, since most are empty; a page that is full is asked
again under one. A remote cluster that is away must silence neither the others nor, by keeping them
waiting, rules that never ask it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from detector.errors import Rejected, StoreError
from detector.model import (
    Answer,
    Buckets,
    Cursor,
    Earlier,
    Failure,
    Question,
    Rows,
    Search,
    Survey,
)
from detector.store import bucketing, counting, earlier, msearch, paging, remotes, shapes
from detector.store.connection import Connection, reason_of
from detector.store.joint import Joint
from detector.store.msearch import Lack
from detector.store.permission import Permission
from detector.store.rows import RowReader
from detector.store.sending import AnyAsked, Sender, Told
from detector.store.translating import Translations

JOINT_IN_ONE = 16
"""Searches for many rules each that are sent as one request."""
WIDE, WIDEST = 10, 10_000
"""Buckets of a page for each of its documents, since they are small, and at most: a search may
make 65,536, and each holds another (`search.max_buckets`)."""


class Searcher:
    """What is asked of one cluster in one session: points in time and translated queries."""

    def __init__(
        self,
        connection: Connection,
        *,
        page_size: int,
        per_request: int,
        rules_per_search: int,
        exclude_tiers: Sequence[str],
        alerts: str,
        timeout: float | None = None,
    ) -> None:
        self._connection = connection
        self._permission = Permission(connection)
        self.translations = Translations(connection)
        self._joint = Joint(
            lambda search: self.translations.of(search).query,
            most=rules_per_search,
            timeout=timeout,
            exclude_tiers=exclude_tiers,
        )
        self._rows = RowReader(connection, self._permission, self.translations, exclude_tiers)
        self._page_size = page_size
        self._per_request = per_request
        self._exclude_tiers = tuple(exclude_tiers)
        self._alerts = alerts
        self._timeout = timeout
        self._sender = Sender(connection)
        self._points: dict[tuple[str, ...], str] = {}

    def session(self) -> Self:
        """The same connection and translations; points in time of its own."""
        session = copy.copy(self)
        session._sender = Sender(self._connection)
        session._points = {}
        return session

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        """An answer for each, in their order."""
        self._sender.begin()
        answers = self._of_alerts(dict(_numbered(questions, Earlier)))
        of_events = dict(_numbered(questions, Search | Buckets))
        far = {i: one for i, one in of_events.items() if remotes.named(one.index)}
        near = {i: one for i, one in of_events.items() if i not in far}
        for part in filter(None, (near, far)):  # a remote that hangs holds up who asks remotes
            answers |= self._of_events(part)
        answers |= self._rows.answers(dict(_numbered(questions, Rows)))
        return [answers[i] for i in range(len(questions))]

    def _of_events(self, questions: Mapping[int, Search | Buckets]) -> dict[int, Answer]:
        self.translations.learn(questions.values())
        in_pages = {i: one for i, one in questions.items() if self._in_pages(one)}
        at_once = {i: one for i, one in questions.items() if i not in in_pages}
        answers = self._joint.answers(at_once, self._in_brief, self._at_once)
        for i, question in in_pages.items():
            answers[i] = paging.whole(question, self._of_one)
        return answers

    def _at_once(self, questions: Mapping[int, Search | Buckets]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        for positions in self._requests(questions):
            told = self._together([questions[i] for i in positions])
            for i, one in zip(positions, told, strict=True):
                answers[i] = one if isinstance(one, Failure) else one.answer()
        return answers

    def _of_one(self, search: Search) -> Answer:
        return self._at_once({0: search})[0]

    def _in_pages(self, question: Search | Buckets) -> bool:
        """Whether no single request can answer it: what is too much is taken out on this side."""
        if isinstance(question, Search) and question.limit is None:
            return False
        if isinstance(question, Buckets) and not self.translations.counts(question):
            return True
        try:
            return self.translations.of(question).residual is not None
        except Exception:  # noqa: BLE001 - whoever asks it says what is wrong
            return False

    def _of_alerts(self, questions: Mapping[int, Earlier]) -> dict[int, Answer]:
        """What is said already; alerts written just now are made visible first."""
        if not questions:
            return {}
        names = sorted({earlier.alias(question, self._alerts) for question in questions.values()})
        try:
            self._connection.call(
                lambda: self._connection.client.indices.refresh(
                    index=names, ignore_unavailable=True
                )
            )
        except StoreError as error:
            return {i: Failure(error) for i in questions}
        told = self._sender.tell(
            [earlier.ask(question, self._alerts) for question in questions.values()]
        )
        return {
            i: one if isinstance(one, Failure) else one.answer()
            for i, one in zip(questions, told, strict=True)
        }

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        """Their number and most frequent values. Raises `StoreError`."""
        self.translations.learn(searches)
        asked = [self._ask(search) for search in searches]
        responses = self._counts(asked, fields)
        if any("error" in response or response["_shards"]["failed"] for response in responses):
            responses = self._counts(asked, ())  # a field that is text in some index
        for response in responses:
            if "error" in response:
                raise Rejected(f"matches cannot be counted: {reason_of(response['error'])}")
        return counting.read(asked, responses)

    def release(self) -> None:
        """Close the points in time."""
        points, self._points = self._points, {}
        client = self._connection.client
        for point in points.values():
            try:
                self._connection.once(lambda point=point: client.close_point_in_time(id=point))  # type: ignore[misc]
            except StoreError:
                continue  # it ends by itself when its keep-alive has passed

    def _requests(self, searches: Mapping[int, Search | Buckets]) -> Iterator[list[int]]:
        """Positions by request."""
        positions = list(searches)
        for start in range(0, len(positions), self._per_request):
            yield positions[start : start + self._per_request]

    def _together(self, searches: Sequence[Search | Buckets]) -> list[Told | Failure]:
        told = self._sender.tell([self._asked(search) for search in searches])
        self._ask_who_is_there(told)
        self._ask_what_may_be_read(told)
        full = {i: one for i, one in enumerate(told) if isinstance(one, Told) and _is_full(one)}
        under = [self._under_a_point(one.asked.search) for one in full.values()]
        for (i, first), again in zip(full.items(), self._sender.tell(under), strict=True):
            told[i] = _after(first, again)
        return told

    def _in_brief(self, asked: Sequence[AnyAsked]) -> list[Told | Failure]:
        """What became of each, tried once: whoever asks can ask otherwise."""
        told: list[Told | Failure] = []
        for start in range(0, len(asked), JOINT_IN_ONE):
            part = asked[start : start + JOINT_IN_ONE]
            lost = told and isinstance(told[-1], Failure)
            told += [told[-1] for _ in part] if lost else self._sender.once(part)
        self._ask_what_may_be_read(told)
        return told

    def _ask_who_is_there(self, told: list[Told | Failure]) -> None:
        """Where a remote that must not be skipped is away, ask the others again."""
        refused = {
            i: one.asked.search
            for i, one in enumerate(told)
            if isinstance(one, Told) and one.failed and remotes.named(one.asked.search.index)
        }
        if not refused:
            return
        try:
            known = remotes.connected(self._connection)
        except StoreError:
            return
        for i, search in refused.items():
            present, lack = remotes.without_absent(search.index, known)
            begun = isinstance(search, Search) and search.cursor is not None
            if lack and present and not begun:
                (again,) = self._sender.tell([self._ask(replace(search, index=present))])
                told[i] = replace(again, lack=lack) if isinstance(again, Told) else again

    def _ask_what_may_be_read(self, told: list[Told | Failure]) -> None:
        """Where there seems to be no index, there may be one that is not shown to us.

        Of several patterns, those that may not be read are a warning, as in Kibana.
        """
        unsure = {
            i: one
            for i, one in enumerate(told)
            if isinstance(one, Told)
            and not one.failed
            and (msearch.found_no_index(one.response) or len(one.asked.search.index) > 1)
        }
        if not unsure:
            return
        asked = {name for one in unsure.values() for name in one.asked.search.index}
        refused = self._permission.refused(asked)
        for i, one in unsure.items():
            unread = tuple(name for name in one.asked.search.index if name in refused)
            if unread and msearch.found_no_index(one.response):
                told[i] = Failure(refused[unread[-1]])
            elif unread:
                told[i] = replace(one, unread=unread)

    def _asked(self, search: Search | Buckets) -> AnyAsked | Failure:
        """The question as it is sent, where its condition can be translated."""
        try:
            return self._ask(search)
        except Exception as error:  # noqa: BLE001 - one rule's fault is its own failure
            return Failure(Rejected(f"the query cannot be translated: {error!r}"[:1_000]))

    def _ask(self, search: Search | Buckets) -> AnyAsked:
        compiled, size = self.translations.of(search), self._page_size
        types = self.translations.types(search)
        if isinstance(search, Buckets):
            return bucketing.ask(
                search,
                compiled,
                size=min(WIDE * size, WIDEST),
                types=types,
                timeout=self._timeout,
                exclude_tiers=self._exclude_tiers,
            )
        return msearch.ask(
            search,
            compiled,
            size=size if compiled.residual is not None else search.limit or size,
            types=types,
            timeout=self._timeout,
            exclude_tiers=self._exclude_tiers,
        )

    def _under_a_point(self, search: Search) -> AnyAsked | Failure:
        """The same search from its beginning inside a point in time shared by its index set."""
        point = self._points.get(search.index)
        if point is None:
            try:
                point = self._connection.call(
                    lambda: self._connection.client.open_point_in_time(
                        index=list(search.index),
                        keep_alive=msearch.KEEP_ALIVE,
                        ignore_unavailable=True,
                    ),
                    shape=shapes.point,
                )["id"]
            except StoreError as error:
                return Failure(error)
            self._points[search.index] = point
        return self._ask(replace(search, cursor=Cursor(point)))

    def _counts(self, asked: Sequence[AnyAsked], fields: Sequence[str]) -> list[dict[str, Any]]:
        return self._sender.responses(
            [line for item in asked for line in counting.ask(item, fields)]
        )


def _numbered(questions: Sequence[Question], kind: Any) -> Iterator[tuple[int, Any]]:
    return ((i, question) for i, question in enumerate(questions) if isinstance(question, kind))


def _is_full(told: Told) -> bool:
    return not told.failed and msearch.is_full(told.asked, told.response)


def _after(first: Told, again: Told | Failure) -> Told:
    """The pages under a point in time, and what the first page already lacked.

    A remote that is away when a point is opened is left out of it without a word. Where there is
    no point to go on with, what was found stays found.
    """
    if isinstance(again, Failure) or again.failed:
        failure = again if isinstance(again, Failure) else again.answer()
        said = failure.error.message if isinstance(failure, Failure) else ""
        return replace(first, lack=Lack(f"only the first page could be read: {said}"))
    return replace(again, lack=first.lacking() or msearch.left_out(first.response, again.response))
