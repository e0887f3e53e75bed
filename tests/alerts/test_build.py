"""Matches to alerts: a worked one, and what holds for all."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import __version__, alerts
from detector.alerts import mapping
from detector.model import Document, Execution, Match, Rule
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
Fields: TypeAlias = dict[str, list[Any]]
EXECUTION = TERMS.execution(NOW, NOW)


class TextTimes(yaml.SafeLoader):
    """Times stay the text they are in an event."""


TextTimes.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

WORKED: dict[str, Any] = yaml.load(
    (Path(__file__).parent / "worked.yaml").read_text(),
    Loader=TextTimes,  # noqa: S506 - a safe one
)


def document(source: dict[str, Any], fields: Fields | None = None) -> Document:
    return Document(INDEX, "doc-1", source, NOW, fields or {})


def build(
    source: dict[str, Any], rule: Rule | None = None, fields: Fields | None = None
) -> dict[str, Any]:
    match = Match((document(source, fields),), NOW)
    return alerts.build(match, rule or make_rule(), EXECUTION).document


def worked() -> dict[str, Any]:
    """The alert of the worked event."""
    run = WORKED["execution"]
    execution = Execution(
        **run
        | {
            "time": datetime.fromisoformat(run["time"]),
            "intended": datetime.fromisoformat(run["intended"]),
            "identity": TERMS.identity,
        }
    )
    beside = WORKED["beside"]
    rule = make_rule(name=beside["name"], parameters=WORKED["parameters"] | beside, hash="1a2b3c")
    event = Document(WORKED["index"], WORKED["id"], WORKED["event"], NOW, WORKED["fields"])
    return alerts.build(Match((event,), NOW), rule, execution).document


def test_the_worked_alert_has_each_key_and_no_other() -> None:
    alert = worked()
    expected = WORKED["alert"] | {
        "detector.version": __version__,
        "kibana.alert.uuid": alert["kibana.alert.uuid"],
        "kibana.alert.url": alert["kibana.alert.url"],
    }
    assert alert.keys() == expected.keys()
    for key, value in expected.items():
        assert alert[key] == value, key


def test_the_link_leads_to_kibana_with_its_base_path() -> None:
    alert = worked()
    assert alert["kibana.alert.url"] == (
        "https://kibana.example.org/base/app/discover#/doc/alerts-detector-default/"
        f"alerts-detector-default-2026.03?id={alert['kibana.alert.uuid']}"
    )


def test_no_kibana_no_link() -> None:
    assert "kibana.alert.url" not in build(shell_event(NOW))


def test_the_alert_says_its_own_id() -> None:
    match = Match((document(shell_event(NOW)),), NOW)
    alert = alerts.build(match, make_rule(), EXECUTION)
    assert alert.document["kibana.alert.uuid"] == alert.id
    assert alert.id == alerts.alert_id(match, make_rule(), EXECUTION)
    assert (len(alert.id), alert.time) == (64, NOW)


def test_every_key_of_an_alert_is_a_known_field() -> None:
    keys = {key for key in worked() if key.startswith(("kibana.", "detector.", "event."))}
    meta = {key for key in keys if key.startswith("kibana.alert.rule.meta.")}
    known = mapping.types()
    objects = {key for key in keys if any(name.startswith(f"{key}.") for name in known)}
    assert keys - meta - objects <= known.keys()


def test_kibanas_own_keys_are_all_there_but_those_of_a_server() -> None:
    example = REFERENCE / "alert_example.json"
    if not example.exists():
        pytest.skip("the example of an alert is not here: ../shared/reference/alert_example.json")
    keys = {key for key in json.loads(example.read_text())["_source"] if key.startswith("kibana.")}
    of_the_event = {key for key in keys if "original_event" in key}
    of_a_server = {
        f"kibana.alert.rule.{key}"
        for key in ("created_at", "created_by", "updated_at", "updated_by")
    }
    assert keys - worked().keys() - of_the_event == of_a_server


def test_a_manual_run_keeps_its_nominal_time() -> None:
    execution = TERMS.execution(NOW, NOW - timedelta(days=3), "backfill")
    match = Match((document(shell_event(NOW)),), NOW)
    alert = alerts.build(match, make_rule(), execution).document
    assert alert["@timestamp"] == "2026-03-01T12:00:00.000Z"
    assert alert["kibana.alert.intended_timestamp"] == "2026-02-26T12:00:00.000Z"
    assert alert["kibana.alert.rule.execution.type"] == "manual"


def test_an_alert_on_an_alert_continues_its_line() -> None:
    first = alerts.build(Match((document(shell_event(NOW)),), NOW), make_rule(), EXECUTION)
    hit = Document(first.index, first.id, first.document, NOW)
    rule = make_rule(rule_id="on-alerts", name="Alerts")
    second = alerts.build(Match((hit,), NOW), rule, EXECUTION)
    assert second.id != first.id
    assert second.index == first.index
    assert second.document["kibana.alert.depth"] == 2
    assert second.document["kibana.alert.ancestors"] == [
        {"id": "doc-1", "type": "event", "index": INDEX, "depth": 0},
        {
            "id": first.id,
            "type": "signal",
            "index": first.index,
            "depth": 1,
            "rule": first.document["kibana.alert.rule.uuid"],
        },
    ]
    assert second.document["kibana.alert.rule.name"] == "Alerts"
    assert second.document["kibana.alert.original_event.id"] == first.document["event"]["id"]


def test_an_alert_on_an_alert_does_not_inherit_what_was_done_with_it() -> None:
    hit = build(shell_event(NOW)) | {
        "kibana.alert.workflow_status": "closed",
        "kibana.alert.workflow_user": "ann",
        "kibana.alert.building_block_type": "default",
        "kibana.alert.suppression.docs_count": 3,
    }
    alert = build(hit)
    assert alert["kibana.alert.workflow_status"] == "open"
    assert not alert.keys() & {
        "kibana.alert.workflow_user",
        "kibana.alert.building_block_type",
        "kibana.alert.suppression.docs_count",
    }


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"event": {"kind": "event", "id": "a"}}, "event"),
        ({"event.kind": "event"}, "event"),
        ({"event.kind": "state", "event": {"id": "a"}}, "state"),
    ],
)
def test_the_kind_of_the_event_is_kept_apart(source: dict[str, Any], kind: str) -> None:
    alert = build(source)
    assert alert["event.kind"] == "signal"
    assert alert["kibana.alert.original_event.kind"] == kind
    assert "kind" not in alert.get("event", {})


def test_what_only_the_index_holds_is_filled_in_where_it_was_asked_for() -> None:
    source = {"data_stream": {"type": "logs"}, "host": {"name": "from the source"}}
    fields = {
        "data_stream.dataset": ["cloud_defend.process"],
        "host.name": ["from the index"],
        "host.ip": ["10.0.0.1"],
    }
    alert = build(source, fields=fields)
    assert alert["data_stream"] == {"type": "logs", "dataset": "cloud_defend.process"}
    assert alert["host"] == {"name": "from the source"}
    assert alert["kibana.alert.original_data_stream.dataset"] == "cloud_defend.process"


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ({"host": "web-1"}, {}),
        ({"host": ["web-1", {"name": "a"}]}, {"host": [{"name": "a"}]}),
        ({"host": {"name": {"first": "web"}, "id": "1"}}, {"host": {"id": "1"}}),
        ({"host.name.first": "web", "host.id": "1"}, {"host.id": "1"}),
        ({"source": {"ip": "no address"}}, {"source": {"ip": "no address"}}),
        ({"source": {"geo": {"location": [1, 2]}}}, {"source": {"geo": {"location": [1, 2]}}}),
        ({"file": {"elf": {"exports": "main"}}}, {"file": {"elf": {}}}),
        ({"labels": {"a..b": 1, "c": 2}}, {"labels": {"c": 2}}),
        ({"": 1, "own": {"": 1}, "own.a": 2}, {"own": {"": 1}, "own.a": 2}),
        ({"host": None, "user": [None]}, {"host": None, "user": [None]}),
    ],
)
def test_what_the_mapping_would_refuse_is_left_out(
    source: dict[str, Any], kept: dict[str, Any]
) -> None:
    ours = build({}).keys()
    assert {key: value for key, value in build(source).items() if key not in ours} == kept


def test_rules_of_every_type_have_a_category() -> None:
    for type_ in ("query", "eql", "esql", "threshold", "threat_match", "new_terms"):
        alert = build({}, make_rule(type=type_))
        assert alert["kibana.alert.rule.rule_type_id"].startswith("siem.")


KEYS = st.sampled_from(
    ["event", "event.id", "id", "kind", "host", "name", "@timestamp", "kibana", "a.b", "ingested"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("2026-01-01"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
@pytest.mark.slow
def test_any_document_becomes_the_same_alert_each_time_and_stays_as_it_is(
    source: dict[str, Any],
) -> None:
    before = copy.deepcopy(source)
    match = Match((document(source),), NOW)
    first = alerts.build(match, make_rule(), EXECUTION)
    later = TERMS.execution(NOW + timedelta(days=1), NOW)
    second = alerts.build(match, make_rule(), later)
    assert source == before
    assert (first.id, first.index) == (second.id, second.index)
    assert first.document["event.kind"] == "signal"
    json.dumps(first.document)
