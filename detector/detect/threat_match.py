"""threat_match: every event that has the same values as an indicator.

https://www.elastic.co/docs/solutions/security/detect-and-alert/create-detection-rule. Where events
are fewer than indicators all events are read; otherwise only those that have a value of some
indicator, one batch of values after another. Either way an event is then compared with the
indicators that have its values: it makes one alert, which tells of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from detector.detect import comparing, grouping, query
from detector.detect.comparing import Batch
from detector.detect.grouping import EVERYTHING, Inquiry
from detector.detect.inquiry import FIRST, LAST
from detector.detect.relaying import relayed
from detector.language import datemath, dsl
from detector.language.fields import ECS
from detector.language.tree import Exists, Node, OneOf, all_of, any_of
from detector.model import (
    Buckets,
    Detection,
    Document,
    Found,
    Indicators,
    Match,
    Page,
    Pair,
    Question,
    Rule,
    Search,
    Window,
)
from detector.questions import EVENT_TIME

TOGETHER = 2_000
"""Values of events that are looked up in one search."""
REMEMBERED = 100_000
"""Events of which is known that they have been found already; ids absorb what is found again."""


@dataclass(frozen=True)
class Comparison:
    """One run: what it asks of events and of indicators."""

    rule: Rule
    window: Window
    fields: tuple[str, ...]

    @property
    def asked(self) -> Indicators:
        return cast("Indicators", self.rule.indicators)

    @cached_property
    def which(self) -> Node:
        """The indicators to compare with, seen from the end of the window."""
        return datemath.resolved(self.asked.where, self.window.end)

    @cached_property
    def listed(self) -> Node:
        """The condition on indicators as far as they can be counted by it."""
        return sendable(self.which)

    @cached_property
    def leading(self) -> tuple[Pair, ...]:
        """A pair of each group that has to be equal: it leads to the events of the group."""
        firsts = (next(one for one in group if not one.negate) for group in self.asked.groups)
        return tuple(dict.fromkeys(firsts))

    def events(self) -> tuple[Search, ...]:
        names = (pair.field for group in self.asked.groups for pair in group)
        fields = tuple(dict.fromkeys((*self.fields, *names)))
        return query.searches(self.rule, self.window, fields)

    def indicators(self, among: Node) -> Search:
        names = (pair.value for group in self.asked.groups for pair in group)
        return Search(
            rule_id=self.rule.rule_id,
            index=self.asked.index,
            where=self.which,
            window=Window(FIRST, LAST),
            time_field=EVENT_TIME,
            fields=tuple(dict.fromkeys(names)),
            among=among,
        )

    def counted(self) -> tuple[Buckets, Buckets]:
        """How many events and indicators there may be that have what is compared."""
        groups = self.asked.groups
        own = any_of(all_of(Exists(p.field) for p in g if not p.negate) for g in groups)
        theirs = any_of(all_of(Exists(p.value) for p in g) for g in groups)
        among = all_of((sendable(cast("Node", self.rule.where)), own))
        events = grouping.counting(self.rule, self.window, ())
        return replace(events, where=EVERYTHING, among=among), self._counting((), theirs)

    def values(self, pair: Pair) -> Buckets:
        """The values of a field that indicators have."""
        return self._counting((pair.value,), Exists(pair.value))

    def _counting(self, by: tuple[str, ...], among: Node) -> Buckets:
        return Buckets(
            rule_id=self.rule.rule_id,
            index=self.asked.index,
            where=self.listed,
            window=Window(FIRST, LAST),
            time_field=EVENT_TIME,
            by=by,
            among=among,
        )


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Events in the order of their time where all are read, else in that of the indicators."""
    run = Comparison(rule, window, fields)
    own, theirs = yield from grouping.ask(*run.counted())
    events, indicators = _count(own), _count(theirs)
    if not indicators and not theirs.warning and not theirs.incomplete:
        listed = ", ".join(run.asked.index)
        yield Found(warnings=(f"no indicator in {listed} satisfies the rule's threat_query",))
    elif events and indicators and events < indicators:
        yield from _compared(run, query.read(run.events()))
    elif events and indicators:
        yield from _by_value(run)


def sendable(where: Node) -> Node:
    """What of the condition a query says whole: all that satisfies it satisfies this as well."""
    parts = dsl.conjuncts(where)
    return all_of(part for part in parts if dsl.translate(part, ECS).residual is None)


def _count(page: Page) -> int:
    return sum(bucket.count for bucket in page.buckets)


def _compared(run: Comparison, detection: Detection) -> Detection:
    """Of the matches of `detection` those that meet an indicator, told of it."""

    def compared(found: Found) -> Detection:
        documents = [match.documents[0] for match in found.matches]
        for events in comparing.batches(run.asked, documents, TOGETHER):
            met = yield from _met(run, Batch(run.asked, events))
            if met:
                yield Found(tuple(Match((one,), one.time) for one in met))

    return relayed(detection, compared)


def _met(run: Comparison, batch: Batch) -> Inquiry[list[Document]]:
    """The events of the batch that meet an indicator; pages are read until none can tell more."""
    following: Question | None = run.indicators(batch.condition())
    while following is not None and not batch.full:
        (page,) = yield from grouping.ask(following)
        batch.take(page.documents)
        following = page.next
    return list(batch.shown())


def _by_value(run: Comparison) -> Detection:
    """The events of one batch of values after another: neither requests nor memory grow.

    A later batch may bring older events, so a run that is stopped by its cap begins anew.
    """
    told: set[tuple[str, str]] = set()
    for pair in run.leading:
        following: Question | None = run.values(pair)
        while following is not None:
            (page,) = yield from grouping.ask(following)
            if page.incomplete and not page.transient:  # a field whose values cannot be listed
                yield from _untold(_compared(run, query.read(run.events())), run, told)
                return
            values = (bucket.key[0] for bucket in page.buckets)
            for some in grouping.batches(values, run.asked.batch):
                among = OneOf(pair.field, tuple(some))
                searches = [replace(search, among=among) for search in run.events()]
                yield from _untold(_compared(run, query.read(searches)), run, told)
            following = page.next


def _untold(detection: Detection, run: Comparison, told: set[tuple[str, str]]) -> Detection:
    """Without the events that another batch has found."""

    def untold(found: Found) -> Detection:
        new = [match for match in found.matches if _name(match) not in told]
        if len(told) < REMEMBERED:
            told.update(map(_name, new))
        if new:
            yield Found(tuple(replace(match, time=run.window.start) for match in new))

    return relayed(detection, untold)


def _name(match: Match) -> tuple[str, str]:
    return match.documents[0].index, match.documents[0].id
