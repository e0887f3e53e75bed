"""Events of a cluster and a rule in; the example they make out: small, and telling of nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from detector.detect.verdict import fields, questions, verdict
from detector.errors import DetectorError
from detector.language import pattern, tree
from detector.language.explain import Answer, Explanation
from detector.language.fields import ECS, Kind, kind_of
from detector.language.saying import stands_for_several
from detector.language.values import parent_of
from detector.model import Rule, Source
from detector.questions import EVENT_TIME, time_field
from detector.rulefile import pseudonyms
from detector.rulefile.pseudonyms import Pseudonyms
from detector.store.memory import instant

IDENTIFYING = ("@timestamp", "event.id", "event.category", "event.type", "event.dataset")
TIMES = ("@timestamp", "event.ingested", "event.created", "event.start", "event.end")
AGO = timedelta(seconds=30)
SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)

Change = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Reduced:
    """Events with what the rule names; `kept` are fields that tell of somebody all the same."""

    events: tuple[dict[str, Any], ...]
    history: tuple[dict[str, Any], ...] = ()
    replaced: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Names:
    """Which names a rule goes by, those with `*` as what they stand for."""

    whole: set[str] = field(default_factory=set)
    fits: Callable[[str], bool] = lambda _: False

    @classmethod
    def of(cls, names: Sequence[str]) -> _Names:
        plain = {name for name in names if not stands_for_several(name)}
        parents = {parent for name in plain if (parent := parent_of(name, ECS))}
        several = tuple(name for name in names if stands_for_several(name))
        return cls(plain | parents, pattern.glob(several, False) if several else lambda _: False)

    def __contains__(self, name: str) -> bool:
        return name in self.whole or self.fits(name)


def reduced(rule: Rule, events: Sequence[Source], history: Sequence[Source] = ()) -> Reduced:
    """The events, and what was logged before them, with the rule's answer to each clause as it was.

    Users, hosts and addresses are replaced but for fields that the rule compares with values, and
    where the answer would be another one. Raises `DetectorError` where only Elasticsearch can tell.
    """
    sources = [*history, *events]
    names = _Names.of([*IDENTIFYING, *fields(rule), time_field(rule)])
    small = [_kept(source, names) for source in sources]
    wanted = [_answers(rule, source) for source in sources]
    if any(None in answer for answer in wanted) or not any(wanted):
        raise DetectorError("only Elasticsearch can judge this rule: an example proves nothing")
    if [_answers(rule, one) for one in small] != wanted:
        raise DetectorError("the rule answers otherwise without the fields it does not name")
    compared = _compared(rule)
    fixed = {name for name in _telling(small) if name in compared}
    replaced = _replaced(rule, sources, small, wanted, fixed)
    changed = _telling(small) - _telling_alike(small, replaced)
    dated = _dated(rule, replaced, compared)
    before, after = tuple(dated[: len(history)]), tuple(dated[len(history) :])
    return Reduced(after, before, frozenset(changed), frozenset(_telling(small) - changed))


def _replaced(
    rule: Rule,
    sources: Sequence[Source],
    small: Sequence[Source],
    wanted: Sequence[tuple[Answer, ...]],
    fixed: set[str],
) -> list[dict[str, Any]]:
    """With pseudonyms everywhere but in `fixed`; one that changes an answer is taken back."""
    telling = _telling(small)  # they come first: who it is matters more than where else it is said
    left = sorted(set(_texts(small)) - fixed, key=lambda name: (name not in telling, name))
    changed = _named(sources, small, fixed)
    if [_answers(rule, one) for one in changed] == wanted:
        return changed
    fixed |= set(left)
    for name in left:
        fixed.discard(name)
        if [_answers(rule, one) for one in _named(sources, small, fixed)] != wanted:
            fixed.add(name)
    return _named(sources, small, fixed)


def _named(
    sources: Sequence[Source], small: Sequence[Source], fixed: set[str]
) -> list[dict[str, Any]]:
    given = Pseudonyms()
    for source in sources:
        given.learn(source)
    for name, value in _leaves(small):
        if name in fixed:
            given.keep(name, value)

    def change(name: str, value: Any) -> Any:
        kept = name in fixed or name in IDENTIFYING or kind_of(name, ECS) is Kind.DATE
        return given.of(name, value) if isinstance(value, str) and not kept else value

    return [_changed(one, change) for one in small]


def _compared(rule: Rule) -> _Names:
    """The fields whose values the rule compares with others: more than that they are there."""
    names: set[str] = set()
    for question in questions(rule):
        for leaf in tree.leaves(question.where):
            if not isinstance(leaf, tree.Exists) and not _asks_for_any(leaf):
                names |= tree.fields_of(leaf)
    return _Names.of(sorted(names))


def _asks_for_any(leaf: tree.Leaf) -> bool:
    return isinstance(leaf, tree.Like) and set(leaf.patterns) <= {"*"}


def _answers(rule: Rule, source: Source) -> tuple[Answer, ...]:
    """What became of every clause, in the order of the query."""
    found: list[Answer] = []
    for condition in verdict(rule, source).conditions:
        found += _held(condition.explanation)
    return tuple(found)


def _held(explanation: Explanation) -> Iterator[Answer]:
    yield explanation.held
    for child in explanation.children:
        yield from _held(child)


def _kept(value: Mapping[str, Any], names: _Names, above: str = "") -> dict[str, Any]:
    """The part of an event that is named, in its own layout."""
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{above}{key}"
        if name in names:
            kept[key] = inner
        elif isinstance(inner, Mapping):
            if below := _kept(inner, names, f"{name}."):
                kept[key] = below
        elif isinstance(inner, list):
            objects = [_kept(one, names, f"{name}.") for one in inner if isinstance(one, Mapping)]
            if some := [one for one in objects if one]:
                kept[key] = some
    return kept


def _changed(value: Mapping[str, Any], change: Change, above: str = "") -> dict[str, Any]:
    def of(name: str, inner: Any) -> Any:
        if isinstance(inner, Mapping):
            return _changed(inner, change, f"{name}.")
        return [of(name, one) for one in inner] if isinstance(inner, list) else change(name, inner)

    return {key: of(f"{above}{key}", inner) for key, inner in value.items()}


def _leaves(sources: Sequence[Source]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def note(name: str, value: Any) -> Any:
        found.append((name, value))
        return value

    for source in sources:
        _changed(source, note)
    return found


def _texts(sources: Sequence[Source]) -> list[str]:
    names = (name for name, value in _leaves(sources) if isinstance(value, str))
    return list(dict.fromkeys(names))


def _telling(sources: Sequence[Source]) -> set[str]:
    """The fields of users, hosts and addresses."""
    return {name for name, value in _leaves(sources) if pseudonyms.kind_of(name, value)}


def _telling_alike(before: Sequence[Source], after: Sequence[Source]) -> set[str]:
    """Those of the fields that tell of somebody in which some value is as it was."""
    pairs = zip(_leaves(before), _leaves(after), strict=True)
    return {name for (name, was), (_, now) in pairs if was == now and pseudonyms.kind_of(name, was)}


def _dated(rule: Rule, events: Sequence[dict[str, Any]], compared: _Names) -> list[dict[str, Any]]:
    """Times as so long before the run: of the newest event the rule's own time is 30 seconds."""
    primary = time_field(rule)
    times = [instant(one, primary) or instant(one, EVENT_TIME) for one in events]
    newest = max((time for time in times if time), default=None)
    if newest is None:
        return list(events)
    end = newest + AGO + rule.delay

    def change(name: str, value: Any) -> Any:
        is_time = name in TIMES or (name == primary and kind_of(name, ECS) is Kind.DATE)
        time = instant({name: value}, name) if is_time and name not in compared else None
        return value if time is None else _ago(end - time)

    return [_changed(one, change) for one in events]


def _ago(age: timedelta) -> str:
    age = max(age, timedelta(0))
    whole = age % SECOND == timedelta(0)
    return f"-{age // SECOND}s" if whole else f"-{age // MILLISECOND}ms"


def said(sources: Sequence[Source], now: datetime) -> str:
    """A name for an example of these events."""
    first = sources[0]
    parts = [_first(first, name) for name in ("event.dataset", "event.action")]
    day = instant(first, EVENT_TIME) or now
    what = " ".join(part for part in parts if part) or "an event"
    several = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{what}{several}, seen {day:%Y-%m-%d}"


def _first(source: Source, name: str) -> str:
    found = [value for key, value in _leaves([source]) if key == name]
    return str(found[0])[:40] if found else ""
