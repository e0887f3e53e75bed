"""Machine learning rules alert on what anomaly detection jobs have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from detector import rulefile
from detector.model import Rule, RunRecord
from detector.run import cycle
from detector.run.cycle import Report
from detector.store.memory import MemoryStore, Stored
from tests.builders import NOW, TERMS, iso
from tests.language import shared

SHARED = ".ml-anomalies-shared-000001"
TEXT = """\
rule_id: odd
name: Odd
description: A rule.
type: machine_learning
machine_learning_job_id: [odd, rare]
anomaly_threshold: 50
severity: low
risk_score: 21
from: now-45m
interval: 15m
"""


@pytest.fixture
def rule(tmp_path: Path) -> Rule:
    return load(tmp_path, TEXT)


def load(folder: Path, text: str) -> Rule:
    (folder / "rule.yaml").write_text(text)
    loaded = rulefile.load([folder / "rule.yaml"])
    assert loaded.problems == ()
    (found,) = loaded.rules
    return found


def record(id_: str, minutes: float = 10, index: str = SHARED, **fields: Any) -> Stored:
    """As a job writes it: its time in milliseconds, its influencers at the top."""
    millis = int((NOW - timedelta(minutes=minutes)).timestamp() * 1_000)
    source: Mapping[str, Any] = {
        "job_id": "odd",
        "result_type": "record",
        "record_score": 75.5,
        "is_interim": False,
        "timestamp": millis,
        "bucket_span": 900,
        "by_field_name": "process.name",
        "by_field_value": "nc",
        "host.name": ["node-1"],
        "user.name": ["ann"],
        "influencers": [
            {"influencer_field_name": "host.name", "influencer_field_values": ["node-1"]}
        ],
    }
    return Stored(index, f"{source['job_id']}_record_{id_}", {**source, **fields})


def running(job: str, minutes: float = 20) -> Stored:
    return record(f"bucket-{job}", minutes, job_id=job, result_type="bucket")


ALIVE = (running("odd"), running("rare"))


def run(store: MemoryStore, rule: Rule) -> Report:
    report = cycle.run(store, [rule], NOW, TERMS, clock=lambda: NOW)
    assert not report.failed, report.runs
    return report


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({}, 1),
        ({"job_id": "rare"}, 1),
        ({"job_id": "other"}, 0),
        ({"record_score": 50}, 1),
        ({"record_score": 49.99}, 0),
        ({"result_type": "influencer"}, 0),
        ({"is_interim": True}, 0),
        ({"minutes": 44}, 1),
        ({"minutes": 46}, 0),
    ],
)
def test_a_record_that_is_odd_enough_makes_an_alert(
    rule: Rule, changes: dict[str, Any], made: int
) -> None:
    store = MemoryStore([record("a", **changes), *ALIVE])
    for again in (made, 0):
        report = run(store, rule)
        assert (report.alerts_created, report.runs[0].warnings) == (again, ())


def test_an_alert_has_the_fields_and_the_time_of_its_record(rule: Rule) -> None:
    store = MemoryStore([record("a"), *ALIVE])
    run(store, rule)
    (alert,) = store.alerts.values()
    body = alert.document
    assert body["kibana.alert.reason"] == "event by ann on node-1 created low alert Odd."
    assert body["kibana.alert.original_time"] == iso(NOW - timedelta(minutes=10))
    assert alert.index == "alerts-detector-default-2026.03"
    assert body["record_score"] == 75.5
    assert body["influencers"][0]["influencer_field_values"] == ["node-1"]
    assert body["kibana.alert.ancestors"][0]["id"] == "odd_record_a"
    assert body["kibana.alert.rule.parameters"]["anomaly_threshold"] == 50


def test_a_record_is_the_same_wherever_it_lies(rule: Rule) -> None:
    store = MemoryStore([record("a"), record("b", minutes=12), *ALIVE])
    assert run(store, rule).alerts_created == 2
    store.documents = [record("a", index=".ml-anomalies-custom-odd"), *ALIVE]
    assert run(store, rule).alerts_created == 0


INSTALLED = "is it installed and running?"


@pytest.mark.parametrize(
    ("documents", "warnings"),
    [
        (
            [],
            [
                f"the machine learning job odd has no results: {INSTALLED}",
                f"the machine learning job rare has no results: {INSTALLED}",
            ],
        ),
        ([running("rare")], [f"the machine learning job odd has no results: {INSTALLED}"]),
        ([record("a")], [f"the machine learning job rare has no results: {INSTALLED}"]),
        (
            [running("odd"), running("rare", minutes=1_500)],
            [
                "the machine learning job rare has written no results for a day: is it running?",
            ],
        ),
        ([record("a"), record("b", job_id="rare")], []),
        (ALIVE, []),
    ],
)
def test_a_job_that_is_silent_is_said_with_the_run(
    rule: Rule, documents: list[Stored], warnings: list[str]
) -> None:
    store = MemoryStore(documents)
    run(store, rule)
    (told,) = store.runs
    assert isinstance(told, RunRecord)
    assert list(told.warnings) == warnings


def test_a_rule_may_name_where_its_results_are(tmp_path: Path) -> None:
    named = load(tmp_path, TEXT + "index: [.ml-anomalies-custom-*]\n")
    store = MemoryStore([record("a"), record("b", index=".ml-anomalies-custom-x"), *ALIVE])
    assert run(store, named).alerts_created == 1


@pytest.mark.slow
def test_every_rule_of_elastic_runs_and_alerts_on_its_record() -> None:
    loaded = rulefile.load([shared.needed("corpus")])
    rules = [one for one in loaded.rules if one.type in {"machine_learning", "threat_match"}]
    kinds = [one.type for one in rules]
    assert (kinds.count("machine_learning"), kinds.count("threat_match")) == (55, 5)
    assert all(one.unsupported is None and one.where is not None for one in rules)
    for one in rules:
        store = MemoryStore()
        if one.type == "machine_learning":
            jobs = one.parameters["machine_learning_job_id"]
            store.documents = [record(job, 3, job_id=job, record_score=99) for job in jobs]
        report = run(store, replace(one, enabled=True))
        assert report.alerts_created == len(store.documents), one.name


def test_records_of_the_same_host_are_suppressed_into_one(tmp_path: Path) -> None:
    asked = "alert_suppression: {group_by: [host.name], duration: {value: 1, unit: h}}\n"
    rule = load(tmp_path, TEXT + asked)
    other: dict[str, Any] = {"host.name": ["node-2"]}
    records = [record("a", 30), record("b", 20), record("c", 10), record("d", 15, **other)]
    store = MemoryStore([*ALIVE, *records])
    for _ in range(2):
        cycle.run(store, [rule], NOW, TERMS, clock=lambda: NOW)
    told = [one.document["kibana.alert.suppression.docs_count"] for one in store.alerts.values()]
    assert sorted(told) == [0, 2]
