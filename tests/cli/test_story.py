from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from detector import packaged, rulefile
from detector.cli import story
from detector.language import evaluate, fields
from detector.language.tree import Node
from detector.model import Rule

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POD = story.read("intrusion")["pod"]


@pytest.fixture(scope="module")
def told() -> list[tuple[str, dict[str, Any]]]:
    return list(story.tell(NOW))


@pytest.fixture(scope="module")
def rules() -> tuple[Rule, ...]:
    return rulefile.load([packaged.find("rules")]).rules


def caught(rules: tuple[Rule, ...], document: dict[str, Any]) -> list[str]:
    return [
        rule.rule_id
        for rule in rules
        if evaluate.matches(cast("Node", rule.where), document, fields.ECS)
    ]


def ingested(document: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(document["event"]["ingested"])


def test_each_step_of_the_intrusion_is_caught_by_the_rule_it_names_and_nothing_else_is(
    told: list[tuple[str, dict[str, Any]]], rules: tuple[Rule, ...]
) -> None:
    steps = story.read("intrusion")["steps"]
    expected = Counter(step["caught_by"] for step in steps if "caught_by" in step)
    alerting = [(found, doc) for _, doc in told if (found := caught(rules, doc))]
    assert Counter(rule for found, _ in alerting for rule in found) == expected
    assert all(len(found) == 1 for found, _ in alerting)
    assert {doc["orchestrator"]["resource"]["name"] for _, doc in alerting} == {POD}


def test_all_rules_of_the_folder_have_something_to_catch(rules: tuple[Rule, ...]) -> None:
    steps = story.read("intrusion")["steps"]
    assert {step["caught_by"] for step in steps if "caught_by" in step} == {
        rule.rule_id for rule in rules
    }


def test_every_harmless_habit_is_told_and_never_alerts(rules: tuple[Rule, ...]) -> None:
    habits = {habit["executable"] for habit in story.read("benign")}
    documents = [doc for _, doc in story.tell(NOW, events=3000, seed=11)]
    assert habits <= {doc["process"]["executable"] for doc in documents}
    assert not [
        doc["process"]["args"]
        for doc in documents
        if not doc["process"]["interactive"] and caught(rules, doc)
    ]


def test_the_same_arguments_tell_the_same_story_and_another_seed_another(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    assert list(story.tell(NOW)) == told
    assert list(story.tell(NOW, seed=8)) != told


def test_alerting_steps_are_ingested_within_the_last_five_minutes(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    times = [ingested(doc) for _, doc in told if doc["process"]["interactive"]]
    assert len(times) == len(story.read("intrusion")["steps"])
    assert min(times) > NOW - timedelta(minutes=5)
    assert max(ingested(doc) for _, doc in told) < NOW


def test_events_come_oldest_first_with_ids_of_their_own_spread_over_half_an_hour(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    times = [datetime.fromisoformat(doc["@timestamp"]) for _, doc in told]
    assert times == sorted(times)
    assert NOW - timedelta(minutes=30) <= times[0] < NOW - timedelta(minutes=29)
    assert len({doc["event"]["id"] for _, doc in told}) == len(told)
    assert all(
        timedelta(seconds=2) <= ingested(doc) - time <= timedelta(seconds=9.001)
        for time, (_, doc) in zip(times, told, strict=True)
    )


def test_documents_go_to_the_stream_of_their_category_on_three_nodes(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    for stream, doc in told:
        assert stream == f"logs-{doc['event']['dataset']}-default"
        assert doc["event"]["category"] == [doc["event"]["dataset"].removeprefix("cloud_defend.")]
    assert len({doc["host"]["id"] for _, doc in told}) == 3
    assert len({doc["container"]["id"] for _, doc in told}) == 8


def test_four_thousand_events_are_told_in_well_under_a_second() -> None:
    start = time.perf_counter()
    assert sum(1 for _ in story.tell(NOW)) > 4000
    assert time.perf_counter() - start < 2  # 0.2 s on an idle core; shared ones are slower
