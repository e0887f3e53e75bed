"""Rules of type esql as a person uses them: on a cluster with ES|QL, and on one without."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from detector import cli
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import iso
from tests.cli import test_on_node as central
from tests.esql.node import WithEsql

RULE = """\
rule_id: {id}
name: Rule {id}
description: A rule.
type: esql
language: esql
severity: high
risk_score: 73
from: now-10m
query: |
  FROM logs-esql.*
{query}
examples:
- name: two failures
  events:
  - {{event: {{outcome: failure}}, user: {{name: ann}}}}
  - {{event: {{outcome: failure}}, user: {{name: bob}}}}
  - {{event: {{outcome: success}}, user: {{name: ann}}}}
  alerts: {alerts}
- name: none
  event: {{event: {{outcome: success}}}}
  alert: false
"""
FAILED = '  | WHERE event.outcome == "failure" AND host.name IS NULL'
COUNTED = """\
  | WHERE event.outcome == "failure" AND source.ip IS NULL
  | STATS Esql.users = COUNT_DISTINCT(user.name) BY event.outcome
  | WHERE Esql.users > 1 AND now() > TO_DATETIME("2020-01-01")
  | KEEP Esql.*"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DETECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    for id_, query, alerts in (("events", FAILED, 2), ("groups", COUNTED, 1)):
        text = RULE.format(id=id_, query=query, alerts=alerts)
        (tmp_path / "rules" / f"{id_}.yaml").write_text(text, "utf-8")
    plain = RULE.replace("esql\n", "query\n", 1).replace("language: esql", "language: kuery")
    plain = plain.format(id="plain", query="", alerts=2).replace(
        "query: |\n  FROM logs-esql.*\n", ""
    )
    plain += "query: 'event.outcome: failure'\nindex: [logs-esql.*]\n"
    (tmp_path / "rules" / "plain.yaml").write_text(plain, "utf-8")


def detector(*arguments: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def detector_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(detector(*arguments, "--json", code=code)[0])


def fill(es: Elasticsearch) -> None:
    """Two failed logins, a moment ago."""
    store = ElasticStore(es, "default")
    time = iso(datetime.now(UTC) - timedelta(seconds=20))
    named = {"host.name", "event.outcome"}
    es.indices.put_index_template(
        name="events",
        index_patterns=["logs-esql.*"],
        template={"mappings": scratch.mappings(named=named)},
    )
    scratch.fill(
        store,
        [
            Stored(
                "logs-esql.test",
                name,
                {"@timestamp": time, "event": {"outcome": "failure"}, "user": {"name": name}},
            )
            for name in ("ann", "bob")
        ],
    )


def test_examples_are_named_and_not_run_without_a_cluster() -> None:
    out, _ = detector("test")
    assert out.count("only with --url") == 2
    assert "2 examples of 3 rules, 0 wrong" in "".join(detector("test"))


def test_what_is_sent_is_shown_with_its_filter() -> None:
    (search,) = detector_json("compile", "groups")["searches"]
    assert search["query"] == {"match_all": {}}
    assert "| EVAL _detector_key_0 = event.outcome" in search["esql"]
    assert search["esql"].endswith("| KEEP Esql.*, _detector_key_0\n| LIMIT 10000")
    assert "now()" not in search["esql"]
    shown, _ = detector("compile", "events")
    assert "FROM logs-esql.* METADATA _id, _index, _version\n" in shown


@pytest.mark.parametrize(
    ("query", "place", "said"),
    [
        ('  | WHERE a == "open\n  | LIMIT 1', ":11:16", "this string is not closed"),
        ("  | WHERE a > ?start", ":11:15", "a rule has no parameters to give"),
    ],
)
def test_what_is_plainly_wrong_is_named_with_its_place(query: str, place: str, said: str) -> None:
    Path("rules/events.yaml").write_text(RULE.format(id="events", query=query, alerts=0), "utf-8")
    _, err = detector("check", code=1)
    assert f"events.yaml{place}" in err
    assert said in err


@pytest.mark.node
def test_the_loop_on_a_cluster_with_esql(
    esql: Elasticsearch, esql_node: WithEsql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_URL", esql_node.url)
    detector("setup")
    fill(esql)
    problems = detector_json("check")["problems"]
    assert not [one for one in problems if one["level"] == "error" or "ES|QL" in one["message"]]
    report = detector_json("once")
    created = {run["rule_id"]: run["alerts_created"] for run in report["runs"]}
    assert created == {"events": 2, "groups": 1, "plain": 2}
    assert {run["status"] for run in report["runs"]} == {"succeeded"}
    again = detector_json("once")
    assert (again["alerts_created"], again["alerts_existing"]) == (0, 5)
    tested = detector_json("test", "--url", esql_node.url)
    assert (tested["rules"], tested["failed"]) == (3, [])


@pytest.mark.node
@pytest.mark.parametrize(
    "central_test",
    [
        central.test_the_examples_of_all_rules_alert_once_each_and_nothing_else,
        central.test_a_second_setup_changes_nothing,
    ],
)
def test_what_holds_on_9_1_holds_on_8_19(
    esql: Elasticsearch,
    esql_node: WithEsql,
    monkeypatch: pytest.MonkeyPatch,
    central_test: Callable[[Elasticsearch], None],
) -> None:
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_URL", esql_node.url)
    central_test(esql)


@pytest.mark.node
def test_a_cluster_without_esql_is_said_once_and_the_others_run(
    es: Elasticsearch, node_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_URL", node_url)
    detector("setup")
    fill(es)
    lacking = "this cluster has no ES|QL"
    problems = detector_json("check")["problems"]
    assert [one["rule_id"] for one in problems if lacking in one["message"]] == ["events", "groups"]
    out, err = detector("once", "--json")
    assert [run["rule_id"] for run in json.loads(out)["runs"]] == ["plain"]
    assert err.count(lacking) == 1
    assert "2 rules do not run: Rule events, Rule groups" in err
    assert lacking in detector("status")[1]
    assert lacking in detector("backfill", "--from", "now-1h")[1]
    assert lacking in detector("test", "--url", node_url)[1]
