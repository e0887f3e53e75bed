"""A detection in, one whose matches of the same values share an alert out: alert suppression.

https://www.elastic.co/docs/solutions/security/detect-and-alert/suppress-detection-alerts. The first
match opens an alert, which stands for those of the same values that happened within the duration.
The time is the event's: which alert a match belongs to does not depend on when it is found. Unlike
Kibana's, an alert says how many *different* matches it stands for, and says it anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from detector.detect import grouping, recounting
from detector.detect.grouping import MILLISECOND, Inquiry
from detector.detect.inquiry import FIRST, LAST
from detector.detect.recounting import Again, Tally, Terms
from detector.detect.relaying import relayed
from detector.model import (
    Alerted,
    Alike,
    Ask,
    Detection,
    Earlier,
    Found,
    Match,
    Page,
    Update,
    Window,
)

NEVER = -1


@dataclass(slots=True)
class Standing:
    """An alert and what it stands for: matches of `terms` from `first` to `last`, both inside.

    One that was written is in `index`. `counted` is the number of the question after which its
    matches were counted.
    """

    id: str
    key: str
    terms: Terms
    first: datetime
    last: datetime
    index: str = ""
    closed: bool = False
    counted: int = NEVER
    count: int = 1

    @property
    def alike(self) -> Alike:
        return Alike(self.key, self.terms, self.count, self.first, self.last)

    def told(self, alerted: Alerted) -> None:
        """Take in what the store says of it."""
        self.first, self.last = min(self.first, alerted.first), max(self.last, alerted.last)
        self.index, self.closed = alerted.index, alerted.closed


def suppressed(
    detection: Detection, again: Again, named: Callable[[Match], str | None]
) -> Detection:
    """Of matches alike the first, with how many it stands for; for alerts that exist, an update."""
    work = _Suppressing(again, named)
    return relayed(detection, work.turned, asking=work.asking)


def by_place(match: Match) -> str:
    """A name for a match by where its documents lie."""
    return repr([(document.index, document.id) for document in match.documents])


@dataclass(slots=True)
class _Suppressing:
    """One run: the alerts it knows of, by key, and how often it has asked for new events."""

    again: Again
    named: Callable[[Match], str | None]
    known: dict[str, dict[str, Standing]] = field(default_factory=dict)
    question: int = 0

    def asking(self, step: Ask) -> None:
        """A view from the end of a slot shows nothing that the count has not seen."""
        if recounting.is_fresh(step) and not self.again.rule.stepwise:
            self.question += 1

    def turned(self, found: Found) -> Detection:
        """The finding without the matches that an alert stands for already."""
        happened = [one for match in found.matches if (one := self._happened(match))]
        if not happened:
            yield found
            return
        yield from self._learn(happened)
        placed = self._placed(happened)
        touched = {one.standing.id: one.standing for one in placed}
        due = [one for one in touched.values() if one.counted < self.question]
        for some in grouping.batches(due, grouping.BATCH):
            yield from self._recount(some)
        kept = _kept(found.matches, placed)
        updates = tuple(Update(one.id, one.index, one.alike) for one in due if one.index)
        suppressed = len(found.matches) - len(kept)
        yield Found(kept, found.warnings, suppressed=suppressed, updates=updates)

    def _happened(self, match: Match) -> _Happened | None:
        """None for a match that is to have an alert of its own, or none at all."""
        terms, name = next(self.again.terms(match)), self.named(match)
        alone = not self.again.asked.missing and any(not values for _, values in terms)
        if alone or name is None:
            return None
        return _Happened(self.again.happened(match), grouping.key(terms), terms, name, match)

    def _learn(self, happened: Sequence[_Happened]) -> Inquiry[None]:
        """What alerts there are that may stand for these matches."""
        rule, duration = self.again.rule, self.again.asked.duration
        times = [one.time for one in happened]
        reach = Window(max(min(times), FIRST + duration) - duration, _after(max(times), duration))
        self._forget(reach.start)
        terms = {one.key: one.terms for one in happened}

        def take(_: int, page: Page) -> None:
            for one in grouping.whole(page).earlier:
                self._tell(one, terms[one.key])

        yield from grouping.ask_all(
            [
                Earlier(rule.rule_id, reach, tuple(keys), shadow=rule.shadow, suppression=True)
                for keys in grouping.batches(terms, grouping.BATCH)
            ],
            take,
        )

    def _tell(self, alerted: Alerted, terms: Terms) -> None:
        alike = self.known.setdefault(alerted.key, {})
        if alerted.id not in alike:
            first, last = alerted.first, alerted.last
            alike[alerted.id] = Standing(alerted.id, alerted.key, terms, first, last)
        alike[alerted.id].told(alerted)

    def _forget(self, before: datetime) -> None:
        """What ended before a time is not asked for any more; the store knows of it."""
        left = {
            key: {id_: one for id_, one in alike.items() if one.last >= before}
            for key, alike in self.known.items()
        }
        self.known = {key: alike for key, alike in left.items() if alike}

    def _placed(self, happened: Sequence[_Happened]) -> list[_Placed]:
        """Each match with the alert that stands for it, in the order they happened."""
        placed = []
        for one in sorted(happened, key=lambda one: one.time):
            found = self._holder(one.key, one.time) or self._following(one)
            placed.append(_Placed(one.match, found or self._open(one), opens=found is None))
        return placed

    def _open(self, one: _Happened) -> Standing:
        standing = Standing(one.name, one.key, one.terms, one.time, one.time)
        self.known.setdefault(one.key, {})[one.name] = standing
        return standing

    def _holder(self, key: str, time: datetime) -> Standing | None:
        """The alert that stands for what happened then: of several the one that began last."""
        begun = [one for one in self.known.get(key, {}).values() if one.first <= time]
        latest = max(begun, key=lambda one: (one.first, one.id), default=None)
        return latest if latest is not None and time < self._end(latest) else None

    def _following(self, happened: _Happened) -> Standing | None:
        """The next alert, where a late match is as near: it begins with that from now on."""
        alike = self.known.get(happened.key, {}).values()
        later = [one for one in alike if one.first > happened.time]
        found = min(later, key=lambda one: (one.first, one.id), default=None)
        if (
            found is None
            or found.closed
            or found.first - happened.time >= self.again.asked.duration
        ):
            return None
        found.first, found.counted = happened.time, NEVER
        return found

    def _end(self, standing: Standing) -> datetime:
        """Up to where an alert stands for what happens; a closed one takes no more than it has."""
        end = _after(standing.last, MILLISECOND)
        whole = _after(standing.first, self.again.asked.duration)
        return end if standing.closed else max(end, whole)

    def _recount(self, due: Sequence[Standing]) -> Inquiry[None]:
        """How many matches each of the alerts stands for by now."""
        span = Window(min(one.first for one in due), max(map(self._end, due)))
        tallies = {one.id: self.again.tally(self.named, one.first) for one in due}
        detection, reply = self.again.matches(span, [one.terms for one in due]), None
        while True:
            try:
                step = detection.send(reply)
            except StopIteration:
                break
            reply = None
            if isinstance(step, Ask):
                reply = yield step
                continue
            for match in step.matches:
                self._count(match, tallies)
        for one in due:
            tally = tallies[one.id]
            one.count = max(tally.count, 1)
            one.last = max(one.last, tally.last or one.last)
            one.counted = self.question

    def _count(self, match: Match, tallies: Mapping[str, Tally]) -> None:
        time = self.again.happened(match)
        for terms in self.again.terms(match):
            holder = self._holder(grouping.key(terms), time)
            if holder is not None and holder.id in tallies:
                tallies[holder.id].add(match, time)


@dataclass(frozen=True, slots=True)
class _Happened:
    """A match, when it happened, what it is compared by, and the id its alert would have."""

    time: datetime
    key: str
    terms: Terms
    name: str
    match: Match


@dataclass(frozen=True, slots=True)
class _Placed:
    """A match and the alert that stands for it, which it `opens` or not."""

    match: Match
    standing: Standing
    opens: bool


def _after(time: datetime, span: timedelta) -> datetime:
    """So much later, as far as there are dates: an event may claim any."""
    return min(time, LAST - span) + span


def _kept(matches: Sequence[Match], placed: Sequence[_Placed]) -> tuple[Match, ...]:
    """Those that are to have an alert, in the order of their time.

    A match that opens one has the time of the first that is suppressed into it: where a cap keeps
    the alert back, all of them have to be found again.
    """
    kept = {id(match): match for match in matches}
    times: dict[str, datetime] = {}
    for one in placed:
        del kept[id(one.match)]
        times[one.standing.id] = min(one.match.time, times.get(one.standing.id, one.match.time))
    opened = [
        replace(one.match, time=times[one.standing.id], alike=one.standing.alike)
        for one in placed
        if one.opens
    ]
    return tuple(sorted((*kept.values(), *opened), key=lambda match: match.time))
