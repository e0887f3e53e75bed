"""Sequence and sample rules over a store of lists: which sequences a run tells of, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import detect
from detector.detect import joining
from detector.detect.joining import Keys
from detector.language import eql, evaluate, tree
from detector.model import Ask, Document, Failure, Found, Match, Page, Rule, Search, Window
from detector.run import cycle
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, iso, make_rule
from tests.detect import naive

PAIR = """sequence by host.name with maxspan=1m
  [process where process.name == "a"] [process where process.name == "b"]"""


def at(**ago: float) -> datetime:
    return NOW - timedelta(**ago)


def event(
    name: str, time: datetime, ingested: datetime | None = None, host: Any = "h", **more: Any
) -> dict[str, Any]:
    return {
        "@timestamp": iso(time),
        "event": {"category": ["process"], "ingested": iso(ingested or time)},
        "host": {"name": host},
        "process": {"name": name},
        **more,
    }


def test_date_math_in_a_step_is_seen_from_the_end_of_the_window() -> None:
    store = lists(event("a", at(minutes=4)), event("b", at(minutes=3)))
    query = PAIR.replace("maxspan=1m", "maxspan=5m").replace(
        '"a"', '"a" and @timestamp >= "now-5m"'
    )
    rule = make_rule(query, timestamp_override=None)
    for minutes, found in [(0, 1), (2, 0)]:
        window = Window(NOW - timedelta(minutes=10), NOW + timedelta(minutes=minutes))
        assert len(matches(store, rule, window)) == found


def lists(*sources: dict[str, Any], page_size: int = 100) -> MemoryStore:
    stored = [Stored(INDEX, f"e{n}", source) for n, source in enumerate(sources)]
    return MemoryStore(stored, page_size=page_size)


def matches(
    store: MemoryStore, rule: Rule, window: Window, asked: list[Search] | None = None
) -> list[Match]:
    """What a run over `window` finds; `asked` is given what it has asked."""
    detection = detect.detect(rule, window)
    found: list[Match] = []
    reply: tuple[Page, ...] | None = None
    while True:
        try:
            step = detection.send(reply)
        except StopIteration:
            return found
        reply = None
        if isinstance(step, Ask):
            answers = store.search(step.searches)
            if asked is not None:
                asked += [one for one in step.searches if isinstance(one, Search)]
            assert not [one.error for one in answers if isinstance(one, Failure)]
            reply = tuple(one for one in answers if isinstance(one, Page))
        elif isinstance(step, Found):
            assert step.matches
            found += step.matches


def ids(found: list[Match]) -> list[list[str]]:
    return [[document.id for document in match.documents] for match in found]


def told(query: str, *sources: dict[str, Any], **changes: Any) -> list[list[str]]:
    """The ids of what the run at `NOW` finds."""
    rule = make_rule(query, **changes)
    return ids(matches(lists(*sources), rule, Window(NOW - rule.lookback, NOW)))


def timeline(names: str) -> list[dict[str, Any]]:
    """An event a second, the last a minute ago."""
    return [event(name, at(seconds=60 + len(names) - n)) for n, name in enumerate(names)]


TABLE = [
    ("the latest beginning is taken", "ab", "", "aabb", [[1, 2]]),
    ("what is done is not used again", "ab", "", "abb", [[0, 1]]),
    ("others may lie between", "ab", "", "axxb", [[0, 3]]),
    ("order matters", "ab", "", "ba", []),
    ("one event, several places", "aaa", "", "aaaa", [[0, 1, 2], [1, 2, 3]]),
    ("maxspan is inclusive", "ab", " with maxspan=3s", "axxb", [[0, 3]]),
    ("maxspan is from the first", "abc", " with maxspan=3s", "abxxc", []),
    ("what is too late uses up", "ab", " with maxspan=1s", "aab", [[1, 2]]),
    ("absent in front", "!cab", " with maxspan=10s", "cxab", []),
    ("absent in front, not there", "!cab", " with maxspan=10s", "xabc", [[1, 2]]),
    ("absent in front, long ago", "!cab", " with maxspan=2s", "cxab", [[2, 3]]),
    ("absent between", "a!cb", " with maxspan=10s", "acb", []),
    ("absent between, elsewhere", "a!cb", " with maxspan=10s", "cabc", [[1, 2]]),
    ("absent at the end", "ab!c", " with maxspan=10s", "abxc", []),
    ("absent at the end, later", "ab!c", " with maxspan=2s", "abxc", [[0, 1]]),
]


def written(names: str, span: str) -> str:
    parts = []
    absent = False
    for letter in names:
        if letter == "!":
            absent = True
            continue
        parts.append(f'{"!" * absent}[any where process.name == "{letter}"]')
        absent = False
    return f"sequence by host.name{span} {' '.join(parts)}"


@pytest.mark.parametrize(("said", "names", "span", "events", "expected"), TABLE)
def test_what_a_sequence_finds(
    said: str, names: str, span: str, events: str, expected: list[list[int]]
) -> None:
    found = told(written(names, span), *timeline(events))
    assert found == [[f"e{n}" for n in one] for one in expected], said


A, B = '[any where process.name == "a"]', '[any where process.name == "b"]'


@pytest.mark.parametrize(
    ("query", "events", "expected"),
    [
        (f'sequence {A} {B} until [any where process.name == "u"]', "aubab", [["e3", "e4"]]),
        (f"sequence {A} with runs=2 {B}", "aaab", [["e1", "e2", "e3"]]),
        (f"sequence {A} {B} | head 1", "abab", [["e0", "e1"]]),
        (f"sequence {A} {B} | tail 1", "abab", [["e2", "e3"]]),
        (f"sequence {A} {B} | tail 2 | head 1", "ababab", [["e2", "e3"]]),
        (f"sequence {A} [any where false]", "ab", []),
        (f"sample by host.name {B} {A}", "axab", [["e3", "e0"]]),
        (f"sample by host.name {A} {A}", "axa", [["e0", "e2"]]),
        (f"sample by host.name {A} {B}", "aa", []),
        ('any where process.name == "a" | head 2', "aaa", [["e0"], ["e1"]]),
        ('any where process.name == "a" | tail 2', "aaa", [["e1"], ["e2"]]),
    ],
)
def test_what_queries_of_several_events_find(
    query: str, events: str, expected: list[list[str]]
) -> None:
    assert told(query, *timeline(events)) == expected


def test_keys_join_each_value_of_an_array() -> None:
    first = event("a", at(seconds=50), host=["x", "y"])
    assert told(PAIR, first, event("b", at(seconds=40), host=["y", "z"])) == [["e0", "e1"]]
    assert told(PAIR, first, event("b", at(seconds=40), host="z")) == []


def test_keys_of_a_step_may_have_another_name() -> None:
    query = f"sequence {A} by process.entity_id {B} by process.parent.entity_id"
    first = event("a", at(seconds=50)) | {"process": {"name": "a", "entity_id": "1"}}
    other = {"process": {"name": "b", "parent": {"entity_id": "1"}}}
    assert told(query, first, event("b", at(seconds=40)) | other) == [["e0", "e1"]]


def test_an_event_without_its_key_takes_no_part_unless_it_is_optional() -> None:
    events = [event("a", at(seconds=50), host=None), event("b", at(seconds=40), host=None)]
    assert told(PAIR, *events) == []
    assert told(PAIR.replace("host.name", "?host.name"), *events) == [["e0", "e1"]]


def test_equal_times_go_by_the_tiebreaker_then_by_finer_time() -> None:
    query = PAIR.replace(" by host.name", "")
    time = at(seconds=50)
    parameters = dict(make_rule().parameters) | {"tiebreaker_field": "place"}
    events = [event("b", time, place=2), event("a", time, place=1)]
    assert told(query, *events, parameters=parameters) == [["e1", "e0"]]
    fine = iso(time).replace("Z", "500Z")
    late = [event("b", time) | {"@timestamp": fine}, event("a", time)]
    assert told(query, *late) == [["e1", "e0"]]


def test_another_field_may_order_the_events() -> None:
    parameters = dict(make_rule().parameters) | {"timestamp_field": "event.start"}
    events = [event("b", at(seconds=90)), event("a", at(seconds=50))]
    events[0]["event"]["start"] = iso(at(seconds=30))
    events[1]["event"]["start"] = iso(at(seconds=40))
    assert told(PAIR, *events, parameters=parameters) == [["e1", "e0"]]


@pytest.mark.parametrize("override", ["event.ingested", None])
def test_without_maxspan_the_rules_own_window_is_the_limit(override: str | None) -> None:
    query = PAIR.replace(" with maxspan=1m", "")
    last = event("b", at(minutes=1))
    near, far = event("a", at(minutes=7)), event("a", at(minutes=7, seconds=1))
    assert told(query, near, last, timestamp_override=override) == [["e0", "e1"]]
    assert told(query, far, last, timestamp_override=override) == []


def test_a_copy_of_an_event_is_not_the_next_one() -> None:
    sources = [event("a", at(seconds=50 - n)) for n in range(3)]
    for n, source in enumerate(sources):
        source["event"]["id"] = f"id-{n}"
    copied = [one for source in sources for one in (source, source)]
    query = f"sequence {A} with runs=3"
    assert told(query, *copied) == [["e0", "e2", "e4"]]
    assert told(query, *copied[:4]) == []


# Runs, and events that come late.


def test_a_partner_is_found_whenever_it_was_ingested() -> None:
    """A at 10:00 is ingested at 12:00, B at 10:00:30 at 10:01."""
    late = event("a", at(hours=2), ingested=at(minutes=1))
    early = event("b", at(hours=2) + timedelta(seconds=30), ingested=at(hours=1, minutes=59))
    assert told(PAIR, late, early) == [["e0", "e1"]]
    assert told(PAIR, early, late) == [["e1", "e0"]]
    assert told(PAIR, event("a", at(hours=2)), early) == [], "nothing of it is new"


def test_a_sequence_over_two_runs_is_one_alert() -> None:
    rule = make_rule(PAIR)
    store = lists(
        event("a", at(seconds=10)), event("b", at(seconds=-10)), event("x", at(seconds=5))
    )
    assert cycle.run(store, [rule], NOW, TERMS, clock=lambda: NOW).alerts_created == 1
    later = NOW + timedelta(minutes=5)
    report = cycle.run(store, [rule], later, TERMS, clock=lambda: later)
    assert (report.alerts_created, report.alerts_existing) == (0, 1)
    assert len(store.alerts) == 3, "the alert and its two blocks"


def test_what_may_still_come_is_waited_for() -> None:
    query = f'sequence with maxspan=4m {A} ![any where process.name == "b"]'
    rule = make_rule(query)
    store = lists(event("a", at(minutes=1)))
    assert matches(store, rule, Window(NOW - rule.lookback, NOW)) == []
    later = Window(NOW - timedelta(minutes=1), NOW + timedelta(minutes=5))
    assert ids(matches(store, rule, later)) == [["e0"]]
    after = Window(NOW + timedelta(minutes=5), NOW + timedelta(minutes=10))
    assert matches(store, rule, after) == [], "told of already"
    store.documents.append(Stored(INDEX, "e1", event("b", NOW + timedelta(minutes=3))))
    assert matches(store, rule, later) == []


def test_what_a_cap_holds_back_is_found_from_there_on() -> None:
    events = [event(name, at(seconds=300 - n)) for n, name in enumerate("ab" * 20)]
    for override in ("event.ingested", None):
        rule = make_rule(PAIR, max_signals=6, timestamp_override=override)
        store = lists(*events)
        created = []
        for turn in range(5):
            now = NOW + timedelta(minutes=5 * turn)
            report = cycle.run(store, [rule], now, TERMS, clock=lambda now=now: now)  # type: ignore[misc]
            created.append(report.alerts_created)
        assert created == [6, 6, 6, 2, 0]


def test_an_idle_rule_asks_once_and_only_for_its_window() -> None:
    rule = make_rule(PAIR, timestamp_override=None)
    window = Window(NOW - rule.lookback, NOW)
    detection = detect.detect(rule, window)
    asked = next(detection)
    assert isinstance(asked, Ask)
    assert [search.window for search in asked.searches] == [window, window]
    with pytest.raises(StopIteration):
        detection.send((Page(()), Page(())))


def test_the_rare_step_narrows_what_is_asked_of_the_common_one() -> None:
    common = [event("b", at(seconds=350 - n), host=f"h{n}") for n in range(300)]
    store = lists(*common, event("a", at(seconds=60), host="h299"), page_size=10)
    asked: list[Search] = []
    rule = make_rule(PAIR, timestamp_override=None)
    found = matches(store, rule, Window(NOW - rule.lookback, NOW), asked)
    assert ids(found) == [["e300", "e299"]]
    assert len(asked) < 12, "not thirty pages"
    assert tree.OneOf("host.name", ("h299",)) in [one.among for one in asked]


# The law: however events are ingested and runs are cut, all runs together find what one look does.

QUERIES = [
    PAIR,
    f"sequence by host.name with maxspan=20s {A} {B} {A}",
    f"sequence by host.name with maxspan=30s {A} with runs=2 until {B}",
    f'sequence with maxspan=30s {A} ![any where process.name == "c"] {B}',
    f'sequence by ?host.name with maxspan=20s ![any where process.name == "c"] {A} {B}',
    f'sequence by host.name with maxspan=30s {A} ![any where process.name == "b"]',
]


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    host = st.sampled_from(["x", "y", None, ["x", "y"]])
    rows = st.tuples(
        st.sampled_from("abc"), st.integers(0, 240), st.integers(0, 400) | st.just(0), host
    )
    return [
        event(name, at(seconds=400 - second), at(seconds=400 - second - late), host)
        for name, second, late, host in draw(st.lists(rows, max_size=20))
    ]


def plainly(query: str, store: MemoryStore) -> list[tuple[str, ...]]:
    """What one look at everything finds, long after."""
    parsed = eql.parse(query)
    assert isinstance(parsed, tree.Sequence)
    roles, shape = joining.taken_apart(parsed, parsed.max_span or timedelta(minutes=6))
    keys = Keys(roles)
    tests = [evaluate.predicate(role.where) for role in roles]
    ordered = sorted(store.documents, key=lambda one: (one.source["@timestamp"], one.id))
    events: list[naive.Event] = []
    for one in ordered:
        time = datetime.fromisoformat(one.source["@timestamp"])
        hits = {n: keys.of(n, one.source) for n, test in enumerate(tests) if test(one.source)}
        milliseconds = int(time.timestamp() * 1000)
        events.append((milliseconds, Document(one.index, one.id, one.source, time), hits))
    found = naive.completed(shape, events, 10**15)
    return [tuple(document.id for document in one.documents) for one in found]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(QUERIES),
    logs(),
    st.lists(st.integers(1, 800), max_size=4, unique=True),
    st.integers(1, 5),
    st.sampled_from(["event.ingested", None]),
)
def test_all_runs_together_find_what_one_look_does(
    query: str, log: list[dict[str, Any]], cuts: list[int], page_size: int, override: str | None
) -> None:
    store = lists(*log, page_size=page_size)
    rule = make_rule(query, timestamp_override=override)
    times = [at(seconds=500), *(at(seconds=500 - cut) for cut in sorted(cuts)), at(seconds=-500)]
    found = [
        tuple(document.id for document in match.documents)
        for start, end in pairwise(times)
        for match in matches(store, rule, Window(start, end))
    ]
    assert set(found) == set(plainly(query, store))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(QUERIES), logs(), st.lists(st.integers(1, 800), max_size=4, unique=True))
def test_nothing_is_missed_because_it_came_in_another_order(
    query: str, log: list[dict[str, Any]], cuts: list[int]
) -> None:
    """A run sees what was ingested before it; what came late may have changed what it told of."""
    everything = lists(*log)
    rule = make_rule(query)
    times = [at(seconds=500), *(at(seconds=500 - cut) for cut in sorted(cuts)), at(seconds=-500)]
    found = set()
    for start, end in pairwise(times):
        seen = [d for d in everything.documents if d.source["event"]["ingested"] < iso(end)]
        for match in matches(MemoryStore(seen), rule, Window(start, end)):
            found.add(tuple(document.id for document in match.documents))
    assert set(plainly(query, everything)) <= found
