"""threshold: so many events with the same values, and so many different values of another field.

https://www.elastic.co/guide/en/security/current/rules-ui-create.html#create-threshold-rule. The
view from the end of each slot is counted by itself. Events inside the span of an alert for the same
values are not counted again, so that views which overlap do not alert twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from detector import questions
from detector.detect import grouping
from detector.detect.grouping import Inquiry, Said, Terms
from detector.language import evaluate
from detector.language.tree import Scalar
from detector.model import (
    Bucket,
    Buckets,
    Detection,
    Document,
    Found,
    Group,
    Match,
    Page,
    Rule,
    Window,
)
from detector.windows import without

SAMPLE = 20
"""Events whose ids an alert carries."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many events of the same values in `by`, and of different values in other fields."""

    by: tuple[str, ...]
    least: int
    distinct: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group that may alert: its events lie in `pieces` of the view."""

    terms: Terms
    pieces: tuple[Window, ...]
    group: Group


Counted: TypeAlias = tuple[datetime, tuple[frozenset[Scalar], ...]]
"""When an event was, and its values of the fields that have to have several."""


@dataclass(slots=True)
class Replay:
    """How often events of the same values were enough, since the first of them: what is suppressed.

    `seen` begins with the alert that the others are suppressed into, and ends where its run ends.
    """

    rule: Rule
    seen: Window
    events: list[Counted] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self._told())

    @property
    def last(self) -> datetime | None:
        return max(self._told(), default=None)

    def add(self, match: Match, time: datetime) -> None:
        (event,) = match.documents
        names = [name for name, _ in limits(self.rule).distinct]
        held = (evaluate.values(event.fields, one) for one in names)
        self.events.append((time, tuple(map(frozenset, held))))

    def _told(self) -> list[datetime]:
        """The last event of each time that they were enough, none of them counted twice."""
        asked, told, begin = limits(self.rule), list[datetime](), 0
        events = sorted(self.events, key=lambda event: event[0])
        times = [time for time, _ in events]
        for _, view in grouping.views(self.rule, self.seen):
            begin, end = max(begin, bisect_left(times, view.start)), bisect_left(times, view.end)
            if _enough(asked, events[begin:end]):
                told.append(times[end - 1])
                begin = end
        return told


def _enough(asked: Limits, events: Sequence[Counted]) -> bool:
    """Whether they are as many, with as many different values, as the rule says."""
    if len(events) < max(asked.least, 1):
        return False
    different = (
        {value for _, values in events for value in values[number]}
        for number in range(len(asked.distinct))
    )
    return all(
        len(values) >= least for values, (_, least) in zip(different, asked.distinct, strict=True)
    )


def limits(rule: Rule) -> Limits:
    """What the rule says under `threshold`, in Kibana's words."""
    written = rule.parameters["threshold"]
    return Limits(
        by=tuple(written["field"]),
        least=written["value"],
        distinct=tuple((one["field"], one["value"]) for one in written.get("cardinality") or ()),
    )


