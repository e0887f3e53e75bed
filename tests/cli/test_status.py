"""`detector status` on a real node: silence, lag, missing fields, dead letters, hashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner, Result

from detector import cli, packaged
from detector.store import scratch
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, iso, shell_event

pytestmark = pytest.mark.node

SHELL = "8d3d0794-c776-476b-8674-ee2e685f6470"


@pytest.fixture(autouse=True)
def rules(at_node: Path) -> Path:
    """The rule of the shell, wanting one field that no index has."""
    text = (packaged.find("rules") / "interactive_shell_in_container.yaml").read_text()
    wanted = "required_fields: [{name: event.category, type: keyword, ecs: true}, {name: nowhere, "
    (at_node / "rules").mkdir()
    file = at_node / "rules" / "shell.yaml"
    file.write_text(f"{wanted}type: keyword, ecs: false}}]\n{text}")
    git = at_node / ".git"
    git.mkdir()
    (git / "HEAD").write_text("1" * 40)
    return at_node / "rules"


def detector(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def told(code: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that is said, and what is said of the one rule."""
    result = detector("status", "--json")
    assert result.exit_code == code, result.output
    document = json.loads(result.stdout)
    (rule,) = document["rules"]
    return document, rule


def put(es: Elasticsearch, happened: timedelta, ingested: timedelta) -> None:
    now = datetime.now(UTC)
    event = shell_event(now - happened, ingested=now - ingested)
    es.index(index=INDEX, document=event, refresh=True)


def test_silence_and_blindness_are_said_and_counted_and_no_failure(es: Elasticsearch) -> None:
    assert detector("setup").exit_code == 0
    document, rule = told(code=1)
    assert (rule["health"], rule["last_run"], document["silent"]) == ("never ran", None, 0)
    assert document["late"] == 1
    assert rule["warnings"] == ["no documents in logs-cloud_defend*"]
    scratch.template(ElasticStore(es, "default"), "events", ["logs-cloud_defend*"])
    put(es, timedelta(hours=3), timedelta(hours=2))
    assert detector("once").exit_code == 0
    document, rule = told()
    assert (rule["health"], document["silent"], document["late"]) == ("silent", 1, 0)
    assert rule["silent"] == ["logs-cloud_defend*"]
    assert rule["missing_fields"] == ["nowhere"]
    assert rule["lag"]["event_to_ingested_max_s"] == pytest.approx(3600)
    assert rule["lag"]["ingested_to_now_s"] == pytest.approx(7200, abs=60)
    assert rule["lag"]["late_max_s"] == 0
    shown = detector("status")
    assert shown.exit_code == 0
    assert "silent" in shown.stdout
    assert "nothing new in logs-cloud_defend*" in shown.stderr
    assert "required fields that no index has: nowhere" in shown.stderr
    assert "1 rules, 0 late or failing, 1 with a silent source" in shown.stderr
    put(es, timedelta(seconds=2), timedelta(seconds=1))
    document, rule = told()
    assert (rule["health"], document["silent"]) == ("fine", 0)
    assert rule["newest"] is not None


def test_alerts_and_run_records_name_the_rules_hash_and_commit(es: Elasticsearch) -> None:
    detector("setup")
    scratch.template(ElasticStore(es, "default"), "events", ["logs-cloud_defend*"])
    put(es, timedelta(seconds=20), timedelta(seconds=10))
    assert "1 alerts created" in detector("once").output
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    _, rule = told()
    last = rule["last_run"]
    assert (last["matches"], last["status"]) == (1, "succeeded")
    assert (last["rule_hash"], last["rule_commit"]) == (rule["rule_hash"], "1" * 40)
    assert len(rule["rule_hash"]) == 16
    (alert,) = es.search(
        index="alerts-detector-default", query={"term": {"detector.rule.commit": "1" * 40}}
    )["hits"]["hits"]
    assert alert["_source"]["detector.rule.hash"] == rule["rule_hash"]


def test_what_waits_and_dead_letters_are_told(es: Elasticsearch) -> None:
    detector("setup")
    now = datetime.now(UTC)
    spans = [(3, 2), (1.5, 1)]
    waiting = [
        {"start": iso(now - timedelta(hours=a)), "end": iso(now - timedelta(hours=b))}
        for a, b in spans
    ]
    es.index(
        index="detector-state-default",
        id=SHELL,
        document={"rule_id": SHELL, "end": iso(now), "waiting": waiting},
        refresh=True,
    )
    letters = [{"rule_id": SHELL, "reason": "refused"}] * 2 + [{"rule_id": "other"}]
    for letter in letters:
        es.index(index="detector-deadletter-default", document=letter, refresh=True)
    _, rule = told()
    assert (rule["waiting"], rule["waiting_s"], rule["dead_letters"]) == (2, 5400, 2)
    assert "1 h 30 m" in detector("status").stdout


def test_a_broken_rule_file_is_no_good_health(es: Elasticsearch, rules: Path) -> None:
    detector("setup")
    scratch.template(ElasticStore(es, "default"), "events", ["logs-cloud_defend*"])
    put(es, timedelta(seconds=20), timedelta(seconds=10))
    detector("once")
    assert told()[0]["broken"] == 0
    (rules / "broken.yaml").write_text("name: [\n")
    assert told(code=1)[0]["broken"] > 0
    assert "problems in rule files" in detector("status").stderr
