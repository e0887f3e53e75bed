"""new_terms: the first event with values that none had before, back to where the history begins.

https://www.elastic.co/guide/en/security/current/rules-ui-create.html#create-new-terms-rule. The
view from the end of each slot is asked for its values, and its history for those of them it has:
in batches, so that no query grows with what is found. Values that an alert inside the history has
told of already are not new, which is where Kibana alerts twice when runs overlap (kibana#174148).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from detector import questions
from detector.detect import grouping
from detector.detect.grouping import Inquiry, Said, Terms
from detector.errors import RuleError
from detector.language.tree import OneOf, Scalar, all_of
from detector.model import (
    Bucket,
    Buckets,
    Detection,
    Found,
    Group,
    Match,
    Page,
    Rule,
    Window,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of the grid: what is seen from its end, and what lies before that."""

    window: Window
    view: Window
    history: Window


def by(rule: Rule) -> tuple[str, ...]:
    """The fields whose values, taken together, are looked at."""
    return tuple(rule.parameters["new_terms_fields"])


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Slot by slot: what is new in one is not in those after it."""
    said = Said(rule)
    for slot_window, view in (yield from grouping.inhabited(rule, window)):
        history = Window(slot_window.end - rule.history, view.start)
        slot = Slot(slot_window, view, history)
        said.forget(Window(min(history.start, view.start), view.end))
        following: Any = grouping.counting(rule, view, by(rule))
        while following is not None:
            (page,) = yield from grouping.ask(following)
            new = yield from _new(rule, slot, page.buckets, said)
            for some in grouping.batches(new, grouping.CLOSE):
                yield Found((yield from _matches(rule, slot, some, fields)))
            following = page.next


def _new(rule: Rule, slot: Slot, buckets: Sequence[Bucket], said: Said) -> Inquiry[list[Group]]:
    """The groups whose values neither the history nor an alert has, oldest first."""
    known = yield from _known(rule, slot, buckets)
    groups = [_group(rule, bucket) for bucket in buckets if bucket.key not in known]
    reach = Window(min(slot.history.start, slot.view.start), slot.view.end)
    told = yield from said.about([group.key for group in groups], reach)
    new = [group for group in groups if group.key not in told]
    for group in new:
        said.add(group)
    return sorted(new, key=lambda group: (group.first, group.key))


def _known(rule: Rule, slot: Slot, buckets: Sequence[Bucket]) -> Inquiry[set[tuple[Scalar, ...]]]:
    """Those of the buckets' keys that the history has."""
    if slot.history.start >= slot.history.end:
        return set()
    wanted = {bucket.key for bucket in buckets}
    known: set[tuple[Scalar, ...]] = set()

    def take(_: int, page: Page) -> None:
        buckets = grouping.whole(page).buckets
        known.update(bucket.key for bucket in buckets if bucket.key in wanted)

    some = [_in_history(rule, slot, b) for b in grouping.batches(buckets, grouping.BATCH)]
    yield from grouping.ask_all(some, take)
    return known


def _in_history(rule: Rule, slot: Slot, buckets: Sequence[Bucket]) -> Buckets:
    """Narrowed down field by field: of several fields more may come back than is asked for."""
    columns = zip(by(rule), zip(*(bucket.key for bucket in buckets), strict=True), strict=True)
    among = all_of([OneOf(name, tuple(dict.fromkeys(values))) for name, values in columns])
    return replace(grouping.counting(rule, slot.history, by(rule)), among=among)


def _group(rule: Rule, bucket: Bucket) -> Group:
    terms = grouping.terms(by(rule), bucket)
    return Group(grouping.key(terms), terms, bucket.count, bucket.first, bucket.last)


def _matches(
    rule: Rule, slot: Slot, groups: Sequence[Group], fields: tuple[str, ...]
) -> Inquiry[tuple[Match, ...]]:
    """The oldest document of each."""
    asked = [questions.finding(_of(rule, slot, group.terms), fields, 1) for group in groups]
    found = yield from grouping.first_documents(asked)
    for group, documents in zip(groups, found, strict=True):
        if not documents:
            raise RuleError(f"no document has {_told(group.terms)}, which was counted just now")
    return tuple(
        Match((documents[0],), slot.window.start, group)
        for group, documents in zip(groups, found, strict=True)
    )


def _of(rule: Rule, slot: Slot, terms: Terms) -> Buckets:
    return replace(grouping.counting(rule, slot.view, ()), among=grouping.having(terms))


def _told(terms: Terms) -> str:
    return ", ".join(f"{name} {value}" for name, value in terms)
