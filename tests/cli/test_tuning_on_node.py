"""Exceptions, a long value list and overlays on a real Elasticsearch, as a person uses them."""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.node

RULE = """\
rule_id: {id}
name: Rule {id}
description: A rule.
type: {type}
language: {language}
index: [logs-tuned-*]
severity: high
risk_score: 73
exceptions_list: [{{id: x, list_id: trusted, type: detection, namespace_type: single}}]
query: {query}
examples:
- {{name: a, event: {{event: {{category: process}}, host: {{name: web}}}}, alert: true}}
- {{name: b, event: {{event: {{category: process}}, host: {{name: build-1}}}}, alert: false}}
"""
FILES = {
    "rules/a.yaml": RULE.format(
        id="a", type="query", language="kuery", query="event.category:process"
    ),
    "rules/b.yaml": RULE.format(id="b", type="eql", language="eql", query="process where true"),
    "exceptions/ours.yaml": """\
- {all: true, language: kuery, query: "host.name:build-*", reason: build machines, owner: soc}
- {tags: none, rules: [a, b], reason: scanners, values: [{field: source.ip, list: hosts, type: ip}]}
- {all: true, language: kuery, query: "host.name:web", reason: over, expires: 2020-01-01}
""",
    "exceptions/kibana.ndjson": '{"list_id": "trusted", "type": "detection"}\n'
    '{"list_id": "trusted", "item_id": "1", "name": "A", "entries": [{"field": "user.name", '
    '"type": "match_any", "operator": "included", "value": ["root", "backup"]}]}\n',
    "exceptions/lists/hosts.txt": "".join(
        f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(100_000)
    ),
    "overlays/team.yaml": """\
overlays:
- {select: {id: b}, patch: {mode: shadow, severity: low}}
""",
}
EVENTS: dict[str, dict[str, Any]] = {
    "plain": {"host": {"name": "web"}},
    "built": {"host": {"name": "build-7"}},
    "scanned": {"source": {"ip": "10.1.134.159"}},
    "outside": {"source": {"ip": "10.1.134.160"}},
    "root": {"user": {"name": "root"}},
    "user": {"user": {"name": "rooty"}},
}
ALERTING = {"plain", "outside", "user"}


@pytest.fixture(autouse=True)
def tuned(at_node: Path) -> None:
    for name, text in FILES.items():
        (at_node / name).parent.mkdir(parents=True, exist_ok=True)
        (at_node / name).write_text(text)


def detector(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def alerted(es: Elasticsearch, alias: str) -> list[tuple[str, str, str]]:
    """Rule, event and severity of each alert."""
    es.indices.refresh(index=alias)
    found = [hit["_source"] for hit in es.search(index=alias, size=100)["hits"]["hits"]]
    return sorted(
        (one["kibana.alert.rule.rule_id"], one["event"]["id"], one["kibana.alert.severity"])
        for one in found
    )


def test_exceptions_mute_exactly_their_events_and_shadow_alerts_stand_apart(
    es: Elasticsearch,
) -> None:
    assert detector("test")["failed"] == []
    store, time = ElasticStore(es, "default"), datetime.now(UTC) - timedelta(minutes=2)
    scratch.template(store, "tuned", ["logs-tuned-*"])
    common = {"@timestamp": time.isoformat()}
    scratch.fill(
        store,
        [
            Stored(
                "logs-tuned-default",
                id_,
                common | event | {"event": {"category": "process", "id": id_}},
            )
            for id_, event in EVENTS.items()
        ],
    )
    detector("setup", "--kibana-file", "k.ndjson")
    checked = detector("check")
    assert [one["rules"] for one in checked["overlays"]] == [1]
    assert [one["message"][:32] for one in checked["problems"]] == [
        "the exception `over` has ended ("
    ]
    report = detector("once")
    assert report["alerts_created"] == 2 * len(ALERTING)
    assert [run["warnings"] for run in report["runs"]] == [[], []]
    live, shadow = "alerts-detector-default", "alerts-detector-default_shadow"
    assert alerted(es, live) == [("a", id_, "high") for id_ in sorted(ALERTING)]
    assert alerted(es, shadow) == [("b", id_, "low") for id_ in sorted(ALERTING)]
    assert detector("once")["alerts_created"] == 0, "they are known where they are"
    span = ("--from", "now-1h", "--to", "now")
    assert detector("backfill", *span)["alerts_created"] == 0
    Path("overlays/team.yaml").unlink()
    assert detector("backfill", *span)["alerts_created"] == len(ALERTING), "shadows count for none"
    assert len(alerted(es, live)) == 2 * len(ALERTING)


def test_a_shadow_rule_wants_the_template_of_its_alerts(es: Elasticsearch) -> None:
    detector("setup", "--kibana-file", "k.ndjson")
    es.indices.delete_index_template(name="alerts-detector-default_shadow")
    result = CliRunner().invoke(cli.app, ["once"])
    assert result.exit_code == 2
    assert "the index template alerts-detector-default_shadow is missing" in result.output
    checked = CliRunner().invoke(cli.app, ["check"])
    assert "alerts-detector-default_shadow is missing" in checked.output
