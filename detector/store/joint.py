"""Searches of many rules in, answers out: those that find nothing are answered by one for all.

Most rules find nothing most of the time. Where they look into the same indices and the same window,
one search with their conditions side by side says so: the window is looked up once, and a shard is
asked once, not once a rule. Each condition bears its rule's id as `_name`, so that the hits name
the rules that have to be asked by themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import orjson

from detector.model import Answer, Failure, Page, Search
from detector.store import msearch, remotes
from detector.store.msearch import Asked
from detector.store.sending import Told

Json: TypeAlias = dict[str, Any]
Searches: TypeAlias = Mapping[int, Search]
Parts: TypeAlias = dict[bytes, Json]
"""What has to hold for one rule, each by its text."""
Tell: TypeAlias = Callable[[Sequence[Asked[Any]]], list[Told | Failure]]

HITS = 100
"""A search that has more, may not have named all rules that have a match."""
APART = 12
"""How often a rule is asked by itself after it kept a search from naming all: an hour mostly."""


class Joint:
    """Asks for up to `most` rules at once, and remembers which of them are better asked alone."""

    def __init__(
        self,
        condition: Callable[[Search], Json],
        *,
        most: int,
        timeout: float | None = None,
        exclude_tiers: Sequence[str] = (),
    ) -> None:
        self._condition = condition
        self._most = most
        self._timeout = timeout
        self._exclude_tiers = exclude_tiers
        self._apart: dict[str, int] = {}

    def answers(
        self, searches: Searches, tell: Tell, each: Callable[[Searches], dict[int, Answer]]
    ) -> dict[int, Answer]:
        """An answer for each; what `tell` does not settle, `each` is asked for."""
        answers: dict[int, Answer] = {}
        groups = list(self._groups(searches))
        asked = [self._ask([(searches[i], parts) for i, parts in one.items()]) for one in groups]
        unsure = []
        for group, told in zip(groups, tell(asked), strict=True):
            named = _named(told)
            if named is None or isinstance(told, Failure):
                unsure.append(group)
                continue
            quiet = [i for i in group if searches[i].rule_id not in named]
            answers |= zip(quiet, _nothing(told, len(group)), strict=False)
        answers |= each({i: one for i, one in searches.items() if i not in answers})
        for group in unsure:
            self._remember({searches[i].rule_id: answers[i] for i in group})
        return answers

    def _groups(self, searches: Searches) -> Iterator[dict[int, Parts]]:
        """What can be asked together: by position, what has to hold."""
        alike: dict[Any, dict[int, Parts]] = defaultdict(dict)
        for i, one in searches.items():
            if self._is_plain(one) and not self._has_turn_apart(one.rule_id):
                parts = self._parts(one)
                if parts is not None:
                    alike[one.index, one.window, one.time_field, one.without][i] = parts
        for members in alike.values():
            positions = list(members)
            for start in range(0, len(positions) - 1, self._most):
                group = {i: members[i] for i in positions[start : start + self._most]}
                if len(group) > 1:
                    yield group

    def _is_plain(self, search: Search) -> bool:
        """Whether it is a first question that a remote cluster cannot keep from being answered."""
        begun = search.cursor is not None or search.limit is not None
        return self._most > 1 and not begun and not remotes.named(search.index)

    def _parts(self, search: Search) -> Parts | None:
        try:
            condition = self._condition(search)
            inner = condition.get("bool", {})
            several = len(condition) == 1 and inner.keys() == {"filter"}
            return {orjson.dumps(one): one for one in (inner["filter"] if several else [condition])}
        except Exception:  # noqa: BLE001 - whoever asks it by itself says what is wrong
            return None

    def _has_turn_apart(self, rule_id: str) -> bool:
        turns = self._apart.pop(rule_id, 0)
        if turns > 1:
            self._apart[rule_id] = turns - 1
        return turns > 0

    def _ask(self, members: Sequence[tuple[Search, Parts]]) -> Asked[Search]:
        """One question for all; what all of them ask is asked once."""
        first, parts = members[0]
        shared = set(parts).intersection(*(own for _, own in members))
        should = [
            msearch.named(_all_of([own[key] for key in own if key not in shared]), one.rule_id)
            for one, own in members
        ]
        common = [part for key, part in parts.items() if key in shared]
        any_of = {"bool": {"filter": common, "should": should, "minimum_should_match": 1}}
        body: Json = {
            "size": HITS,
            "query": msearch.query(first, any_of, self._exclude_tiers),
            "_source": False,
            "track_total_hits": False,
        }
        if self._timeout is not None:
            body["timeout"] = msearch.milliseconds(self._timeout)
        return Asked(first, msearch.header(first.index), body, None, HITS)

    def _remember(self, answers: Mapping[str, Answer]) -> None:
        """Those that may have kept the search from telling; all, where none stands out."""
        loud = [id_ for id_, one in answers.items() if not _is_quiet(one)]
        self._apart |= dict.fromkeys(loud or answers, APART)


def _all_of(parts: list[Json]) -> Json:
    return {"bool": {"filter": parts}}


def _named(told: Told | Failure) -> Collection[str] | None:
    """The ids of all rules that have a match; None where not all of them may be named."""
    if isinstance(told, Failure) or told.failed or msearch.lack(told.response):
        return None
    hits = told.response["hits"]["hits"]
    if len(hits) >= HITS:
        return None
    return {name for hit in hits for name in hit.get("matched_queries", ())}


def _nothing(told: Told, among: int) -> Iterator[Answer]:
    """What is answered to rules without a match: each its part of the time, and what is to be said.

    The parts are whole milliseconds that add up.
    """
    least, over = divmod(told.response.get("took", 0), among)
    empty = told.response | {"hits": {"hits": []}}
    more, less = (replace(told, response=empty | {"took": least + n}).answer() for n in (1, 0))
    return (more if n < over else less for n in range(among))


def _is_quiet(answer: Answer) -> bool:
    return isinstance(answer, Page) and not answer.hits and not answer.incomplete
