"""Which documents are the same event, and which are not."""

from __future__ import annotations

import hashlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import alerts
from detector.alerts import identity, instants
from detector.language import dates
from detector.model import Document, Execution, Match, Rule
from tests.builders import NOW, TERMS, make_rule

DEFEND = "logs-cloud_defend.process-default"
ZEEK = "logs-zeek.http-default"
RULE = make_rule()
EXECUTION = TERMS.execution(NOW, NOW)


def id_of(
    source: dict[str, Any],
    *,
    index: str = DEFEND,
    id_: str = "doc-1",
    rule: Rule = RULE,
    execution: Execution = EXECUTION,
    fields: dict[str, list[Any]] | None = None,
) -> str:
    match = Match((Document(index, id_, source, NOW, fields or {}),), NOW)
    return alerts.alert_id(match, rule, execution)


def test_the_id_of_an_event_is_the_same_for_ever() -> None:
    """A change here makes a second alert for every event that has one."""
    uuid = alerts.rule_uuid(RULE.rule_id, "default")
    assert uuid == "3192f240-7f0d-5149-8c35-e90221846aa5"
    told = f'["{uuid}","default","3ee85eee"]'
    assert id_of({"event": {"id": "3ee85eee"}}) == hashlib.sha256(told.encode()).hexdigest()


@pytest.mark.parametrize(
    "copy",
    [
        {"event.id": "a"},
        {"event": {"id": "a"}, "host": {"name": "elsewhere"}},
        {"event.id": "a", "event": {"kind": "event"}},
        {"event": {"id": "a"}, "@timestamp": "2020-01-01"},
    ],
)
@pytest.mark.parametrize(
    "index", [DEFEND, f".ds-{DEFEND}-2026.03.01-000001", f"a:{DEFEND}", "logs-cloud_defend.copy"]
)
def test_copies_with_the_event_id_of_a_container_event_are_one(
    copy: dict[str, Any], index: str
) -> None:
    assert id_of(copy, index=index, id_="doc-2") == id_of({"event": {"id": "a"}})


@pytest.mark.parametrize("event_id", ["", None, ["a"], ["a", "b"], 7, 1.5, True, {"a": 1}, []])
def test_an_event_id_that_is_no_text_counts_as_none(event_id: Any) -> None:
    source = {"event": {"id": event_id}}
    assert id_of(source) == id_of({}) != id_of({"event": {"id": "a"}})
    assert id_of(source) != id_of(source, id_="doc-2")


def test_two_spellings_with_different_ids_count_as_none() -> None:
    assert id_of({"event.id": "a", "event": {"id": "b"}}) == id_of({})


@pytest.mark.parametrize(
    ("index", "home"),
    [
        (DEFEND, DEFEND),
        (f".ds-{DEFEND}-2026.03.01-000001", DEFEND),
        (f".ds-{DEFEND}-000012", DEFEND),
        (f"restored-.ds-{DEFEND}-2026.03.01-000001", DEFEND),
        (f"partial-restored-.ds-{DEFEND}-2026.03.01-000001", DEFEND),
        (f"shrink-ab_3-.ds-{DEFEND}-2026.03.01-1000001", DEFEND),
        (f"a:.ds-{DEFEND}-2026.03.01-000001", f"a:{DEFEND}"),
        ("winlogbeat-8.19.0-2026.03.01-000001", "winlogbeat-8.19.0-2026.03.01-000001"),
        (".ds-", ".ds-"),
    ],
)
def test_a_document_keeps_its_home_when_its_index_moves(index: str, home: str) -> None:
    assert identity.home(index) == home
    assert id_of({}, index=index) == id_of({}, index=home)


def test_documents_without_an_event_id_in_two_clusters_are_two() -> None:
    assert id_of({}, index=f"a:{DEFEND}") != id_of({}, index=f"b:{DEFEND}")


def test_fifty_requests_in_one_connection_are_fifty_events() -> None:
    requests = [
        {"event": {"id": "CxZ7", "dataset": "zeek.http"}, "@timestamp": f"2026-03-01T12:00:{n}Z"}
        for n in range(10, 60)
    ]
    assert len({id_of(request, index=ZEEK) for request in requests}) == 50


@pytest.mark.parametrize(
    "notation",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.000Z",
        "2026-03-01T12:00:00.000000000Z",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00Z",
        "2026-03-01T12",
        "2026-03-01T12:00:00+00:00",
        "2026-03-01T14:00:00+02:00",
        "2026-03-01T07:30:00,0-0430",
        "1772366400000",
        1772366400000,
        1772366400000.0,
        ["2026-03-01T12:00:00Z"],
    ],
)
def test_one_instant_in_any_notation_is_one_event(notation: Any) -> None:
    def zeek(time: Any) -> str:
        return id_of({"event": {"id": "C", "dataset": "zeek.http"}, "@timestamp": time}, index=ZEEK)

    assert zeek(notation) == zeek("2026-03-01T12:00:00Z")
    assert zeek(notation) != zeek("2026-03-01T12:00:00.000000001Z")


def test_instants_a_nanosecond_apart_differ_to_the_last_digit() -> None:
    times = [f"2026-03-01T12:00:00.{n:09d}Z" for n in (0, 1, 10, 999_999_999)]
    assert len({instants.nanoseconds(time) for time in times}) == 4


@pytest.mark.parametrize("time", ["now", "", "2026-13-01", "2026-03-01 12:00", True])
def test_what_is_no_time_stays_what_it_is(time: Any) -> None:
    assert instants.nanoseconds(time) is None
    assert id_of({"event": {"id": "C"}, "@timestamp": time}, index=ZEEK)