def question(rule: Rule, view: Window) -> Buckets:
    """What is asked of a view first."""
    asked = limits(rule)
    return replace(grouping.counting(rule, view, asked.by), least=asked.least)


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Slot by slot: what one finds is not counted by those after it."""
    said, asked = Said(rule), limits(rule)
    for slot, view in (yield from grouping.inhabited(rule, window)):
        said.forget(view)
        following: Any = question(rule, view)
        while following is not None:
            (page,) = yield from grouping.ask(following)
            for buckets in grouping.batches(page.buckets, grouping.CLOSE):
                found = yield from _groups(rule, asked, view, buckets, said)
                samples = yield from _samples(rule, found, fields)
                if found:
                    yield Found(
                        tuple(
                            Match(tuple(documents), slot.start, one.group)
                            for one, documents in zip(found, samples, strict=True)
                        )
                    )
            following = page.next


def _groups(
    rule: Rule, asked: Limits, view: Window, buckets: Sequence[Bucket], said: Said
) -> Inquiry[list[Candidate]]:
    """Those of `buckets` that alert, when what has been said is left out."""
    candidates = [_candidate(asked, view, bucket) for bucket in buckets]
    spans = yield from said.about([one.group.key for one in candidates], view)
    candidates = yield from _recounted(rule, candidates, spans)
    candidates = [one for one in candidates if one.group.count >= asked.least]
    for name, least in asked.distinct:
        candidates = yield from _distinct(rule, candidates, name, least)
    for one in candidates:
        said.add(one.group)
    return candidates


def _candidate(asked: Limits, view: Window, bucket: Bucket) -> Candidate:
    terms = grouping.terms(asked.by, bucket)
    key = grouping.key(terms)
    group = Group(key, terms, bucket.count, bucket.first, bucket.last)
    whole = Window(bucket.first, min(bucket.last + grouping.MILLISECOND, view.end))
    return Candidate(terms, (whole,), group)


def _recounted(
    rule: Rule, candidates: Sequence[Candidate], spans: dict[str, list[Window]]
) -> Inquiry[list[Candidate]]:
    """With what is left of their events outside the spans; where that is nothing, none is asked."""
    kept = [one for one in candidates if one.group.key not in spans]
    again = [
        replace(one, pieces=without(one.pieces, spans[one.group.key]))
        for one in candidates
        if one.group.key in spans
    ]
    found = yield from _counted(rule, again, ())
    for candidate, buckets in zip(again, found, strict=True):
        own = [one for one in buckets if one.key == _values(candidate)]
        if own:
            group = replace(
                candidate.group,
                count=sum(bucket.count for bucket in own),
                first=min(bucket.first for bucket in own),
                last=max(bucket.last for bucket in own),
            )
            kept.append(replace(candidate, group=group))
    return sorted(kept, key=lambda one: (one.group.first, one.group.key))


def _distinct(
    rule: Rule, candidates: Sequence[Candidate], name: str, least: int
) -> Inquiry[list[Candidate]]:
    """Those with at least so many different values of the field; exact."""
    found = yield from _counted(rule, candidates, (name,))
    kept = []
    for candidate, buckets in zip(candidates, found, strict=True):
        values = {one.key[-1] for one in buckets if one.key[:-1] == _values(candidate)}
        if len(values) >= least:
            distinct = (*candidate.group.distinct, (name, len(values)))
            kept.append(replace(candidate, group=replace(candidate.group, distinct=distinct)))
    return kept


def _counted(
    rule: Rule, candidates: Sequence[Candidate], further: tuple[str, ...]
) -> Inquiry[list[list[Bucket]]]:
    """The buckets of each candidate's pieces, by its fields and `further` ones."""
    owners, questions = [], []
    for number, candidate in enumerate(candidates):
        for asked in _of_pieces(rule, candidate, further):
            owners.append(number)
            questions.append(asked)
    found: list[list[Bucket]] = [[] for _ in candidates]

    def take(number: int, page: Page) -> None:
        found[owners[number]] += page.buckets

    yield from grouping.ask_all(questions, take)
    return found


def _samples(
    rule: Rule, candidates: Sequence[Candidate], fields: tuple[str, ...]
) -> Inquiry[list[list[Document]]]:
    """The oldest documents of each."""
    searches = [
        [
            search
            for asked in _of_pieces(rule, candidate)
            for search in questions.finding(asked, fields, SAMPLE)
        ]
        for candidate in candidates
    ]
    found = yield from grouping.first_documents(searches)
    return [documents[:SAMPLE] for documents in found]


def _of_pieces(rule: Rule, candidate: Candidate, further: tuple[str, ...] = ()) -> list[Buckets]:
    among = grouping.having(candidate.terms)
    by = (*(name for name, _ in candidate.terms), *further)
    return [replace(grouping.counting(rule, piece, by), among=among) for piece in candidate.pieces]


def _values(candidate: Candidate) -> tuple[Scalar, ...]:
    return tuple(value for _, value in candidate.terms)
