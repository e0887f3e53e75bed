"""State as documents: there and back, and strict."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from elasticsearch import BadRequestError, Elasticsearch

from detector.model import Checkpoint, Gap, Letter, RunRecord, Window
from detector.store import indices
from tests.builders import NOW

NAMES = indices.Names("default")
WINDOW = Window(NOW - timedelta(minutes=6), NOW)
RECORD = RunRecord(
    uuid="run-1",
    rule_id="rule-1",
    name="A rule",
    window=WINDOW,
    started=NOW,
    status="partial failure",
    kind="live",
    warnings=("one", "two"),
    gaps=(Gap("rule-1", WINDOW, "too old"),),
    rule_hash="1a2b",
)
LETTER = Letter(
    id="id-1",
    rule_id="rule-1",
    reason="refused",
    time=NOW,
    events=(("logs-x", "doc-1"),),
    index="alerts-detector-default-2026.03",
    document={"": 1, "a..b": {"c": [1]}, "host": "a"},
)


@pytest.mark.parametrize(
    "saved",
    [
        Checkpoint("rule-1", NOW),
        Checkpoint(
            "rule-1",
            NOW + timedelta(microseconds=1),
            (WINDOW, WINDOW),
            (WINDOW,),
            (WINDOW,),
            NOW,
            "1a",
        ),
    ],
)
def test_a_checkpoint_comes_back_as_it_was(saved: Checkpoint) -> None:
    assert indices.read_checkpoint(indices.checkpoint(saved)) == saved
    assert indices.read_checkpoint(indices.checkpoint(saved, updated=NOW)) == saved


def test_names_say_space_and_month() -> None:
    late = datetime(2026, 2, 28, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert NAMES.runs(late) == "detector-runs-default-2026.03"
    assert NAMES.state == "detector-state-default"
    assert NAMES.deadletter == "detector-deadletter-default"


@pytest.mark.parametrize("name", [NAMES.state, NAMES.runs(NOW), NAMES.deadletter])
def test_nothing_that_holds_state_looks_like_alerts(name: str) -> None:
    assert not name.startswith(NAMES.alerts)


def test_a_run_record_names_all_its_fields() -> None:
    document = indices.run(RECORD)
    assert document.keys() == indices.RUNS.keys()
    assert document["gap"] == [
        {
            "start": "2026-03-01T11:54:00.000000Z",
            "end": "2026-03-01T12:00:00.000000Z",
            "reason": "too old",
        }
    ]


@pytest.mark.node
@pytest.mark.parametrize(
    ("name", "document"),
    [
        (NAMES.state, indices.checkpoint(Checkpoint("rule-1", NOW, (WINDOW,)), updated=NOW)),
        (NAMES.runs(NOW), indices.run(RECORD)),
        (NAMES.deadletter, indices.dead_letter(LETTER, NOW)),
    ],
)
def test_a_node_keeps_state_and_refuses_what_is_not_ours(
    es: Elasticsearch, name: str, document: dict[str, Any]
) -> None:
    for template, body in NAMES.templates().items():
        arguments = {key.removeprefix("_"): value for key, value in body.items()}
        es.indices.put_index_template(name=template, **arguments)
    es.index(index=name, document=document)
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping_exception"):
        es.index(index=name, document=document | {"stranger": 1})
    hidden = es.indices.get_settings(index=name)[name]["settings"]["index"]["hidden"]
    assert hidden == "true"
