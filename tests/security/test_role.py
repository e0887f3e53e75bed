"""A key of the role that `setup --role` prints: all a daemon does works, all else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AuthorizationException, Elasticsearch
from typer.testing import CliRunner

from detector import cli, packaged
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import INDEX, shell_event, stored
from tests.security.node import Secured

pytestmark = pytest.mark.node
RULES = packaged.find("rules")
SPACE = "least"


@dataclass(frozen=True, slots=True)
class Daemon:
    """What runs with the narrow key; `admin` sees and does everything."""

    key: str
    client: Elasticsearch
    admin: Elasticsearch


def detector(*arguments: str, code: int = 0, rules: Path = RULES) -> str:
    result = CliRunner().invoke(cli.app, [*arguments, "--rules", str(rules)])
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def _environment(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_URL", secured.url)
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_CA_CERTS", str(secured.ca))
    monkeypatch.setenv("DETECTOR_SPACE", SPACE)
    with monkeypatch.context() as administrator:
        administrator.setenv("DETECTOR_ELASTICSEARCH_USERNAME", "elastic")
        administrator.setenv("DETECTOR_ELASTICSEARCH_PASSWORD", secured.password)
        detector("setup")
    yield


@pytest.fixture
def daemon(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """An event that alerts, another index, and the key as `setup --role` describes it."""
    admin = secured.client()
    store = ElasticStore(admin, SPACE)
    scratch.template(store, "events", ["logs-cloud_defend*"])
    scratch.fill(store, stored([shell_event(datetime.now(UTC) - timedelta(seconds=20))]))
    admin.index(index="payroll", id="1", document={"salary": 1}, refresh=True)
    body = json.loads(detector("setup", "--role", "--json"))
    key = admin.security.create_api_key(**body["api_key"])["encoded"]
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_API_KEY", key)
    return Daemon(key, secured.client(api_key=key), admin)


def test_everything_a_daemon_does_works(daemon: Daemon) -> None:
    assert daemon.key
    problems = json.loads(detector("check", "--json"))["problems"]
    assert [one for one in problems if one["level"] == "error"] == []
    done = json.loads(detector("once", "--json"))
    assert [run["error"] for run in done["runs"] if run["error"]] == []
    backfilled = json.loads(detector("backfill", "--from", "now-1h", "--json"))
    assert done["alerts_created"] + backfilled["alerts_existing"] >= 1
    daemon.admin.indices.refresh(index="detector-*", expand_wildcards="all")
    assert json.loads(detector("status", "--json"))["rules"]
    assert json.loads(detector("gaps", "list", "--json"))["gaps"] == []
    (listed, *_) = detector("alerts", "list", "--json").splitlines()
    alert = json.loads(listed)["kibana.alert.uuid"]
    assert json.loads(detector("alerts", "show", alert, "--json"))


def alert_of(admin: Elasticsearch) -> dict[str, Any]:
    (hit, *_) = admin.search(index=f"alerts-detector-{SPACE}", size=1)["hits"]["hits"]
    return dict(hit)


# Adding a field to a mapping is not here: Elasticsearch lets whoever may add documents do that.
REFUSED: dict[str, Callable[[Elasticsearch, dict[str, Any]], object]] = {
    "reading another index": lambda es, _: es.search(index="payroll"),
    "getting from another index": lambda es, _: es.get(index="payroll", id="1"),
    "writing elsewhere": lambda es, _: es.index(index="payroll", document={}),
    "creating an index": lambda es, _: es.indices.create(index="loot"),
    "deleting an alert": lambda es, alert: es.delete(index=alert["_index"], id=alert["_id"]),
    "changing an alert": lambda es, alert: es.update(
        index=alert["_index"], id=alert["_id"], doc={"kibana.alert.severity": "low"}
    ),
    "overwriting an alert": lambda es, alert: es.index(
        index=alert["_index"], id=alert["_id"], document={}
    ),
    "deleting the alerts' index": lambda es, alert: es.indices.delete(index=alert["_index"]),
    "writing events": lambda es, _: es.index(
        index="logs-cloud_defend.process-default", document={}
    ),
    "deleting the state index": lambda es, _: es.indices.delete(index=f"detector-state-{SPACE}"),
    "another space's alerts": lambda es, _: es.search(index="alerts-detector-other"),
    "another space's state": lambda es, _: es.get(index="detector-state-other", id="1"),
    "making a key": lambda es, _: es.security.create_api_key(name="more"),
    "changing a template": lambda es, _: es.indices.put_index_template(
        name="t", index_patterns=["t-*"]
    ),
    "changing the cluster": lambda es, _: es.cluster.put_settings(
        persistent={"cluster.max_shards_per_node": 1}
    ),
}


def test_the_cluster_refuses_all_else(daemon: Daemon) -> None:
    detector("once")
    daemon.admin.indices.refresh(index=f"alerts-detector-{SPACE}")
    alert = alert_of(daemon.admin)
    allowed = []
    for what, request in REFUSED.items():
        try:
            request(daemon.client, alert)
        except AuthorizationException as refused:
            assert refused.status_code == 403
        else:
            allowed.append(what)
    assert allowed == []
    assert alert_of(daemon.admin)["_source"] == alert["_source"]
    seen = {hit["_index"] for hit in daemon.client.search(index="*", size=100)["hits"]["hits"]}
    own = ("logs-cloud_defend", f"alerts-detector-{SPACE}")
    assert [index for index in seen if not index.startswith(own)] == []


SUPPRESSING = """
rule_id: suppressing
name: One alert for a host
description: d
type: eql
index: [logs-cloud_defend*]
severity: low
risk_score: 21
query: any where event.action == "suppressed"
alert_suppression: {group_by: [host.name], duration: {value: 1, unit: h}}
"""


def test_a_rule_that_suppresses_takes_a_key_that_may_change_alerts(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "suppressing.yaml"
    rules.write_text(SUPPRESSING)
    store = ElasticStore(daemon.admin, SPACE)

    def happens(seconds: int) -> None:
        at = datetime.now(UTC) - timedelta(seconds=seconds)
        scratch.fill(store, [Stored(INDEX, f"s{seconds}", shell_event(at, action="suppressed"))])

    happens(60)
    detector("once", rules=rules)
    happens(30)
    problems = json.loads(detector("check", "--json", rules=rules, code=1))["problems"]
    assert ["lack index" in one["message"] for one in problems if one["level"] == "error"]
    (run,) = json.loads(detector("once", "--json", rules=rules, code=1))["runs"]
    assert "the update of an alert was refused (403)" in run["error"]
    body = json.loads(detector("setup", "--role", "--json", rules=rules))
    key = daemon.admin.security.create_api_key(**body["api_key"])["encoded"]
    monkeypatch.setenv("DETECTOR_ELASTICSEARCH_API_KEY", key)
    (run,) = json.loads(detector("once", "--json", rules=rules))["runs"]
    assert run["error"] is None
    daemon.admin.indices.refresh(index=f"alerts-detector-{SPACE}")
    asked = {"term": {"kibana.alert.rule.rule_id": "suppressing"}}
    found = daemon.admin.search(index=f"alerts-detector-{SPACE}", query=asked)["hits"]["hits"]
    assert [one["_source"]["kibana.alert.suppression.docs_count"] for one in found] == [1]
