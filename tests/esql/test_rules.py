"""Rules of type esql on a real Elasticsearch 8.19.0: what they find, once, whatever overlaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from elasticsearch import Elasticsearch

from detector import alerts, rulefile
from detector.detect import esql as detecting
from detector.errors import TimedOut
from detector.model import Failure, Rule, Window
from detector.rulefile.tuning import Tuning
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import installation, scratch
from detector.store.connection import Patience, connect
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import NOW, TERMS, iso
from tests.esql.node import WithEsql

pytestmark = pytest.mark.node

LOGS = "logs-esql.test-default"
NO_PATIENCE = Patience(budget=0)
PEOPLE = ("ann", "bob", "cid")


def event(number: int, **more: Any) -> Stored:
    """Five in a minute, from twenty minutes before `NOW` on."""
    time = NOW + timedelta(seconds=12 * number - 1_200)
    source: dict[str, Any] = {
        "@timestamp": iso(time),
        "event": {"id": f"e{number}", "ingested": iso(time), "action": "login"},
        "user": {"name": PEOPLE[number % 3]},
        "host": {"name": f"h{number % 2}"},
        "source": {"ip": [f"10.0.0.{number % 7}", "10.0.1.1"]},
        "message": f"login {number}",
    }
    return Stored(LOGS, f"d{number:03}", source | more)


@pytest.fixture
def store(esql: Elasticsearch, esql_node: WithEsql) -> Iterator[ElasticStore]:
    assert not esql.indices.exists(index=LOGS)
    made = ElasticStore(connect(esql_node.url, request_timeout=30), "default")
    installation.install(made, lambda lacking: alerts.template("default", missing_types=lacking))
    scratch.template(made, "events", ["logs-*"])
    scratch.fill(made, [event(number) for number in range(120)])
    yield made
    made.client.close()


def loaded(folder: Path, query: str, **keys: Any) -> Rule:
    """A rule as its file says; every five minutes over the last six."""
    written = {
        "rule_id": "r1",
        "name": "A rule",
        "description": "d",
        "type": "esql",
        "language": "esql",
        "severity": "low",
        "risk_score": 21,
        "query": query,
        "from": "now-6m",
        **keys,
    }
    (folder / "rule.yaml").write_text(yaml.safe_dump(written), "utf-8")
    found = rulefile.load([folder / "rule.yaml"])
    assert not [one for one in found.problems if one.level == "error"], found.problems
    return found.rules[0]


def at(store: ElasticStore, now: datetime, *rules: Rule) -> Report:
    return cycle.run(store, rules, now, TERMS, clock=lambda: now)


def written(esql: Elasticsearch) -> list[dict[str, Any]]:
    esql.indices.refresh(index="alerts-detector-default")
    hits = esql.search(index="alerts-detector-default", size=1_000)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def minutes(*numbers: float) -> Iterator[datetime]:
    return (NOW + timedelta(minutes=number) for number in numbers)


def test_an_event_alerts_once_with_what_the_query_adds(
    esql: Elasticsearch, store: ElasticStore, tmp_path: Path
) -> None:
    query = """
        FROM logs-esql.* // nothing of the document is kept
        | WHERE user.name == "ann"
        | EVAL Esql.loud = TO_UPPER(user.name), host.name = CONCAT(host.name, "!")
        | KEEP Esql.*, host.name"""
    rule = loaded(tmp_path, query)
    made = [at(store, now, rule).alerts_created for now in minutes(-10, -7.5, -5, 0, 0)]
    assert made == [10, 4, 4, 9, 0]
    found = written(esql)
    assert len(found) == 27
    by_id = {one["kibana.alert.ancestors"][0]["id"]: one for one in found}
    assert len(by_id) == 27
    one = by_id["d096"]
    assert one["Esql"] == {"loud": "ANN"}
    assert one["host"] == {"name": "h0!"}
    assert one["user"] == {"name": "ann"}
    assert one["source"] == {"ip": ["10.0.0.5", "10.0.1.1"]}
    assert one["kibana.alert.ancestors"][0]["index"] == LOGS
    assert one["kibana.alert.rule.rule_id"] == "r1"


def test_an_event_that_is_expanded_alerts_once_for_each_value(
    esql: Elasticsearch, store: ElasticStore, tmp_path: Path
) -> None:
    rule = loaded(
        tmp_path, 'FROM logs-esql.* | MV_EXPAND source.ip | WHERE host.name == "h1" | KEEP user.*'
    )
    assert [at(store, now, rule).alerts_created for now in minutes(-10, -10, -5)] == [30, 0, 24]
    assert len({one["kibana.alert.uuid"] for one in written(esql)}) == 54


def test_a_group_alerts_once_for_each_slot(
    esql: Elasticsearch, store: ElasticStore, tmp_path: Path
) -> None:
    query = """
        FROM logs-esql.*
        | STATS Esql.count = COUNT(*), Esql.hosts = VALUES(host.name)
            BY user.name, TO_UPPER(host.name)
        | WHERE Esql.count >= 5
        | KEEP Esql.*"""
    rule = loaded(tmp_path, query)
    made = [at(store, now, rule).alerts_created for now in minutes(-10, -7.5, -6, -5, 0, 0)]
    assert made == [6, 6, 0, 0, 6, 0], "what is said within a slot is said for all of it"
    found = written(esql)
    assert len({one["detector.key"] for one in found}) == 6
    assert {one["Esql"]["count"] for one in found} == {5}
    assert {one["kibana.alert.depth"] for one in found} == {1}
    again = backfill.run(
        store,
        [rule],
        Window(NOW - timedelta(minutes=10), NOW),
        TERMS,
        clock=lambda: NOW,
    )
    assert again.alerts_created == 0
    assert again.alerts_existing == 12


def test_a_late_event_does_not_make_another_alert_of_its_group(
    store: ElasticStore, tmp_path: Path
) -> None:
    rule = loaded(tmp_path, "FROM logs-esql.* | STATS n = COUNT(*) BY user.name | KEEP n")
    assert at(store, NOW - timedelta(minutes=5), rule).alerts_created == 3
    scratch.fill(store, [event(74, message="late", event={"id": "late"})])
    window = Window(NOW - timedelta(minutes=10), NOW - timedelta(minutes=5))
    report = backfill.run(store, [rule], window, TERMS, clock=lambda: NOW)
    assert (report.alerts_created, report.alerts_existing) == (0, 3)


def test_now_is_the_end_of_the_window_in_a_backfill_too(
    esql: Elasticsearch, store: ElasticStore, tmp_path: Path
) -> None:
    query = """
        FROM logs-esql.*
        | STATS since = MIN(@timestamp) BY user.name
        | EVAL ago = DATE_DIFF("seconds", since, NOW( ))
        | WHERE ago > 300 AND ago <= 360"""
    rule = loaded(tmp_path, query)
    window = Window(NOW - timedelta(minutes=15), NOW)
    report = backfill.run(store, [rule], window, TERMS, clock=lambda: NOW + timedelta(days=3))
    assert (report.alerts_created, report.failed) == (9, False), report
    assert {one["ago"] for one in written(esql)} <= set(range(301, 361))


def test_exceptions_and_filters_hold_for_the_documents_that_are_read(
    esql: Elasticsearch, store: ElasticStore, tmp_path: Path
) -> None:
    mute = [{"language": "kuery", "query": "user.name : ann", "owner": "soc", "reason": "known"}]
    only = [{"query": {"term": {"host.name": "h1"}}}]
    for query, expected in (
        ("FROM logs-esql.* | KEEP user.name", {"bob", "cid"}),
        ("FROM logs-esql.* | STATS n = COUNT(*) BY user.name", {"bob", "cid"}),
    ):
        rule = loaded(tmp_path, query, exceptions=mute, filters=only)
        assert at(store, NOW, replace(rule, rule_id=query)).alerts_created
        found = [one for one in written(esql) if one["kibana.alert.rule.rule_id"] == query]
        assert {one["user"]["name"] for one in found} == expected
        assert {one["host"]["name"] for one in found if "host" in one} <= {"h1"}


def test_an_exception_too_large_for_a_query_mutes_events_and_is_said_of_groups(
    store: ElasticStore, tmp_path: Path
) -> None:
    listed = tmp_path / "exceptions" / "lists"
    listed.mkdir(parents=True)
    names = ["ann", *(f"user-{number}" for number in range(12_000))]
    (listed / "people.txt").write_text("\n".join(names), "utf-8")
    mute = "- {all: true, reason: known, values: [{field: user.name, list: people, type: keyword}]}"
    (tmp_path / "exceptions" / "ours.yaml").write_text(mute, "utf-8")
    tuning = Tuning(exceptions=(tmp_path / "exceptions",))

    def run(query: str) -> Report:
        loaded(tmp_path, query)
        (rule,) = rulefile.load([tmp_path / "rule.yaml"], tuning).rules
        return at(store, NOW, replace(rule, rule_id=query))

    events = run("FROM logs-esql.*")
    assert (events.alerts_created, events.runs[0].warnings) == (20, ())
    groups = run("FROM logs-esql.* | STATS n = COUNT(*) BY user.name")
    assert groups.alerts_created == 3
    assert "not applied to aggregations" in groups.runs[0].warnings[0]


def test_more_rows_than_are_asked_for_are_no_loss(
    store: ElasticStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detecting, "EVENTS", 4)
    rule = loaded(tmp_path, "FROM logs-esql.* | SORT @timestamp DESC", timestamp_override="event.x")
    report = at(store, NOW, replace(rule, max_signals=1_000))
    assert (report.alerts_created, report.failed) == (30, False)
    times = [iso(NOW)] * 9
    scratch.fill(store, [event(200 + n, **{"@timestamp": t}) for n, t in enumerate(times)])
    report = at(store, NOW + timedelta(minutes=5), rule)
    (run,) = report.runs
    assert (run.alerts_created, report.failed) == (23, True)
    assert run.warnings == ("more than 4 rows in one window",)
    assert [gap.reason for gap in run.gaps] == ["more than 4 rows in one window"]


def test_a_limit_of_the_query_is_its_own(store: ElasticStore, tmp_path: Path) -> None:
    rule = loaded(tmp_path, "FROM logs-esql.* | SORT @timestamp | LIMIT 3")
    report = at(store, NOW, rule)
    assert (report.alerts_created, report.failed) == (3, False)


def test_a_cap_is_a_rate_here_too(store: ElasticStore, tmp_path: Path) -> None:
    rule = loaded(tmp_path, 'FROM logs-esql.* | WHERE user.name == "bob"', max_signals=6)
    assert [at(store, NOW, rule).alerts_created for _ in range(3)] == [6, 4, 0]


REFUSED = [
    ("FROM logs-esql.* | KEEP no.such.column", "Unknown column [no.such.column]"),
    ("FROM logs-esql.* | INLINE STATS n = COUNT(*)", "mismatched input 'INLINE'"),
    ("FROM logs-esql.test-default, logs-not-there", "no such index [logs-not-there]"),
]


@pytest.mark.parametrize(("query", "said"), REFUSED)
def test_a_query_that_is_refused_ends_its_own_rule_alone(
    store: ElasticStore, tmp_path: Path, query: str, said: str
) -> None:
    good = replace(loaded(tmp_path, "FROM logs-esql.*"), rule_id="good")
    report = at(store, NOW, loaded(tmp_path, query), good)
    runs = {run.rule_id: run for run in report.runs}
    assert said in (runs["r1"].error or "")
    assert runs["good"].alerts_created == 30


def test_no_index_yet_is_a_warning(store: ElasticStore, tmp_path: Path) -> None:
    report = at(store, NOW, loaded(tmp_path, "FROM logs-none-*, other-* | KEEP nothing"))
    assert report.runs[0].warnings == ("no index matches logs-none-*, other-*",)
    assert not report.failed


@pytest.mark.usefixtures("store")
def test_a_query_that_hangs_ends_with_the_clients_time_out(
    esql_node: WithEsql, tmp_path: Path
) -> None:
    """`KQL()` never answers on this node: its module is not there."""
    client = connect(esql_node.url, request_timeout=1)
    hasty = ElasticStore(client, "default", patience=NO_PATIENCE)
    rule = loaded(tmp_path, 'FROM logs-esql.* | WHERE KQL("user.name: ann")')
    asked = detecting.question(rule, Window(NOW - timedelta(minutes=6), NOW), NOW)
    (answer,) = hasty.search([asked])
    client.close()
    assert isinstance(answer, Failure)
    assert isinstance(answer.error, TimedOut)


SUPPRESSED = [
    (
        "FROM logs-esql.* | STATS Esql.count = COUNT(*) BY user.name, host.name",
        ["user.name"],
        [("ann", 5), ("bob", 5), ("cid", 5)],
    ),
    (
        "FROM logs-esql.* | EVAL Esql.who = TO_UPPER(user.name) | KEEP Esql.who",
        ["Esql.who"],
        [("ANN", 32), ("BOB", 32), ("CID", 33)],
    ),
]
"""A query, what suppresses its alerts, and how often each value is met besides the first time: of
events all that are there in the two hours, be it that no run has come to them yet."""


@pytest.mark.parametrize(("query", "by", "expected"), SUPPRESSED)
def test_rows_of_the_same_values_share_an_alert(  # noqa: PLR0917 - three of them are a table's
    esql: Elasticsearch,
    store: ElasticStore,
    tmp_path: Path,
    query: str,
    by: list[str],
    expected: list[tuple[str, int]],
) -> None:
    asked = {"group_by": by, "duration": {"value": 2, "unit": "h"}}
    rule = loaded(tmp_path, query, alert_suppression=asked)
    made = [at(store, now, rule).alerts_created for now in minutes(-10, -10, -5, 0, 0)]
    assert made == [3, 0, 0, 0, 0]
    found = written(esql)
    terms = [one["kibana.alert.suppression.terms"] for one in found]
    counts = [one["kibana.alert.suppression.docs_count"] for one in found]
    said = [(one["value"], count) for (one,), count in zip(terms, counts, strict=True)]
    assert sorted(said) == expected
