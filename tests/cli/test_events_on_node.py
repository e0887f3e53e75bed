"""An event of a real cluster explained, and made an example."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner, Result

from detector import cli, packaged, rulefile
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import INDEX, shell_event

pytestmark = pytest.mark.node

SHELL = "interactive_shell_in_container"


@pytest.fixture(autouse=True)
def rules(at_node: Path) -> Path:
    """The rules in a folder that may be written to."""
    shutil.copytree(packaged.find("rules"), at_node / "rules")
    return at_node / "rules"


def detector(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def fill(es: Elasticsearch, *documents: tuple[str, str, dict[str, Any]]) -> None:
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-cloud_defend*", "elsewhere"])
    scratch.fill(store, [Stored(*document) for document in documents])


def test_an_event_is_explained_where_it_lies(es: Elasticsearch) -> None:
    event = shell_event(datetime.now(UTC))
    quiet = event | {"process": event["process"] | {"args": ["bash", "-c"]}}
    fill(es, (INDEX, "a/b", event), (INDEX, "quiet", quiet), ("elsewhere", "a/b", event))
    es.indices.put_alias(index=f"{INDEX},elsewhere", name="both")
    found = detector("explain", SHELL, f"{INDEX}/a/b", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["held"], told["covered"]) == (0, True, True)
    assert (told["index"], told["id"]) == (INDEX, "a/b")
    assert detector("explain", SHELL, f"{INDEX}/quiet").exit_code == 1
    other = detector("explain", SHELL, "elsewhere/a/b")
    assert other.exit_code == 0
    assert "warning: the rule does not look into elsewhere" in other.stderr
    for name, said in (
        (f"{INDEX}/nobody", f"no document nobody in {INDEX}"),
        ("nowhere/1", "no such index [nowhere]"),
        ("both/a/b", "several documents a/b in both"),
    ):
        result = detector("explain", SHELL, name)
        assert result.exit_code == 1, result.output
        assert said in result.stderr


def test_what_only_the_index_knows_is_seen(es: Elasticsearch) -> None:
    fill(es)
    es.indices.create(
        index=INDEX,
        mappings={
            "properties": {
                "kind": {"type": "keyword"},
                "event.type": {"type": "alias", "path": "kind"},
            }
        },
    )
    event = shell_event(datetime.now(UTC)) | {"kind": "start"}
    event["event"].pop("type")
    fill(es, (INDEX, "1", event))
    result = detector("explain", SHELL, f"{INDEX}/1")
    assert 'event.type = "start"  ✓ is start' in result.stdout
    assert result.exit_code == 0


def test_elasticsearch_answers_what_only_it_can_and_is_heard(es: Elasticsearch) -> None:
    event = shell_event(datetime.now(UTC))
    fill(es, (INDEX, "1", event), ("elsewhere", "1", event))
    rule = {
        "rule_id": "r", "name": "r", "description": "d", "severity": "low", "risk_score": 1,
        "type": "query", "language": "lucene", "query": "*:*", "index": [f"{INDEX}*"],
        "filters": [{"query": {"terms_set": {"process.args": {
            "terms": ["bash", "-i"], "minimum_should_match": 2}}}}],
    }  # fmt: skip
    Path("rule.ndjson").write_text(json.dumps(rule))
    result = detector("explain", "rule.ndjson", f"{INDEX}/1", "--json")
    (condition,) = json.loads(result.stdout)["conditions"]
    assert condition["explanation"]["held"] is None, "of no use here if it is understood"
    assert (result.exit_code, condition["held"], condition["elasticsearch"]) == (0, True, True)

    es.indices.create(
        index=f"{INDEX}-text", mappings={"properties": {"process.name": {"type": "text"}}}
    )
    fill(es, (f"{INDEX}-text", "1", event | {"process": {"name": "Bash shell"}}))
    Path("rule.ndjson").write_text(
        json.dumps(rule | {"language": "kuery", "query": "process.name: bash", "filters": []})
    )
    result = detector("explain", "rule.ndjson", f"{INDEX}-text/1")
    assert 'says "bash"' in result.stdout
    assert "otherwise" not in result.stderr

    folded = {"type": "keyword", "normalizer": "lowercase"}
    es.indices.create(index=f"{INDEX}-folded", mappings={"properties": {"process.name": folded}})
    fill(es, (f"{INDEX}-folded", "1", event | {"process": {"name": "BASH"}}))
    result = detector("explain", "rule.ndjson", f"{INDEX}-folded/1")
    assert "Elasticsearch answers otherwise" in result.stderr


def test_an_event_becomes_an_example_that_holds(es: Elasticsearch, rules: Path) -> None:
    event = shell_event(datetime.now(UTC)) | {"user": {"name": "alice"}, "message": "secret"}
    quiet = event | {"process": event["process"] | {"args": ["bash", "-c"]}}
    fill(es, (INDEX, "loud", event), (INDEX, "quiet", quiet))
    file = rules / f"{SHELL}.yaml"
    before = file.read_text()
    shown = detector("example", "add", SHELL, f"{INDEX}/loud", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert file.read_text() == before
    assert shown.stdout.startswith('- name: "cloud_defend.process exec, seen ')
    assert detector("example", "add", SHELL, f"{INDEX}/loud", "--name", "loud").exit_code == 0
    added = detector(
        "example", "add", SHELL, f"{INDEX}/quiet", "--negative", "--name", "quiet", "--json"
    )
    told = json.loads(added.stdout)
    assert set(told) == {"rule_id", "file", "example", "holds", "replaced", "kept"}
    assert (told["holds"], told["example"]["alert"]) == (True, False)
    wrong = detector("example", "add", SHELL, f"{INDEX}/loud", "--negative", "--name", "loud")
    assert "does not hold" in wrong.stderr
    text = file.read_text()
    assert text.startswith(before)
    assert "secret" not in text.removeprefix(before)
    (rule,) = rulefile.load([file]).rules
    assert [(one.name, one.alerts) for one in rule.examples[-3:]] == [
        ("loud", 1),
        ("quiet", 0),
        ("loud (2)", 0),
    ]
    tested = json.loads(detector("test", SHELL, "--json").stdout)
    assert [one["example"] for one in tested["failed"]] == ["loud (2)"]
