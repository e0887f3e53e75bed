"""sequence: events in an order, joined by keys, one match for each sequence they complete.

A run answers for the sequences that have an event of its window (`to` as the rule's own time field
has it, event.ingested as a rule). Their other events are looked for by the time they happened, as
far as `maxspan` reaches, whenever they were ingested. What the matcher finds around an event does
not depend on where the looking begins, so that runs that overlap find the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeAlias, cast

from detector.detect import joining, pipes
from detector.detect.inquiry import EPOCH, FIRST, LAST, Inquiry, Reach, Seed
from detector.detect.joining import MILLISECOND
from detector.detect.matching import Completed, Matcher
from detector.detect.merging import Order, Ordered, Stream, ready
from detector.language import tree
from detector.model import Ask, Detection, Found, Page, Rule, Search, Window

MOST_STRETCHES = 16
"""Stretches of time that are looked through for the late events of one page each."""

Asked: TypeAlias = tuple[Page, ...]
Opening: TypeAlias = "Generator[Ask, Asked | None, tuple[list[Stream], Reach] | None]"


def searches(rule: Rule, window: Window) -> tuple[Search, ...]:
    """The events of the first step: there are no more sequences than these, but for arrays."""
    work = Inquiry(rule, window, joining.of(rule))
    return tuple(work.in_window(work.joined.shape.stages[0]))


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Matches in an order in which each is found again by a run from its time on."""
    joined = joining.of(rule)
    work = Inquiry(rule, window, joined, tuple(dict.fromkeys((*fields, *joined.fields))))
    return pipes.cut(_sequences(work), joined.pipes)


def _sequences(work: Inquiry) -> Detection:
    if work.joined.impossible:
        return
    if not work.by_event_time:
        yield from _late(work)
    yield from _on_time(work)


def _on_time(work: Inquiry) -> Detection:
    """Sequences with an event that happened in the window; most often there is no such event."""
    window = work.window
    if work.joined.shape.waits:  # what happened before may have become certain only now
        window = Window(work.whole.window.start, window.end)
    first = replace(work.whole, window=window)
    needed = work.joined.needed
    pages = cast("Asked", (yield Ask(tuple(work.search(role, first) for role in needed))))
    if not any(page.documents or page.next for page in pages):
        return
    reach = work.whole
    if all(page.next is None for page in pages):
        seeds = [
            seed
            for role, page in zip(needed, pages, strict=True)
            for seed in work.seeds(role, page.documents, reach)
        ]
        if not seeds:
            return
        reach = work.reach(seeds, reach)
    yield from _through(work, reach, late=False)


def _late(work: Inquiry) -> Detection:
    """Sequences with an event that was ingested in the window and happened outside it."""
    name, (start, end) = work.joined.time_field, (work.window.start, work.window.end)
    outside = tree.any_of(
        (
            tree.Compare(name, "<", _stamp(start)),
            tree.Compare(name, ">=", _stamp(end)),
        )
    )
    streams = [
        Stream(role, replace(search, among=outside))
        for role in work.joined.needed
        for search in work.in_window(role)
        if search.time_field != name
    ]
    while asking := [stream for stream in streams if stream.next]:
        searches = tuple(cast("Search", stream.next) for stream in asking)
        pages = cast("Asked", (yield Ask(searches)))
        seeds: list[Seed] = []
        for stream, page in zip(asking, pages, strict=True):
            stream.next = cast("Search | None", page.next)
            seeds += work.seeds(stream.role, page.documents, work.whole)
        everywhere = replace(work.whole, window=Window(FIRST, LAST))
        for stretch in _stretches(seeds, 2 * work.joined.span):
            yield from _through(work, work.reach(stretch, everywhere), late=True)


def _through(work: Inquiry, reach: Reach, *, late: bool) -> Detection:
    """All sequences in a stretch of time, oldest first."""
    shape = work.joined.shape
    opened = yield from _opened(work, reach)
    if opened is None:
        return
    streams, reach = opened
    others = {*(role for roles in shape.absent for role in roles), shape.until} - {None}
    for role in sorted(cast("set[int]", others - {stream.role for stream in streams})):
        streams.append(Stream(role, work.search(role, reach)))
    matcher = Matcher(shape)
    order = Order(work.joined.time_field, work.joined.tiebreaker)
    while any(stream.open for stream in streams):
        hungry = [stream for stream in streams if stream.hungry and stream.next]
        if hungry:
            searches = tuple(cast("Search", stream.next) for stream in hungry)
            for stream, page in zip(hungry, cast("Asked", (yield Ask(searches))), strict=True):
                stream.feed(page)
        found = _fed(work, matcher, ready(streams, order), reach)
        yield from _told(work, found, late=late)
    yield from _told(work, matcher.due(_milliseconds(reach.window.end)), late=late)


def _opened(work: Inquiry, reach: Reach) -> Opening:
    """The first pages of what every sequence has; None where something of it is not there.

    The step with the fewest events says where the others have to be looked for.
    """
    needed = work.joined.needed
    streams = [Stream(role, work.search(role, reach)) for role in needed]
    pages = cast("Asked", (yield Ask(tuple(cast("Search", one.next) for one in streams))))
    for stream, page in zip(streams, pages, strict=True):
        stream.feed(page)
    if not all(stream.open for stream in streams):
        return None
    complete = [stream for stream in streams if stream.next is None]
    if not complete or len(complete) == len(streams):
        return streams, reach
    rarest = min(complete, key=lambda stream: len(stream.documents))
    seeds = list(work.seeds(rarest.role, rarest.documents, reach))
    if not seeds:
        return None
    narrow = work.reach(seeds, reach)
    again = [Stream(one.role, work.search(one.role, narrow)) for one in streams if one.next]
    return [*complete, *again], narrow


def _fed(
    work: Inquiry, matcher: Matcher, events: Iterable[Ordered], reach: Reach
) -> Iterator[Completed]:
    for event in events:
        hits = work.hits(event, reach)
        yield from matcher.feed(_milliseconds(event.document.time), event.document, hits)


def _told(work: Inquiry, found: Iterable[Completed], *, late: bool) -> Detection:
    own = tuple(match for one in found if (match := work.own(one, late=late)))
    if own:
        yield Found(own)


def _stretches(seeds: Sequence[Seed], apart: timedelta) -> Iterator[list[Seed]]:
    """Seeds by when they happened: those far from others apart, but not too many times."""
    ordered = sorted(seeds, key=lambda seed: seed.time)
    gaps = [
        (later.time - sooner.time, at + 1)
        for at, (sooner, later) in enumerate(pairwise(ordered))
        if later.time - sooner.time > apart
    ]
    edges = sorted(at for _, at in sorted(gaps)[-(MOST_STRETCHES - 1) :])
    for start, end in zip([0, *edges], [*edges, len(ordered)], strict=True):
        if start < end:
            yield ordered[start:end]


def _milliseconds(time: datetime) -> int:
    return (time - EPOCH) // MILLISECOND


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
