"""What a sequence query finds, said slowly and plainly: lists of what is pending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from detector.detect.matching import Completed, Hits, Key, Shape
from detector.model import Document

Event = tuple[int, Document, Hits]


@dataclass(frozen=True)
class Pending:
    """The events of one key so far, by their numbers."""

    numbers: tuple[int, ...]


def completed(shape: Shape, events: Sequence[Event], now: int) -> list[Completed]:
    """The sequences that are certain at `now`, whatever their order."""
    keys = dict.fromkeys(key for _, _, hits in events for keys in hits.values() for key in keys)
    return [one for key in keys for one in _of_key(shape, events, key, now)]


def _of_key(shape: Shape, events: Sequence[Event], key: Key, now: int) -> Iterator[Completed]:
    stages: list[list[Pending]] = [[] for _ in shape.stages]
    for number, (_, _, hits) in enumerate(events):
        reached: list[tuple[int, Pending]] = []
        for stage, role in enumerate(shape.stages):
            if key not in hits.get(role, ()):
                continue
            if stage == 0:
                reached.append((0, Pending((number,))))
                continue
            waiting = stages[stage - 1]
            stages[stage - 1] = [one for one in waiting if one.numbers[-1] >= number]
            older = [one for one in waiting if one.numbers[-1] < number]
            if older and _goes_on(shape, events, key, older[-1], number):
                reached.append((stage, Pending((*older[-1].numbers, number))))
        for stage, pending in reached:
            if stage < len(stages) - 1:
                stages[stage].append(pending)
            elif (due := _due(shape, events, key, pending, now)) is not None:
                documents = tuple(events[n][1] for n in pending.numbers)
                yield Completed(documents, key, due)


def _goes_on(
    shape: Shape, events: Sequence[Event], key: Key, pending: Pending, number: int
) -> bool:
    if events[number][0] - events[pending.numbers[0]][0] > shape.span:
        return False
    between = range(pending.numbers[-1], number)
    until = shape.until
    return until is None or not any(key in events[n][2].get(until, ()) for n in between)


def _due(shape: Shape, events: Sequence[Event], key: Key, pending: Pending, now: int) -> int | None:
    """When it is certain; None where an absent event is there, or may still come."""
    times = [events[n][0] for n in pending.numbers]

    def of(roles: tuple[int, ...]) -> list[int]:
        return [t for t, _, hits in events if any(key in hits.get(role, ()) for role in roles)]

    for roles, (before, after) in zip(shape.absent[1:-1], pairwise(times), strict=True):
        if any(before < t < after for t in of(roles)):
            return None
    leading = [t for t in of(shape.absent[0]) if t < times[0]]
    trailing = [t for t in of(shape.absent[-1]) if t > times[-1]]
    if shape.absent[0] and shape.absent[-1]:
        if not leading or times[-1] - leading[-1] > shape.span:
            return times[-1]
        bad = any(t - leading[-1] <= shape.span for t in trailing)
        due = leading[-1] + shape.span
    elif shape.absent[0]:
        bad, due = bool(leading) and times[-1] - leading[-1] <= shape.span, times[-1]
    elif shape.absent[-1]:
        bad, due = any(t - times[0] <= shape.span for t in trailing), times[0] + shape.span
    else:
        return times[-1]
    waits = bool(shape.absent[-1])
    return None if bad or (waits and due >= now) else due
