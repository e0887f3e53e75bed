"""Indicator match rules alert once for an event that has a value of an indicator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.language import kuery, tree
from detector.model import (
    Answer,
    Buckets,
    Indicators,
    Pair,
    Question,
    Rule,
    Search,
    Suppression,
    Window,
)
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, iso, make_rule, shell_event

FEED = "logs-ti_x.indicator-default"
IP = Pair("source.ip", "threat.indicator.ip")
TO = Pair("destination.ip", "threat.indicator.ip")


class Counting(MemoryStore):
    """Knows what was asked of it."""

    def __init__(self, documents: Sequence[Stored], page_size: int = 1_000) -> None:
        super().__init__(documents, page_size=page_size)
        self.asked: list[Question] = []

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += questions
        return super().search(questions)

    @property
    def widest(self) -> int:
        """The most values that one search had."""
        asked = [one for one in self.asked if isinstance(one, Search) and one.among is not None]
        return max(
            sum(len(leaf.values) for leaf in tree.leaves(one.among) if isinstance(leaf, tree.OneOf))
            for one in asked
            if one.among is not None
        )


def rule(
    *groups: tuple[Pair, ...],
    which: str = '@timestamp >= "now-30d/d"',
    batch: int = 9_000,
    **changes: Any,
) -> Rule:
    asked = Indicators(("logs-ti_*",), kuery.parse(which), groups or ((IP,),), batch=batch)
    given: dict[str, Any] = {"type": "threat_match", "indicators": asked} | changes
    return replace(make_rule("any where source.ip != null"), **given)


def event(number: int, address: Any, seconds: float = 60, **more: Any) -> Stored:
    time = NOW - timedelta(seconds=seconds)
    source = shell_event(time, event_id=f"e{number}") | {"source": {"ip": address}} | more
    return Stored(INDEX, f"d{number}", source)


def indicator(number: int, address: Any, days: float = 1) -> Stored:
    told = {"ip": address, "type": "ipv4-addr"}
    time = iso(NOW - timedelta(days=days))
    return Stored(FEED, f"i{number}", {"@timestamp": time, "threat": {"indicator": told}})


def run(store: MemoryStore, *rules: Rule) -> Report:
    report = cycle.run(store, list(rules), NOW, TERMS, clock=lambda: NOW)
    assert not report.failed, report.runs
    return report


def met(store: MemoryStore) -> dict[str, list[str]]:
    """For each event that has an alert, the indicators it tells of."""
    return {
        alert.document["kibana.alert.original_event.id"]: [
            one["matched"]["id"] for one in alert.document["threat"]["enrichments"]
        ]
        for alert in store.alerts.values()
    }


def address(number: int) -> str:
    return f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}"


@pytest.mark.parametrize("others", [0, 50], ids=["indicators first", "events first"])
def test_an_event_makes_one_alert_however_many_indicators_it_meets(others: int) -> None:
    events = [event(n, address(n)) for n in range(10)]
    known = [indicator(n, address(n % 3)) for n in range(7)]
    known += [indicator(100 + n, address(1_000 + n)) for n in range(others)]
    store = MemoryStore([*events, *known])
    report = run(store, rule())
    assert met(store) == {"e0": ["i0", "i3", "i6"], "e1": ["i1", "i4"], "e2": ["i2", "i5"]}
    assert report.runs[0].matches == 3
    assert run(store, rule()).alerts_created == 0


@pytest.mark.parametrize("others", [0, 50], ids=["indicators first", "events first"])
def test_alerts_of_the_same_address_are_suppressed_into_one(others: int) -> None:
    events = [event(n, address(n % 4), seconds=300 - n) for n in range(20)]
    known = [indicator(n, address(n)) for n in range(2)]
    known += [indicator(100 + n, address(1_000 + n)) for n in range(others)]
    store = MemoryStore([*events, *known], page_size=3)
    suppressing = rule(batch=1, suppression=Suppression(("source.ip",), timedelta(hours=1)))
    for _ in range(2):
        report = run(store, suppressing)
        assert report.runs[0].matches == 10
    counts = {id_: told[COUNT] for id_, told in alerted(store).items()}
    assert counts == {"e0": 4, "e1": 4}


COUNT = "kibana.alert.suppression.docs_count"


def alerted(store: MemoryStore) -> dict[str, Mapping[str, Any]]:
    """Alerts by the id of their event."""
    bodies = [alert.document for alert in store.alerts.values()]
    return {body["kibana.alert.original_event.id"]: body for body in bodies}


def test_an_alert_stands_on_its_event() -> None:
    store = MemoryStore([event(0, "10.0.0.1"), indicator(0, "10.0.0.1")])
    run(store, rule())
    (alert,) = store.alerts.values()
    body: Mapping[str, Any] = alert.document
    assert [one["id"] for one in body["kibana.alert.ancestors"]] == ["d0"]
    assert body["process"]["name"] == "bash"
    assert body["threat"]["enrichments"][0]["indicator"]["type"] == "ipv4-addr"
    assert body["kibana.alert.reason"].endswith("on node-1 created high alert A shell.")
    plain = MemoryStore(store.documents)
    run(plain, make_rule("any where source.ip != null"))
    assert set(plain.alerts) == set(store.alerts), "the id is the event's"


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ('@timestamp >= "now-30d/d"', ["e1", "e29", "e30"]),
        ('@timestamp >= "now-1d"', ["e1"]),
        ("threat.indicator.type: ipv4-addr", ["e1", "e29", "e30", "e31"]),
        ("not threat.indicator.type: ipv4-addr", []),
    ],
)
def test_indicators_are_those_that_the_threat_query_finds(which: str, found: list[str]) -> None:
    days = [1, 29, 30, 31]
    store = MemoryStore(
        [*(event(n, address(n)) for n in days), *(indicator(n, address(n), days=n) for n in days)]
    )
    run(store, rule(which=which))
    assert sorted(met(store)) == sorted(found)


def test_a_backfill_looks_from_the_end_of_its_window() -> None:
    events = [event(n, address(1), seconds=60 + 86_400 * n) for n in (0, 40)]
    store = MemoryStore([*events, indicator(0, address(1), days=35)])
    for end in (NOW, NOW - timedelta(days=40)):
        window = Window(end - timedelta(hours=1), end)
        report = backfill.run(store, [rule()], window, TERMS, clock=lambda: NOW)
        assert not report.failed, report.runs
    assert met(store) == {"e40": ["i0"]}


def test_events_are_read_whole_only_where_they_are_fewer() -> None:
    few, many = [event(0, address(0))], [event(n, address(n)) for n in range(60)]
    known = [indicator(n, address(n)) for n in range(30)]
    for events, narrowed in ((few, False), (many, True)):
        store = Counting([*events, *known])
        run(store, rule())
        searches = [one for one in store.asked if isinstance(one, Search)]
        of_events = [one for one in searches if one.index != ("logs-ti_*",)]
        assert all((one.among is not None) == narrowed for one in of_events)
        assert len(met(store)) == min(len(events), len(known))


@pytest.mark.parametrize("groups", [((IP,),), ((IP,), (TO,))])
def test_no_search_has_more_values_than_a_batch(groups: tuple[tuple[Pair, ...], ...]) -> None:
    events = [
        event(n, address(n), 1 + n / 50, destination={"ip": address(n + 151)}) for n in range(400)
    ]
    known = [indicator(n, address(n)) for n in range(0, 390, 2)]
    store = Counting([*known, *events], page_size=64)
    run(store, rule(*groups, batch=25, max_signals=1_000))
    assert len(met(store)) == (195 if len(groups) == 1 else 195 + 119)
    assert store.widest <= 2 * 64


def test_what_a_cap_holds_back_follows() -> None:
    events = [event(n, address(n), 1 + n) for n in range(50)]
    store = MemoryStore([*events, *(indicator(n, address(n)) for n in range(50))])
    made = [run(store, rule(max_signals=15)).alerts_created for _ in range(5)]
    assert made == [15, 15, 15, 5, 0]
    assert len(met(store)) == 50


def test_values_of_a_hash_are_compared_in_each_of_its_fields() -> None:
    pairs = [
        Pair(f"{where}.hash.sha256", "threat.indicator.file.hash.sha256")
        for where in ("file", "dll", "process")
    ]
    events = [
        Stored(
            INDEX, f"d{n}", shell_event(NOW, event_id=f"e{n}") | {where: {"hash": {"sha256": n}}}
        )
        for n, where in enumerate(("file", "dll", "process", "file"))
    ]
    known = [
        Stored(FEED, f"i{n}", {"@timestamp": iso(NOW), "threat.indicator.file.hash.sha256": str(n)})
        for n in range(3)
    ]
    store = MemoryStore([*events, *known])
    later = NOW + timedelta(seconds=1)
    hashed = replace(rule(*((pair,) for pair in pairs)), where=kuery.parse("*.hash.*: *"))
    report = cycle.run(store, [hashed], later, TERMS, clock=lambda: later)
    assert not report.failed, report.runs
    assert met(store) == {"e0": ["i0"], "e1": ["i1"], "e2": ["i2"]}


def test_a_rule_without_indicators_says_so() -> None:
    (record,) = run(MemoryStore([event(0, "10.0.0.1")]), rule()).runs
    assert record.warnings == ("no indicator in logs-ti_* satisfies the rule's threat_query",)


def test_pages_of_events_meet_pages_of_indicators() -> None:
    known = [indicator(n, address(n)) for n in range(2_500)]
    events = [event(n, address(n + 2_400), 1 + n / 100) for n in range(3_000)]
    store = Counting([*known, *events])
    report = run(store, rule(batch=1_000, max_signals=1_000))
    assert report.alerts_created == 100
    assert store.widest <= 1_000
    assert any(isinstance(one, Buckets) and one.by for one in store.asked)


def test_date_math_in_a_query_is_seen_from_the_end_of_the_window() -> None:
    where = kuery.parse("@timestamp >= now-1m and source.ip: *")
    store = MemoryStore([event(n, address(1), seconds) for n, seconds in enumerate((30, 90, 330))])
    plain = replace(make_rule(), type="query", where=where)
    for end in (NOW - timedelta(minutes=5), NOW):
        report = cycle.run(store, [plain], end, TERMS, clock=lambda end=end: end)  # type: ignore[misc]
        assert not report.failed, report.runs
    told = {alert.document["kibana.alert.original_event.id"] for alert in store.alerts.values()}
    assert told == {"e0", "e2"}


VALUES = st.lists(st.sampled_from("xyz"), max_size=2)
BOTH = st.fixed_dictionaries({"a": VALUES, "b": VALUES})
PAIRS = st.builds(
    Pair, st.sampled_from(["x.a", "x.b"]), st.sampled_from(["y.a", "y.b"]), st.booleans()
)
GROUPS = st.lists(PAIRS, min_size=1, max_size=3, unique=True).filter(
    lambda group: not all(pair.negate for pair in group)
)


def holds(pair: Pair, event: Mapping[str, Any], indicator: Mapping[str, Any]) -> bool:
    one, other = event[pair.field[-1]], indicator[pair.value[-1]]
    return bool(other) and (
        not set(one) & set(other) if pair.negate else bool(set(one) & set(other))
    )


@given(
    st.lists(BOTH, max_size=8),
    st.lists(BOTH, max_size=8),
    st.lists(GROUPS, min_size=1, max_size=2),
    st.sampled_from([1, 3, 1_000]),
)
@settings(deadline=None, max_examples=150)
def test_an_event_meets_what_a_plain_comparison_says(
    own: list[Any], theirs: list[Any], groups: list[list[Pair]], size: int
) -> None:
    events = [event(n, address(1), 60 - n, x=one) for n, one in enumerate(own)]
    known = [
        Stored(FEED, f"i{n}", {"@timestamp": iso(NOW), "y": one}) for n, one in enumerate(theirs)
    ]
    store = MemoryStore([*events, *known], page_size=size)
    run(store, rule(*map(tuple, groups), which="*: *", batch=2))
    expected = {
        f"e{n}": {
            f"i{m}"
            for m, other in enumerate(theirs)
            if any(all(holds(pair, one, other) for pair in group) for group in groups)
        }
        for n, one in enumerate(own)
    }
    assert {id_: set(some) for id_, some in met(store).items()} == {
        id_: some for id_, some in expected.items() if some
    }
