"""Documents made to break an engine, beside good ones: an alert for each, or a dead letter."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.model import Checkpoint, Window
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import connection
from detector.store.base import Store
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import TERMS, install, iso, make_rule, shell_event
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy

pytestmark = pytest.mark.node

Event: TypeAlias = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INDEX = "logs-cloud_defend.poison-default"
ALERTS, LETTERS = "alerts-detector-default", "detector-deadletter-default"
GOOD = 12
MB = 1_000_000


def nested(levels: int) -> Event:
    deep: Event = {"end": True}
    for _ in range(levels - 1):
        deep = {"a": deep}
    return deep


def an_event(**event: Any) -> Event:
    return shell_event(NOW - timedelta(minutes=1), **event)


def with_id(value: Any) -> Event:
    event = an_event()
    event["event"]["id"] = value
    return event


def without_id() -> Event:
    event = an_event()
    del event["event"]["id"]
    return event


def at(time: Any) -> Event:
    return an_event() | {"@timestamp": time}


def mixed() -> Event:
    event = an_event()
    return event | {"host.name": "node-2", "event.id": event["event"]["id"], "event.kind": "event"}


POISON: dict[str, Event] = {
    "10 MB": an_event() | {"message": "x" * 10 * MB},
    "900 levels": an_event() | {"payload": nested(900)},
    "990 levels": an_event() | {"payload": "990 levels"},
    "990 levels below the event": an_event(custom="990 levels"),
    "900 levels where a value is known": an_event(reason=nested(900)),
    "900 levels in a flattened field": an_event() | {"file": {"elf": {"exports": nested(900)}}},
    "20 levels in a flattened field": an_event() | {"file": {"elf": {"exports": nested(20)}}},
    "21 levels in a flattened field": an_event() | {"file": {"elf": {"exports": nested(21)}}},
    "900 levels by dots": an_event()
    | {"file.elf.exports.a": nested(900), "payload.x": nested(900)},
    "dots in a flattened field": an_event()
    | {"file": {"elf": {"exports": {".".join("a" * 40): 1}}}},
    "a long name in a flattened field": an_event() | {"file.elf.exports": {"x" * 33_000: "y"}},
    "NUL in a flattened field": an_event() | {"file": {"elf": {"exports": {"\0": {"a\0": "b\0"}}}}},
    "900 levels of lists": an_event() | {"payload": json.loads("[" * 900 + "]" * 900)},
    "id is a list": with_id(["a", "b"]),
    "id is a number": with_id(7),
    "id is an object": with_id({"a": 1}),
    "id is missing": without_id(),
    "id is null": with_id(None),
    "id is empty": with_id(""),
    "id of 10 KB": with_id("x" * 10_000),
    "id of lone surrogates": with_id("\ud800x\udfff"),
    "NUL bytes": with_id("a\0b") | {"host": {"name": "\0"}, "tags": ["a\0", "\0"]},
    "NUL bytes in a name": an_event() | {"a\0b": {"\0": 1}},
    "lone surrogates": an_event() | {"host": {"name": "\ud800"}, "message": "\udfff \ud800"},
    "lone surrogates in a name": an_event() | {"\ud800": {"\udfff": 1}},
    "year 9999": at("9999-12-31T23:59:59.999Z"),
    "year 1": at("0001-01-01T00:00:00.000Z"),
    "negative epoch": at(-62_135_596_800_001),
    "an epoch too large": at(10**17),
    "no time": at("never"),
    "many times": at([iso(NOW), "0001-01-01T00:00:00.000Z", "never"]),
    "kibana at the top": an_event() | {"kibana": {"alert": {"uuid": "forged"}}},
    "kibana with dots": an_event() | {"kibana.alert.uuid": ["forged"], "kibana.alert.depth": 1},
    "kibana is a text": an_event() | {"kibana": "x", "kibana.space_ids": {"a": 1}},
    "signal at the top": an_event() | {"signal": {"rule": {"id": 1}}, "signal.status": "open"},
    "ancestors of another shape": an_event()
    | {"kibana.alert.uuid": "x", "kibana.alert.ancestors": [["x"], 1, {"id": {"a": 1}}]},
    "dotted and nested": mixed(),
    "dots in odd places": an_event() | {"payload": {"a..b": 1, ".": 2, "": 3, "x.": 4}},
    "types that conflict": an_event() | {"host": "node-1", "container": [1], "source": {"ip": {}}},
    "numbers out of range": an_event() | {"process.pid": 10**40, "event.severity": -(10**30)},
    "text for numbers": an_event(severity="high", duration="long", risk_score={"a": 1}),
    "geo": an_event() | {"source": {"geo": {"location": "here"}, "ip": "999.1.1.1"}},
    "a term beyond what an index takes": an_event() | {"process.command_line": "é" * 40_000},
    "10,000 fields": an_event() | {"labels": {f"field-{n}": n for n in range(10_000)}},
    "a list of 10,000": an_event() | {"tags": [f"tag-{n}" for n in range(10_000)]},
}


REFUSED: dict[str, Event] = {
    "10,001 nested documents": an_event() | {"threat": {"enrichments": [{"a": 1}] * 10_001}},
}
"""What no index with the alerts' mapping takes."""


