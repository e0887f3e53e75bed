"""One run of a sequence rule: what it asks, where partners may be, which sequences are its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from detector import questions
from detector.detect import joining
from detector.detect.joining import MILLISECOND, Joined, Keys, Values
from detector.detect.matching import Completed, Key
from detector.detect.merging import Ordered
from detector.language import dates, evaluate
from detector.model import Document, Match, Rule, Search, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""What can be asked for, wherever it is written down."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where partners may be: when they happened, and the values of their keys."""

    window: Window
    among: Values
    names: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """An event that matches may have: when it happened and what it joins by."""

    time: datetime
    role: int
    keys: tuple[Key, ...]


@dataclass(slots=True)
class Inquiry:
    """One run: what it asks, and which of the sequences found are its own."""

    rule: Rule
    window: Window
    joined: Joined
    fields: tuple[str, ...] = ()
    keys: Keys = field(init=False)
    told: set[tuple[tuple[str, str], ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.keys = Keys(self.joined.roles)

    @property
    def window_field(self) -> str:
        return questions.time_field(self.rule)

    @property
    def by_event_time(self) -> bool:
        """Whether the window is asked of the time that orders the events."""
        return self.window_field == self.joined.time_field

    @property
    def whole(self) -> Reach:
        """All that can be in a sequence with an event that happened in the window."""
        span, width = self.joined.span, len(self.joined.roles[0].keys)
        window = _around(self.window.start, self.window.end, span)
        return Reach(window, (None,) * width, (frozenset(),) * width)

    def search(self, role: int, reach: Reach) -> Search:
        asked = self.joined.roles[role]
        return Search(
            rule_id=self.rule.rule_id,
            index=self.rule.index,
            where=asked.where,
            window=reach.window,
            time_field=self.joined.time_field,
            fields=self.fields,
            among=joining.narrowing(asked, reach.among, reach.names),
        )

    def in_window(self, role: int) -> tuple[Search, ...]:
        """The events that are new by the rule's own time, as `detect.query` asks for them."""
        search = replace(
            self.search(role, self.whole), window=self.window, time_field=self.window_field
        )
        return questions.by_either_time(search, fallback=questions.falls_back(self.rule))

    def seeds(self, role: int, documents: Iterable[Document], reach: Reach) -> Iterator[Seed]:
        for document in documents:
            time = instant(document, self.joined.time_field)
            found = self.keys.of(role, joining.texts(document), reach.among)
            if found and isinstance(time, datetime):
                yield Seed(time, role, tuple(found))

    def reach(self, seeds: Sequence[Seed], inside: Reach) -> Reach:
        """Where the partners of `seeds` may be, as far as that lies `inside`."""
        times = [seed.time for seed in seeds]
        around = _around(min(times), max(times), self.joined.span)
        start, end = max(around.start, inside.window.start), min(around.end, inside.window.end)
        keys = [key for seed in seeds for key in seed.keys]
        found = joining.values_of(keys, len(inside.among))
        among = tuple(b if a is None else a for a, b in zip(found, inside.among, strict=True))
        used = [self.joined.roles[role].keys for role in {seed.role for seed in seeds}]
        names = tuple(
            frozenset(one[n].name for one in used) if found[n] is not None else inside.names[n]
            for n in range(len(found))
        )
        return Reach(Window(start, max(start, end)), among, names)

    def hits(self, event: Ordered, reach: Reach) -> Mapping[int, Sequence[Key]]:
        source = joining.texts(event.document)
        return {role: self.keys.of(role, source, reach.among) for role in event.roles}

    def fresh(self, document: Document) -> bool:
        """Whether the event is new to this window; one whose time cannot be read is."""
        if self.by_event_time:
            return self.window.start <= document.time < self.window.end
        time = instant(document, self.window_field)
        if time is None and self.rule.timestamp_fallback:
            time = instant(document, questions.EVENT_TIME)
        if isinstance(time, datetime):
            return self.window.start <= time < self.window.end
        return time is not None

    def own(self, found: Completed, *, late: bool) -> Match | None:
        """The match, where this run has to tell of it and has not yet."""
        due, window = EPOCH + timedelta(milliseconds=found.due), self.window
        waited = self.joined.shape.waits and window.start <= due < window.end
        if self.joined.shape.waits and due >= window.end:
            return None
        if not waited and not any(map(self.fresh, found.documents)):
            return None
        name = tuple((one.index, one.id) for one in found.documents)
        if name in self.told:
            return None
        if late:
            self.told.add(name)
        return Match(found.documents, self._again(due))

    def _again(self, due: datetime) -> datetime:
        """From when on a later run finds this match and what follows: a cap may stop this one."""
        if not self.by_event_time:
            return self.window.start
        return max(self.window.start, due if self.joined.shape.waits else due - self.joined.span)


def _around(start: datetime, end: datetime, span: timedelta) -> Window:
    """From `span` before to `span` after, both inside."""
    before, after = start - FIRST, LAST - end
    return Window(start - min(span, before), end + min(span + MILLISECOND, after))


def instant(document: Document, name: str) -> datetime | bool | None:
    """The time in a field, in milliseconds; None without one, True where it cannot be read."""
    values = evaluate.values(document.fields, name) or evaluate.values(document.source, name)
    if not values:
        return None
    span = dates.span(str(values[0]))
    if span is None:
        return True
    try:
        return EPOCH + timedelta(milliseconds=span[0] // dates.MILLISECOND)
    except OverflowError:
        return True
