"""Old months go, younger ones and what is not ours stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner, Result

from detector import cli
from detector.model import Gap, RunRecord, Window
from detector.store import lifecycle
from detector.store.indices import Names, run
from tests.builders import NOW

NAMES = Names("default")
WINDOW = Window(NOW - timedelta(minutes=6), NOW)
GAPS = (Gap("rule-1", WINDOW, "too old"),)
RECORD = RunRecord("run-1", "rule-1", "A rule", WINDOW, NOW, "succeeded", "live", gaps=GAPS)
OLD = [
    "detector-runs-default-2020.01",
    "detector-runs-default-2020.12",
    "alerts-detector-default-2020.12",
]
STRANGERS = [
    "detector-runs-default-2020.13",
    "detector-runs-default-2020.01-copy",
    "detector-runs-default-x-2020.01",
    "detector-runs-default_b-2020.01",
    "detector-runs-default-0000.01",
    "alerts-detector-default-undated",
    "alerts-detector-default-2020.1",
    "logs-2020.01",
]


def prune(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["prune", *arguments, "--url", url])


def pruned(url: str, *arguments: str) -> dict[str, Any]:
    result = prune(url, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def names(es: Elasticsearch) -> set[str]:
    return set(es.indices.get_alias(index="*", expand_wildcards="all"))


@pytest.mark.node
def test_only_old_months_of_ours_go(es: Elasticsearch, node_url: str) -> None:
    for template, body in NAMES.templates().items():
        arguments = {key.removeprefix("_"): value for key, value in body.items()}
        es.indices.put_index_template(name=template, **arguments)
    now = datetime.now(UTC)
    last = (now.replace(day=1) - timedelta(days=1)).strftime("%Y.%m")
    young = [NAMES.runs(now), f"detector-runs-default-{last}", f"alerts-detector-default-{last}"]
    for index in [*OLD[1:], *STRANGERS, *young]:
        es.indices.create(index=index)
    es.index(index=OLD[0], document=run(RECORD))
    everything = names(es)
    asked = pruned(node_url, "--alerts", "400d", "--runs", "32d", "--dry-run")
    assert asked["dry_run"]
    assert [one["index"] for one in asked["deleted"]] == OLD
    assert names(es) == everything
    first = pruned(node_url, "--runs", "32d")["deleted"]
    assert [one["index"] for one in first] == OLD[:2]
    assert set(first[0]) == {"index", "kind", "end", "documents", "bytes", "gaps"}
    assert (first[0]["documents"], first[0]["gaps"], first[1]["gaps"]) == (1, 1, 0)
    assert first[0]["end"] == "2020-02-01T00:00:00.000Z"
    assert names(es) == everything - set(OLD[:2])
    said = prune(node_url, "--alerts", "400d")
    assert OLD[2] in said.stdout
    assert "1 months deleted" in said.stderr
    assert names(es) == everything - set(OLD)
    assert pruned(node_url, "--alerts", "400d")["deleted"] == []


@pytest.mark.parametrize("option", ["--runs", "--alerts"])
@pytest.mark.parametrize("age", ["1M", "soon", "-1d", "30"])
def test_an_age_that_is_none_deletes_nothing(option: str, age: str) -> None:
    result = prune("http://127.0.0.1:9", f"{option}={age}")
    assert result.exit_code == 2
    assert f"error: {option}:" in result.stderr


def test_the_policy_keeps_a_month_until_its_last_record_is_old() -> None:
    policy = lifecycle.policy(timedelta(days=30))
    assert policy["phases"]["delete"]["min_age"] == f"{61 * 24 * 3600}s"
    assert lifecycle.policy(timedelta(days=31))["_meta"] != policy["_meta"]
    bare = NAMES.templates()["detector-runs-default"]
    applied = lifecycle.applied(bare, "detector-runs-default")
    assert applied["template"]["settings"]["index.lifecycle.name"] == "detector-runs-default"
    assert applied["_meta"] != bare["_meta"]
    assert "index.lifecycle.name" not in bare["template"]["settings"]
