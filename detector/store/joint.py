"""Searches of many rules in, answers out: those that find nothing are answered by one for all.

Most rules find nothing most of the time. Where they look into the same indices and the same window,
one search with their conditions side by side says so: the window is looked up once, and a shard is
asked once, not once a rule. Each condition has a `_name`, so that the hits tell whose search has to
be asked by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, TypeAlias, TypeGuard

import orjson

from detector.errors import Rejected, TimedOut
from detector.model import Answer, Buckets, Failure, Search
from detector.store import msearch, remotes
from detector.store.msearch import Asked
from detector.store.sending import Told

Json: TypeAlias = dict[str, Any]
Questions: TypeAlias = Mapping[int, Search | Buckets]
Parts: TypeAlias = dict[bytes, Json]
"""What has to hold for one search, each by its text."""
Tell: TypeAlias = Callable[[Sequence[Asked[Any]]], list[Told | Failure]]

HITS = 100
"""A search that has more, may not have named all that have a match."""
ALONE = 12
"""How often a rule is asked by itself after it kept a search from naming all."""


@dataclass(frozen=True, slots=True)
class Group:
    """What is asked together, by position, and each one's name in the question.

    One rule may have several searches in it, and of two clauses of one name Elasticsearch knows the
    last alone.
    """

    members: Mapping[int, tuple[Search, Parts]]
    names: Mapping[str, int]


class Joint:
    """Asks up to `most` searches at once, and remembers which rules are better asked alone."""

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
        self._alone: dict[str, int] = {}
        self._token = token_hex(8)

    def answers(
        self, questions: Questions, tell: Tell, each: Callable[[Questions], dict[int, Answer]]
    ) -> dict[int, Answer]:
        """An answer for each; what `tell` does not settle, `each` is asked for."""
        answers: dict[int, Answer] = {}
        groups = list(self._groups(questions))
        unsure = []
        for group, told in zip(groups, tell([self._ask(one) for one in groups]), strict=True):
            found = _found(told, group)
            if found is None or isinstance(told, Failure):
                unsure.append((group, isinstance(told, Failure)))
            else:
                parts = zip(group.members, _nothing(told, len(group.members)), strict=True)
                answers |= {i: answer for i, answer in parts if i not in found}
        answers |= each({i: one for i, one in questions.items() if i not in answers})
        for group, refused in unsure:
            self._remember(group, answers, refused=refused)
        return answers

    def _groups(self, questions: Questions) -> Iterator[Group]:
        """What can be asked together, in groups of two at least."""
        plain = {i: one for i, one in questions.items() if _is_plain(one)} if self._most > 1 else {}
        alone = self._turn({one.rule_id for one in plain.values()})
        alike: dict[Any, dict[int, tuple[Search, Parts]]] = defaultdict(dict)
        for i, one in plain.items():
            parts = None if one.rule_id in alone else self._parts(one)
            if parts is not None:
                alike[one.index, one.window, one.time_field, one.without][i] = (one, parts)
        for members in alike.values():
            positions = list(members)
            for start in range(0, len(positions) - 1, self._most):
                yield self._group({i: members[i] for i in positions[start : start + self._most]})

    def _group(self, members: Mapping[int, tuple[Search, Parts]]) -> Group:
        """Names that nobody can guess: conditions of rules may bear names of their own."""
        return Group(
            members, {f"{one.rule_id} {self._token}.{i}": i for i, (one, _) in members.items()}
        )

    def _turn(self, rule_ids: Collection[str]) -> frozenset[str]:
        """Those that are to be asked alone this time."""
        turns = {id_: self._alone.pop(id_) for id_ in rule_ids if id_ in self._alone}
        self._alone |= {id_: left - 1 for id_, left in turns.items() if left > 1}
        return frozenset(turns)

    def _parts(self, search: Search) -> Parts | None:
        try:
            condition = self._condition(search)
            inner = condition.get("bool", {})
            several = len(condition) == 1 and inner.keys() == {"filter"}
            return {orjson.dumps(one): one for one in (inner["filter"] if several else [condition])}
        except Exception:  # noqa: BLE001 - whoever asks it by itself says what is wrong
            return None

    def _ask(self, group: Group) -> Asked[Search]:
        """One question for all; what all of them ask is asked once."""
        members = list(group.members.values())
        first, parts = members[0]
        shared = set(parts).intersection(*(own for _, own in members))
        should = [
            msearch.named(_all_of([own[key] for key in own if key not in shared]), name)
            for name, (_, own) in zip(group.names, members, strict=True)
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

    def _remember(self, group: Group, answers: Mapping[int, Answer], *, refused: bool) -> None:
        """Those that may have kept the search from telling; all, where none stands out.

        Where a request was `refused` as a whole, the others of it may be at fault, or the cluster.
        """
        ids = {i: search.rule_id for i, (search, _) in group.members.items()}
        loud = [id_ for i, id_ in ids.items() if _is_loud(answers[i], refused=refused)]
        self._alone |= dict.fromkeys(loud if loud or refused else ids.values(), ALONE)


def _is_plain(question: Search | Buckets) -> TypeGuard[Search]:
    """Whether it is a first question that a remote cluster cannot keep from being answered."""
    return (
        isinstance(question, Search)
        and question.cursor is None
        and question.limit is None
        and not remotes.named(question.index)
    )


def _all_of(parts: list[Json]) -> Json:
    return {"bool": {"filter": parts}}


def _found(told: Told | Failure, group: Group) -> Collection[int] | None:
    """The positions of all that have a match; None where not all of them may be named."""
    if isinstance(told, Failure) or told.failed or msearch.lack(told.response):
        return None
    hits = told.response["hits"]["hits"]
    if len(hits) >= HITS:
        return None
    found = set()
    for hit in hits:
        named = group.names.keys() & hit.get("matched_queries", ())
        if not named:
            return None
        found |= {group.names[name] for name in named}
    return found


def _nothing(told: Told, among: int) -> Iterator[Answer]:
    """What is answered to those without a match: a part of the time, and what is to be said.

    The parts of all are whole milliseconds that add up.
    """
    least, over = divmod(told.response.get("took", 0), among)
    empty = told.response | {"hits": {"hits": []}}
    more, less = (replace(told, response=empty | {"took": least + n}).answer() for n in (1, 0))
    return (more if n < over else less for n in range(among))


def _is_loud(answer: Answer, *, refused: bool) -> bool:
    """Whether it may have been what a search for several did not answer for."""
    if isinstance(answer, Failure):
        return isinstance(answer.error, Rejected | TimedOut)
    return not refused and bool(answer.hits or answer.incomplete)
