"""A rule and the slots of its grid in, questions about groups of its events out; what is answered.

A group is the events that have the same values in some fields. What threshold and new_terms share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

from detector import questions
from detector.errors import Unavailable
from detector.language.tree import Equals, Everything, Node, Scalar, all_of
from detector.model import (
    Alerted,
    Ask,
    Bucket,
    Buckets,
    Document,
    Earlier,
    Group,
    Page,
    Question,
    Rule,
    Search,
    Window,
)
from detector.windows import cut, merged, on_grid

T = TypeVar("T")
Inquiry: TypeAlias = Generator[Ask, tuple[Page, ...] | None, T]
"""A part of a detection that only asks, and returns what it learnt."""
Terms: TypeAlias = tuple[tuple[str, Scalar], ...]

MILLISECOND = timedelta(milliseconds=1)
EVERYTHING = Everything()
"""One for all: stores remember what they have made of a condition by its identity."""
BATCH = 500
"""Values of a question, and keys: what a request holds stays small."""
FEW, PARTS, MOST_PIECES = 300, 16, 1_000
"""Slots that are asked one by one; parts into which more of them are cut; parts at the most."""
CLOSE = 100
"""Groups that are looked at closely together: a question each."""


def views(rule: Rule, window: Window) -> Iterator[tuple[Window, Window]]:
    """Each slot of `window` with the view from its end: exactly from `from` to `to`."""
    for slot in cut(window, rule.interval):
        yield slot, Window(slot.end - rule.lookback, slot.end - rule.delay)


def inhabited(rule: Rule, window: Window) -> Inquiry[Iterator[tuple[Window, Window]]]:
    """As `views`; of a window of very many slots, those from which some event is seen."""
    spans, pieces = [window], [window]
    while any(_slots(rule, span) > FEW for span in spans) and len(pieces) <= MOST_PIECES:
        pages = yield from ask(*(counting(rule, _seen(rule, piece), ()) for piece in pieces))
        spans = [
            _seeing(rule, piece, bucket)
            for piece, page in zip(pieces, pages, strict=True)
            for bucket in whole(page).buckets
        ]
        pieces = [part for span in spans for part in _divided(rule, span)]
    return (one for span in merged(spans) for one in views(rule, span))


def _slots(rule: Rule, window: Window) -> int:
    return (window.end - window.start) // rule.interval


def _seen(rule: Rule, slots: Window) -> Window:
    """All that is seen from these slots' ends."""
    return Window(slots.start - rule.lookback, slots.end - rule.delay)


def _seeing(rule: Rule, slots: Window, bucket: Bucket) -> Window:
    """Those of the slots from whose ends an event of the bucket may be seen."""
    start = on_grid(bucket.first + rule.delay, rule.interval)
    end = on_grid(bucket.last + rule.lookback, rule.interval) + rule.interval
    return Window(max(start, slots.start), min(end, slots.end))


def _divided(rule: Rule, slots: Window) -> list[Window]:
    """In parts that begin where slots do, if they are too many to be looked at one by one."""
    if _slots(rule, slots) <= FEW:
        return [slots]
    step = (_slots(rule, slots) // PARTS + 1) * rule.interval
    return list(cut(slots, step))


def counting(rule: Rule, view: Window, by: Sequence[str]) -> Buckets:
    """How many of the rule's events there are for each combination of values."""
    return Buckets(
        rule_id=rule.rule_id,
        index=rule.index,
        where=cast("Node", rule.where),
        window=view,
        time_field=questions.time_field(rule),
        fallback=questions.falls_back(rule),
        by=tuple(by),
    )


def having(terms: Terms) -> Node | None:
    """The condition that a document has these values; None where there are none."""
    return all_of([Equals(name, value) for name, value in terms]) if terms else None


def terms(by: Sequence[str], bucket: Bucket) -> Terms:
    """The values that a bucket of `counting` stands for."""
    return tuple(zip(by, bucket.key, strict=True))


def key(terms_: Iterable[tuple[str, Any]]) -> str:
    """What stands for these terms in every alert of a rule."""
    text = json.dumps([list(term) for term in terms_], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def ask(*questions: Question) -> Inquiry[tuple[Page, ...]]:
    """A page for each."""
    pages = yield Ask(questions)
    return cast("tuple[Page, ...]", pages)


def ask_all(questions: Iterable[Question], take: Callable[[int, Page], None]) -> Inquiry[None]:
    """Every page of each; `take` is given each page and the number of its question."""
    pending: dict[int, Question] = dict(enumerate(questions))
    while pending:
        pages = yield from ask(*pending.values())
        following: dict[int, Question] = {}
        for number, page in zip(pending, pages, strict=True):
            take(number, page)
            if page.next is not None:
                following[number] = page.next
        pending = following


def whole(page: Page) -> Page:
    """The page, where nothing is missing in it for now.

    Raises `Unavailable`: what was there before must be known before something can be new.
    """
    if page.incomplete and page.transient:
        raise Unavailable(page.incomplete)
    return page


def first_documents(
    questions: Sequence[Sequence[Search]],
) -> Inquiry[list[list[Document]]]:
    """For each of `questions` the documents its searches find together, oldest first."""
    flat = [search for searches in questions for search in searches]
    pages = iter((yield from ask(*flat)) if flat else ())
    found = []
    for searches in questions:
        documents = [document for _ in searches for document in next(pages).documents]
        found.append(sorted(documents, key=lambda one: (one.time, one.index, one.id)))
    return found


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """`items` in lists of at most `size`."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


@dataclass(slots=True)
class Said:
    """What a rule's alerts have said: by earlier runs, and by this one though not yet written."""

    rule: Rule
    own: dict[str, list[Alerted]] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        told = Alerted(group.key, group.first, group.last, "")
        self.own.setdefault(group.key, []).append(told)

    def forget(self, before: Window) -> None:
        """What lies before a window is not asked for any more."""
        left = {k: [a for a in told if a.last >= before.start] for k, told in self.own.items()}
        self.own = {k: told for k, told in left.items() if told}

    def about(self, keys: Iterable[str], window: Window) -> Inquiry[dict[str, list[Window]]]:
        """The spans of alerts with these keys that reach into `window`."""
        found: dict[str, list[Window]] = {}
        asked = list(keys)

        def take(_: int, page: Page) -> None:
            for one in whole(page).earlier:
                found.setdefault(one.key, []).append(_span(one))

        some = [
            Earlier(self.rule.rule_id, window, tuple(batch), shadow=self.rule.shadow)
            for batch in batches(asked, BATCH)
        ]
        yield from ask_all(some, take)
        for one in (told for k in asked for told in self.own.get(k, ())):
            span = _span(one)
            if span.start < window.end and span.end > window.start:
                found.setdefault(one.key, []).append(span)
        return found


def _span(alerted: Alerted) -> Window:
    return Window(alerted.first, alerted.last + MILLISECOND)