def test_the_first_pattern_that_fits_names_the_fields() -> None:
    patterns = (("logs-a*", ("host.id",)), ("logs-*", ("event.id",)), ("b:*", ("user.id",)))
    execution = Execution("run", "default", NOW, NOW, identity=patterns)

    def same(index: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
        ids = [
            id_of(source, index=index, id_=str(n), execution=execution)
            for n, source in enumerate((first, second))
        ]
        return ids[0] == ids[1]

    one, other = (
        {"host": {"id": "h"}, "event": {"id": "e"}, "user": {"id": "u"}},
        {"host": {"id": "h"}, "event": {"id": "f"}, "user": {"id": "u"}},
    )
    assert same("logs-ab", one, other)
    assert not same("logs-b", one, other)
    assert same("b:metrics", one, other)
    assert not same("metrics", one, one)


def test_a_rules_own_identity_goes_before_all() -> None:
    rule = make_rule(identity=("host.id", "process.args"))
    source = {"host": {"id": "h"}, "process": {"args": ["a", "b"]}, "event": {"id": "1"}}
    assert id_of(source, rule=rule) == id_of(source | {"event": {"id": "2"}}, rule=rule)
    assert id_of(source, rule=rule) != id_of(source | {"host": {"id": "i"}}, rule=rule)


def test_a_rules_own_identity_that_a_document_lacks_does_not_mute_it() -> None:
    rule = make_rule(identity=("host.id",))
    assert id_of({}, rule=rule) != id_of({}, id_="doc-2", rule=rule)


ALERTS = (
    ".alerts-security.alerts-default",
    ".internal.alerts-security.alerts-default-000001",
    "partial-.internal.alerts-security.alerts-default-000001",
    "a:.preview.alerts-security.alerts-default",
    "alerts-detector-default-2026.03",
)


@pytest.mark.parametrize("index", ALERTS)
def test_an_alert_goes_by_its_uuid(index: str) -> None:
    source = {"event": {"id": "a"}, "kibana.alert.uuid": "first"}
    nested = {"kibana": {"alert": {"uuid": "first"}}}
    assert id_of(source, index=index) == id_of(nested, index=ALERTS[0], id_="b")
    assert id_of(source, index=index) != id_of(source | {"kibana.alert.uuid": "x"}, index=index)


@pytest.mark.parametrize("index", [DEFEND, ZEEK, "a:logs-alerts-detector-x", "alerts"])
@pytest.mark.parametrize(
    "forged", [{"kibana.alert.uuid": "x"}, {"kibana": {"alert": {"uuid": "x"}}}]
)
def test_an_event_that_calls_itself_an_alert_goes_by_its_own_id(
    forged: dict[str, Any], index: str
) -> None:
    first, second = ({"event": {"id": id_}} for id_ in "ab")
    assert id_of(first | forged, index=index) == id_of(first, index=index)
    assert id_of(first | forged, index=index) != id_of(second | forged, index=index)


def test_what_only_the_index_holds_is_seen() -> None:
    assert id_of({}, fields={"event.id": ["a"]}) == id_of({"event": {"id": "a"}})
    assert id_of({"event.id": "b"}, fields={"event.id": ["a"]}) == id_of({"event": {"id": "b"}})


def test_rules_and_spaces_keep_their_alerts_apart() -> None:
    source = {"event": {"id": "a"}}
    elsewhere = Execution("run", "other", NOW, NOW, identity=TERMS.identity)
    ids = {
        id_of(source),
        id_of(source, rule=make_rule(rule_id="another")),
        id_of(source, execution=elsewhere),
    }
    assert len(ids) == 3


def test_a_search_asks_for_what_identity_and_alert_read() -> None:
    rule = make_rule(identity=("host.id",), parameters={"rule_name_override": "rule.name"})
    needed = identity.needed_fields(rule, TERMS.identity)
    assert needed[0] == "host.id"
    assert {"@timestamp", "event.ingested", "data_stream.dataset", "rule.name"} <= set(needed)
    assert {"event.id", "event.dataset"} <= set(alerts.needed_fields(RULE, TERMS.identity))
    assert len(needed) == len(set(needed))


def test_half_a_character_is_an_id_like_any_other() -> None:
    assert id_of({"event": {"id": "\ud800"}}) != id_of({"event": {"id": "\ud801"}})
    assert id_of({}, id_="\udfff") != id_of({}, id_="\udffe")
    assert alerts.rule_uuid("\ud800", "default") != alerts.rule_uuid("\ud801", "default")


PARTS = st.text(string.printable, min_size=1, max_size=6)


@given(PARTS, PARTS, PARTS, PARTS)
def test_different_events_have_different_ids(a: str, b: str, c: str, d: str) -> None:
    rule = make_rule(identity=("event.dataset", "host.id"))
    first = id_of({"event": {"dataset": a}, "host": {"id": b}}, rule=rule)
    second = id_of({"event": {"dataset": c}, "host": {"id": d}}, rule=rule)
    assert (first == second) == ((a, b) == (c, d))


MILLISECONDS = st.datetimes().map(lambda time: f"{time.isoformat(timespec='milliseconds')}Z")


@given(MILLISECONDS | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fullmatch=True))
def test_the_common_notation_means_what_the_language_says(time: str) -> None:
    span = dates.span(time)
    assert instants.nanoseconds(time) == (span and span[0])
