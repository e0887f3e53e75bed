"""Events in their order, each with the steps it fits and its keys -> the sequences they complete.

What Elasticsearch's EQL does with one sequence at a time for each key and step: an event continues
the latest sequence that has come as far as the step before. What is too old to go on is forgotten,
so that memory is bounded by what is open.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from detector.model import Document

Key: TypeAlias = tuple[Any, ...]
Hits: TypeAlias = Mapping[int, Sequence[Key]]
"""The roles an event can take, with the keys it takes each under: several for arrays."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a sequence looks like; roles are numbers of conditions.

    `stages` are the events that have to come, in order. `absent[i]` may not come before stage `i`,
    the last of them not after all. `span` is the milliseconds from first to last, at most.
    """

    stages: tuple[int, ...]
    absent: tuple[tuple[int, ...], ...]
    span: int
    until: int | None = None

    @property
    def waits(self) -> bool:
        """Whether what comes after the last event still decides."""
        return bool(self.absent[-1])


@dataclass(frozen=True, slots=True)
class Completed:
    """A sequence; `due` is when it is certain, in milliseconds: at its last event, or later."""

    documents: tuple[Document, ...]
    key: Key
    due: int


@dataclass(frozen=True, slots=True)
class _Open:
    """A sequence on its way. `lead` is the last event of a leading `![ ]` before it began.

    `spoilt`: something came between two of its events. It goes on all the same, as it would not be
    tried again with others.
    """

    documents: tuple[Document, ...]
    first: int
    last: int
    number: int
    lead: int | None
    spoilt: bool = False


@dataclass(slots=True)
class _State:
    """What is open under one key, by stage; `seen` the last two times of each absent role."""

    open: list[_Open | None]
    touched: int
    ended: int = -1
    seen: dict[int, tuple[int, int | None]] = field(default_factory=dict)


@dataclass(slots=True)
class _Waiting:
    found: Completed
    first: int
    last: int
    lead: int | None
    over: bool = False


class Matcher:
    """Reads events in order, never looks back."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._states: OrderedDict[Key, _State] = OrderedDict()
        self._number = 0
        self._waited = 0
        self._waiting: list[tuple[int, int, _Waiting]] = []
        self._by_key: dict[Key, list[_Waiting]] = {}

    @property
    def open(self) -> int:
        """How many keys something is remembered of."""
        return len(self._states) + len(self._waiting)

    def feed(self, time: int, document: Document, hits: Hits) -> Iterator[Completed]:
        """The sequences that are certain now, earliest due first; `time` in milliseconds."""
        yield from self.due(time)
        self._forget(time - self._shape.span)
        self._number += 1
        for stage in reversed(range(len(self._shape.stages))):
            for key in hits.get(self._shape.stages[stage], ()):
                found = self._advance(stage, key, time, document)
                if found is not None:
                    yield found
        self._note(time, hits)

    def due(self, time: int) -> Iterator[Completed]:
        """Those that waited, and of which events from `time` on can say nothing any more."""
        while self._waiting and self._waiting[0][0] < time:
            *_, one = heapq.heappop(self._waiting)
            same = self._by_key[one.found.key]
            same.remove(one)
            if not same:
                del self._by_key[one.found.key]
            if not one.over:
                yield one.found

    def _forget(self, before: int) -> None:
        while self._states:
            state = next(iter(self._states.values()))
            if state.touched >= before:
                return
            self._states.popitem(last=False)

    def _state(self, key: Key, time: int, *, begin: bool) -> _State | None:
        state = self._states.get(key)
        if state is None:
            if not begin:
                return None
            state = self._states[key] = _State([None] * len(self._shape.stages), time)
        state.touched = time
        self._states.move_to_end(key)
        return state

    def _advance(self, stage: int, key: Key, time: int, document: Document) -> Completed | None:
        """Let the event take this stage; what it cannot continue is consumed all the same."""
        state = self._state(key, time, begin=stage == 0)
        if state is None:
            return None
        if stage == 0:
            lead = self._latest(state, self._shape.absent[0], time)
            going = _Open((document,), time, time, self._number, lead)
        else:
            before, state.open[stage - 1] = state.open[stage - 1], None
            if before is None or time - before.first > self._shape.span:
                return None
            if state.ended >= before.number:
                return None
            between = self._latest(state, self._shape.absent[stage], time)
            spoilt = before.spoilt or (between is not None and between > before.last)
            documents = (*before.documents, document)
            going = _Open(documents, before.first, time, self._number, before.lead, spoilt)
        if stage + 1 < len(self._shape.stages):
            state.open[stage] = going
            return None
        return None if going.spoilt else self._complete(going, key)

    def _latest(self, state: _State, roles: Sequence[int], time: int) -> int | None:
        """When one of these came last before `time`: at the same millisecond is not before."""
        times = [
            one
            for role in roles
            for one in state.seen.get(role, ())
            if one is not None and one < time
        ]
        return max(times, default=None)

    def _complete(self, found: _Open, key: Key) -> Completed | None:
        shape = self._shape
        near = found.lead is not None and found.last - found.lead <= shape.span
        if not shape.waits:
            return None if near else Completed(found.documents, key, found.last)
        if shape.absent[0] and not near:  # with both, one side alone does not spoil it
            return Completed(found.documents, key, found.last)
        begin = found.lead if shape.absent[0] and found.lead is not None else found.first
        due = begin + shape.span
        completed = Completed(found.documents, key, due)
        waiting = _Waiting(completed, found.first, found.last, found.lead)
        self._waited += 1
        heapq.heappush(self._waiting, (due, self._waited, waiting))
        self._by_key.setdefault(key, []).append(waiting)
        return None

    def _note(self, time: int, hits: Hits) -> None:
        """Remember what may not come, and what ends sequences."""
        shape = self._shape
        if shape.until is not None:
            for key in hits.get(shape.until, ()):
                if state := self._states.get(key):
                    state.ended = self._number
        for role in dict.fromkeys(role for roles in shape.absent for role in roles):
            for key in hits.get(role, ()):
                state = self._state(key, time, begin=role in shape.absent[0])
                if state is not None:
                    last, before = state.seen.get(role, (time, None))
                    state.seen[role] = (time, before if last == time else last)
                if role in shape.absent[-1]:
                    for one in self._by_key.get(key, ()):
                        one.over = one.over or time > one.last