@pytest.fixture
def ready(es: Elasticsearch) -> Elasticsearch:
    """Give a node with an index that takes any event: it looks only at what the rule asks of."""
    made = ElasticStore(es, "default")
    install(made)
    keyword, date = {"type": "keyword", "ignore_above": 1024}, {"type": "date"}
    properties = {
        "@timestamp": date | {"ignore_malformed": True},
        "event": {"properties": {"ingested": date, "category": keyword, "type": keyword}},
        "process": {"properties": {"args": keyword}},
        "payload": {"type": "object", "enabled": False},
    }
    es.indices.create(index=INDEX, mappings={"dynamic": False, "properties": properties})
    return es


def engine(url: str, budget: float = 20) -> ElasticStore:
    client = connection.connect(url, request_timeout=30)
    return ElasticStore(client, "default", patience=Patience(0.01, 0.2, budget))


def body(event: Event) -> bytes:
    """As a sensor sends it: what is too deep for Python's encoder is put in as text."""
    deep = '{"a":' * 990 + "1" + "}" * 990
    return json.dumps(event).replace('"990 levels"', deep).encode()


def put(es: Elasticsearch, poison: dict[str, Event]) -> list[str]:
    """The poison in the midst of good events, under its names; all names."""
    events = {f"good {n}": an_event() for n in range(GOOD // 2)} | poison
    events |= {f"good {n}": an_event() for n in range(GOOD // 2, GOOD)}
    kind = "application/vnd.elasticsearch+json; compatible-with=8"
    for name, event in events.items():
        path, headers = f"/{INDEX}/_create/{quote(name)}", {"content-type": kind, "accept": kind}
        es.perform_request("PUT", path, headers=headers, body=body(event))
    es.indices.refresh(index=INDEX)
    return sorted(events)


def run(store: Store, now: datetime = NOW, **rule: Any) -> Report:
    chosen = make_rule(max_signals=1_000, **rule)
    return cycle.run(store, [chosen], now, TERMS, clock=lambda: now)


def alerted(es: Elasticsearch) -> list[str]:
    """The events that have alerts, one name for each alert."""
    es.indices.refresh(index=ALERTS)
    field = "kibana.alert.ancestors"
    found = es.search(index=ALERTS, size=1_000, source_includes=[field])["hits"]["hits"]
    return sorted(hit["_source"][field][-1]["id"] for hit in found)


def letters(es: Elasticsearch) -> dict[str, Event]:
    """Dead letters by the names of their events."""
    es.indices.refresh(index=LETTERS)
    found = es.search(index=LETTERS, size=1_000)["hits"]["hits"]
    return {hit["_source"]["events"][0]["id"]: hit["_source"] for hit in found}


def test_every_odd_event_alerts_and_so_do_the_others(ready: Elasticsearch, node_url: str) -> None:
    names = put(ready, POISON)
    report = run(engine(node_url))
    assert alerted(ready) == names
    assert letters(ready) == {}
    assert [record.status for record in report.runs] == ["succeeded"]
    again = run(engine(node_url))
    assert (again.alerts_created, again.alerts_existing) == (0, len(names))
    assert alerted(ready) == names


def test_an_event_no_alert_can_be_kept_of_is_a_dead_letter_once(
    ready: Elasticsearch, node_url: str
) -> None:
    names = put(ready, REFUSED)
    (record,) = run(engine(node_url)).runs
    assert alerted(ready) == [name for name in names if name not in REFUSED]
    kept = letters(ready)
    assert kept.keys() == REFUSED.keys()
    assert "limit of [10000]" in kept["10,001 nested documents"]["reason"]
    assert kept["10,001 nested documents"]["alert"]["kibana.alert.rule.name"] == "A shell"
    assert record.status == "partial failure"
    assert "1 matches are kept as dead letters" in record.warnings[0]
    (again,) = run(engine(node_url), NOW + timedelta(minutes=2)).runs
    assert letters(ready) == kept
    assert again.warnings == ("1 matches are dead letters since an earlier run",)


def test_a_backfill_tries_a_dead_letter_once_more(ready: Elasticsearch, node_url: str) -> None:
    names = put(ready, REFUSED)
    run(engine(node_url))
    template = alerts.template("default", missing_types=())[0]["template"]
    limit = {"index.mapping.nested_objects.limit": 20_000}
    ready.indices.put_settings(index=f"{ALERTS}-*", settings=limit)
    assert template["settings"].keys().isdisjoint(limit)
    window = Window(NOW - timedelta(hours=1), NOW)
    rule = make_rule()
    report = backfill.run(engine(node_url), [rule], window, TERMS, clock=lambda: NOW)
    assert report.alerts_created == len(REFUSED)
    assert alerted(ready) == names


def test_an_alert_too_large_for_the_breaker_is_a_dead_letter_and_the_others_alert(
    ready: Elasticsearch, node_url: str
) -> None:
    """The node itself answers 429, for this request alone, however long one waits."""
    put(ready, {"10 MB": POISON["10 MB"]})
    limits = {"network.breaker.inflight_requests.limit": "9mb", "rest.incremental_bulk": False}
    ready.cluster.put_settings(persistent=limits)
    (record,) = run(engine(node_url, budget=1.0)).runs
    assert len(alerted(ready)) == GOOD
    kept = letters(ready)
    assert kept.keys() == {"10 MB"}
    assert "Data too large" in kept["10 MB"]["reason"]
    assert (record.status, record.error) == ("partial failure", None)
    run(engine(node_url, budget=1.0), NOW + timedelta(minutes=2))
    assert letters(ready) == kept


def test_requests_too_long_for_a_gateway_are_sent_in_halves(
    ready: Elasticsearch, between: Proxy
) -> None:
    put(ready, {"1 MB": an_event() | {"message": "x" * MB}})
    too_long = Fault("_bulk", proxy.status(413), 1_000, body=lambda sent: len(sent) > 40_000)
    between.inject(too_long)
    (record,) = run(engine(between.url)).runs
    assert len(alerted(ready)) == GOOD
    assert letters(ready).keys() == {"1 MB"}
    assert record.status == "partial failure"


def test_a_cluster_that_takes_nothing_for_now_makes_no_dead_letter(
    ready: Elasticsearch, node_url: str, between: Proxy
) -> None:
    names = put(ready, {"10 MB": POISON["10 MB"]})
    between.inject(Fault("_bulk", proxy.status(429), 1_000))
    begun: dict[str, Checkpoint] = {}
    busy = cycle.run(
        engine(between.url, budget=0.3), [make_rule()], NOW, TERMS, clock=lambda: NOW, begun=begun
    )
    assert busy.failed
    between.heal()
    assert letters(ready) == {}
    later = NOW + timedelta(minutes=40)
    cycle.run(engine(node_url), [make_rule()], later, TERMS, clock=lambda: later, begun=begun)
    assert alerted(ready) == names


def test_a_rule_no_alert_can_be_made_of_keeps_its_matches_as_dead_letters(
    ready: Elasticsearch, node_url: str
) -> None:
    names = put(ready, {})
    (record,) = run(engine(node_url), risk_score=float("nan")).runs
    kept = letters(ready)
    assert sorted(kept) == names
    assert "NaN" in kept["good 0"]["reason"]
    assert kept["good 0"]["event"]["process"]["name"] == "bash"
    assert record.status == "partial failure"
    run(engine(node_url), NOW + timedelta(minutes=2), risk_score=float("nan"))
    assert letters(ready) == kept
