"""A rule and a span of time in, every match in it once more out, to be counted.

What an alert stands for is never added up: it is asked for again, so that neither a crash nor a
repeat, neither a copy nor a late event can make the count wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import product
from typing import Protocol, TypeAlias

from detector import questions
from detector.detect import grouping, inquiry, joining, query, threshold
from detector.detect.grouping import EVERYTHING
from detector.detect.inquiry import FIRST, LAST
from detector.language import evaluate, tree
from detector.language.tree import Exists, Node, Not, OneOf, Scalar, all_of, any_of
from detector.model import (
    Ask,
    Buckets,
    Detection,
    Document,
    Earlier,
    Found,
    Match,
    Page,
    Question,
    Rule,
    Search,
    Suppression,
    Window,
)

Terms: TypeAlias = tuple[tuple[str, tuple[Scalar, ...]], ...]
"""The values of each field that matches are compared by; none where it is missing."""


class Tally(Protocol):
    """Counts the matches an alert stands for, and knows the latest of them."""

    @property
    def count(self) -> int: ...

    @property
    def last(self) -> datetime | None: ...

    def add(self, match: Match, time: datetime) -> None:
        """Take in a match; one that is the same as another counts once."""


@dataclass(slots=True)
class Distinct:
    """Different matches, by what `named` calls them."""

    named: Callable[[Match], str | None]
    last: datetime | None = None
    names: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self.names)

    def add(self, match: Match, time: datetime) -> None:
        name = self.named(match)
        if name is not None:
            self.names.add(hash(name))
            self.last = time if self.last is None else max(self.last, time)


@dataclass(frozen=True, slots=True)
class Again:
    """How the matches of one run of a rule are found once more; what they have in common."""

    rule: Rule
    asked: Suppression
    run: Window
    fields: tuple[str, ...]
    detector: Callable[[Rule, Window, tuple[str, ...]], Detection]

    @property
    def counts_events(self) -> bool:
        """Whether a match is so many events: they are what is asked for."""
        return self.rule.type == "threshold"

    def terms(self, match: Match) -> Iterator[Terms]:
        """What the match is compared by; events with several values are counted for each."""
        if not self.counts_events:
            yield tuple((name, _values_of(match, name)) for name in self.asked.by)
        elif match.group is not None:
            yield tuple((name, (value,)) for name, value in match.group.terms)
        else:
            columns = [_common(match.documents, name) for name in self.asked.by]
            for values in product(*columns):
                yield tuple((n, (v,)) for n, v in zip(self.asked.by, values, strict=True))

    def happened(self, match: Match) -> datetime:
        """When it was: the first event of a group, else the last of its events.

        By the event's own time, as copies that were ingested again have the same; a group goes by
        the rule's.
        """
        if match.group is not None:
            return match.group.first
        if self.counts_events:
            return match.documents[0].time
        return min(max(FIRST, *map(_event_time, match.documents)), LAST)

    def tally(self, named: Callable[[Match], str | None], first: datetime) -> Tally:
        """What counts those that an alert stands for from `first` on."""
        if self.counts_events:
            return threshold.Replay(self.rule, Window(first, self.run.end))
        return Distinct(named)

    def matches(self, span: Window, wanted: Iterable[Terms]) -> Detection:
        """All matches in the span, those of the terms `wanted` among them; asks, and finds."""
        narrow = self._narrowing(list(wanted))
        detection, reply = self._detection(span), None
        while True:
            try:
                step = detection.send(reply)
            except StopIteration:
                return
            if isinstance(step, Found):
                yield step
                reply = None
                continue
            asked = [self._narrowed(one, narrow) for one in step.searches if not _of_alerts(one)]
            pages = iter((yield from grouping.ask(*asked)) if asked else ())
            reply = tuple(Page(()) if _of_alerts(one) else next(pages) for one in step.searches)

    def _detection(self, span: Window) -> Detection:
        """What a run does not see yet it must not count by groups."""
        rule, end = self.rule, self.run.end
        if self.counts_events:
            names = (name for name, _ in threshold.limits(rule).distinct)
            seen = Window(span.start, min(span.end, end))
            return query.detect(rule, seen, (*self.fields, *names))
        if rule.stepwise:
            until = min(span.end + rule.delay + rule.interval, end)
            return self.detector(rule, Window(span.start, until), self.fields)
        if rule.type != "machine_learning":
            rule = replace(rule, timestamp_override=None)
        return self.detector(rule, self._awaited(span), self.fields)

    def _awaited(self, span: Window) -> Window:
        """Until when is known what becomes of sequences that end with `![ ]`."""
        if not isinstance(self.rule.where, tree.Sequence):
            return span
        joined = joining.of(self.rule)
        if not joined.shape.waits:
            return span
        return Window(span.start, min(span.end + joined.span, self.run.end))

    def _narrowing(self, wanted: Sequence[Terms]) -> Node | None:
        """What all events of such matches satisfy; what the index does not hold is let pass."""
        rule = self.rule
        if rule.type in {"new_terms", "esql"}:  # what is new, and what a query makes of events
            return None
        parts: list[Node] = []
        for name, column in _columns(wanted).items():
            missing = not all(column)
            if missing and isinstance(rule.where, tree.Sequence | tree.Sample):
                continue  # each has a value, and no two the same
            values = tuple(dict.fromkeys(value for values in column for value in values))
            lacking = Not(Exists(name))
            parts.append(any_of((OneOf(name, values), lacking)) if values else lacking)
        if rule.timestamp_override and not rule.timestamp_fallback:
            parts.append(Exists(rule.timestamp_override))
        return all_of(parts) if parts else None

    def _narrowed(self, question: Question, narrow: Node | None) -> Question:
        """The question for events; those of other pages are narrowed already."""
        if narrow is None or not isinstance(question, Search) or question.cursor is not None:
            return question
        if question.where is EVERYTHING:  # indicators, and what is counted beforehand
            return question
        both = [node for node in (question.among, narrow) if node is not None]
        return replace(question, among=all_of(both))


def is_fresh(step: Ask) -> bool:
    """Whether its answer may know of events that no earlier answer knew of."""
    return not all(map(_goes_on, step.searches))


def _goes_on(question: Question) -> bool:
    """Whether it is a page after the first, which shows what was there then; or is of alerts."""
    match question:
        case Search(cursor=mark) | Buckets(after=mark):
            return mark is not None
        case _:
            return _of_alerts(question)


def _of_alerts(question: Question) -> bool:
    """What has been alerted is nothing to a count."""
    return isinstance(question, Earlier)


def _columns(wanted: Sequence[Terms]) -> Mapping[str, list[tuple[Scalar, ...]]]:
    columns: dict[str, list[tuple[Scalar, ...]]] = {}
    for terms in wanted:
        for name, values in terms:
            columns.setdefault(name, []).append(values)
    return columns


def _values_of(match: Match, name: str) -> tuple[Scalar, ...]:
    """What a query says goes before what its events say, as in the alert."""
    if match.row is not None and name in match.row.columns:
        return _ordered(set(evaluate.values(match.row.columns, name)))
    return _common(match.documents, name) if match.documents else ()


def _common(documents: Sequence[Document], name: str) -> tuple[Scalar, ...]:
    """The values that all of them have, each once and in one order."""
    first, *others = (_values(document, name) for document in documents)
    return _ordered(value for value in first if all(value in one for one in others))


def _ordered(values: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(sorted(values, key=lambda value: (type(value).__name__, str(value))))


def _values(document: Document, name: str) -> list[Scalar]:
    """As the index holds them; what it does not hold, as it was logged."""
    held = evaluate.values(document.fields, name) or evaluate.values(document.source, name)
    return list(dict.fromkeys(held))


def _event_time(document: Document) -> datetime:
    time = inquiry.instant(document, questions.EVENT_TIME)
    return time if isinstance(time, datetime) else document.time
