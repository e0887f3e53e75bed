"""The index template: what it says, and what a real node makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.alerts import mapping
from detector.model import Document, Match
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, NOW, TERMS, install, make_rule, shell_event

BODY, REPLACED = mapping.template("default", missing_types=())


def field(name: str, body: dict[str, Any] = BODY) -> dict[str, Any]:
    found: dict[str, Any] = {"properties": body["template"]["mappings"]["properties"]}
    for part in name.split("."):
        found = (found.get("properties") or found["fields"])[part]
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@timestamp", {"type": "date"}),
        ("host.name", {"type": "keyword", "ignore_above": 1024}),
        ("process.name.text", {"type": "match_only_text"}),
        ("kibana.alert.reason.text", {"type": "match_only_text"}),
        ("kibana.alert.uuid", {"type": "keyword", "ignore_above": 8191}),
        ("kibana.alert.risk_score", {"type": "float"}),
        ("kibana.alert.rule.parameters", {"type": "flattened", "ignore_above": 4096}),
        ("kibana.version", {"type": "version"}),
        ("container.cpu.usage", {"type": "scaled_float", "scaling_factor": 1000}),
        ("data_stream.dataset", {"type": "keyword", "ignore_above": 1024}),
        ("file.x509.public_key_exponent", {"type": "long", "index": False, "doc_values": False}),
        ("detector.rule.hash", {"type": "keyword", "ignore_above": 1024}),
    ],
)
def test_fields_have_their_types(name: str, expected: dict[str, Any]) -> None:
    assert field(name) == expected


def test_objects_keep_what_is_below_them() -> None:
    assert field("threat.enrichments")["type"] == "nested"
    assert field("threat.enrichments.matched.id")["type"] == "keyword"
    assert field("kibana.alert.ancestors.depth") == {"type": "long"}


@pytest.mark.parametrize("name", ["signal", "kibana.alert.rule.actions", "kibana.alert.rule.meta"])
def test_aliases_and_what_is_not_indexed_are_left_out(name: str) -> None:
    with pytest.raises(KeyError):
        field(name)


def test_types_the_cluster_lacks_are_replaced_and_said() -> None:
    body, replaced = mapping.template(
        "default", missing_types={"version", "flattened", "match_only_text", "unsigned_long"}
    )
    assert replaced == ["flattened -> object", "match_only_text -> text", "version -> keyword"]
    assert field("kibana.version", body) == {"type": "keyword", "ignore_above": 1024}
    assert field("kibana.alert.rule.parameters", body) == {"type": "object", "enabled": False}
    assert REPLACED == []


def test_what_is_known_of_a_template_changes_when_the_template_does() -> None:
    again, _ = mapping.template("default", missing_types=())
    fewer, _ = mapping.template("default", missing_types={"version"})
    assert again == BODY
    assert fewer["_meta"] != BODY["_meta"]


@pytest.mark.node
def test_a_node_takes_the_template_once_and_finds_an_alert(es: Elasticsearch) -> None:
    first, second = install(ElasticStore(es, "default")), install(ElasticStore(es, "default"))
    assert {piece.done for piece in first} == {"created", "skipped"}
    assert {piece.done for piece in second} == {"unchanged", "skipped"}
    assert "match_only_text -> text" in first[0].replaced
    document = Document(INDEX, "doc-1", shell_event(NOW), NOW)
    alert = alerts.build(Match((document,), NOW), make_rule(), TERMS.execution(NOW, NOW))
    es.create(index=alert.index, id=alert.id, document=alert.document, refresh=True)
    for query in (
        {"range": {"kibana.alert.risk_score": {"gt": 70, "lt": 74}}},
        {"term": {"kibana.alert.rule.name": "A shell"}},
        {"term": {"host.name": "node-1"}},
        {"term": {"event.kind": "signal"}},
        {"match": {"kibana.alert.reason.text": "bash"}},
        {"term": {"kibana.alert.rule.parameters.type": "eql"}},
        {"range": {"kibana.alert.original_time": {"gte": "2026-03-01T12:00:00Z"}}},
    ):
        hits = es.search(index="alerts-detector-default", query=query)["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == [alert.id], query
    assert hits[0]["_source"] == alert.document


@pytest.mark.node
@pytest.mark.parametrize(
    "odd",
    [
        {"host": "web-1", "labels": "x", "threat": {"enrichments": ["x"]}},
        {"host": {"name": {"a": 1}}, "process": {"interactive": {"a": 1}}, "host.name.a": 1},
        {"source": {"ip": "no address", "port": {"a": 1}}, "event": {"created": {"a": 1}}},
        {"event": {"category": [{"a": 1}], "created": "never", "severity": "high"}},
        {"": 1, " ": 1, "a..b": 1, "labels": {"a..b": 1}, ".": 1, "x": {"": 1}},
        {"message": "x" * 70_000, "process": {"command_line": "x" * 70_000, "name": "x" * 70_000}},
        {"file": {"elf": {"exports": "main"}}, "dns": {"answers": "x"}, "@timestamp": "never"},
        {"kibana": {"alert": "x"}, "kibana.alert.ancestors": 1, "kibana.alert.uuid": "forged"},
    ],
)
def test_a_node_refuses_no_alert_for_its_event(es: Elasticsearch, odd: dict[str, Any]) -> None:
    install(ElasticStore(es, "default"))
    document = Document("logs-odd", "doc-1", odd, NOW)
    long = make_rule(parameters={"query": "x" * 70_000, "note": "y" * 70_000})
    alert = alerts.build(Match((document,), NOW), long, TERMS.execution(NOW, NOW))
    assert es.create(index=alert.index, id=alert.id, document=alert.document)["result"] == "created"
