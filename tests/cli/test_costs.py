"""`detector status --top`: what rules cost, told from run records on a real node."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from elasticsearch import Elasticsearch
from rich.console import Console
from typer.testing import CliRunner, Result

from detector import cli
from detector.cli import costs, show
from detector.model import RunRecord, Window
from detector.store import scratch
from detector.store.elastic import ElasticStore
from tests.builders import shell_event, stored

HOUR = timedelta(hours=1)


def detector(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def ranked(number: int = 10) -> dict[str, Any]:
    result = detector("status", "--top", str(number), "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def record(
    rule_id: str,
    ago: timedelta,
    *,
    kind: Literal["live", "catch-up", "late", "backfill"] = "live",
    name: str | None = None,
    **figures: Any,
) -> RunRecord:
    started = datetime.now(UTC) - ago
    uuid = f"{rule_id}-{kind}-{ago}"
    called = f"Rule {rule_id}" if name is None else name
    window = Window(started - HOUR, started)
    return RunRecord(uuid, rule_id, called, window, started, "succeeded", kind, **figures)


@pytest.mark.node
@pytest.mark.usefixtures("at_node")
def test_rules_are_ranked_by_what_all_their_runs_of_a_day_took(es: Elasticsearch) -> None:
    assert detector("setup").exit_code == 0
    assert "no runs since" in detector("status", "--top", "5").stderr
    assert ranked()["top"] == []
    ElasticStore(es, "default").record_runs(
        [
            record("a", 2 * HOUR, search_ms=10, write_ms=5, matches=2, alerts_created=1),
            record("a", HOUR, search_ms=30, matches=1),
            record("a", 23 * HOUR, kind="backfill", search_ms=20, write_ms=35, alerts_created=4),
            record("a", 25 * HOUR, search_ms=10_000, write_ms=10_000, matches=9),
            record("gone", 3 * HOUR, name="Old name", search_ms=250),
            record("gone", HOUR, name="", search_ms=50),
            record("idle", HOUR),
        ]
    )
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    document = ranked()
    assert (document["runs"], document["search_ms"], document["write_ms"]) == (6, 360, 40)
    assert document["top"] == [
        {
            "rule_id": "gone", "name": "gone", "runs": 2, "search_ms": 300, "search_max_ms": 250,
            "write_ms": 0, "matches": 0, "alerts_created": 0, "share": 0.75,
        },
        {
            "rule_id": "a", "name": "Rule a", "runs": 3, "search_ms": 60, "search_max_ms": 30,
            "write_ms": 40, "matches": 3, "alerts_created": 5, "share": 0.25,
        },
        {
            "rule_id": "idle", "name": "Rule idle", "runs": 1, "search_ms": 0, "search_max_ms": 0,
            "write_ms": 0, "matches": 0, "alerts_created": 0, "share": 0.0,
        },
    ]  # fmt: skip
    assert [one["rule_id"] for one in ranked(1)["top"]] == ["gone"]
    shown = detector("status", "--top", "2")
    header, first, second = shown.stdout.splitlines()
    assert header.split() == [
        "share",
        "runs",
        "search",
        "ms",
        "a",
        "run",
        "longest",
        "write",
        "ms",
        "matches",
        "alerts",
        "rule",
    ]
    assert first.split() == ["75.0%", "2", "300", "150.0", "250", "0", "0", "0", "gone"]
    assert second.split() == ["25.0%", "3", "60", "20.0", "30", "40", "3", "5", "Rule", "a"]
    assert "2 of 3 rules: 100.0% of 400 ms of searches and writes in 6 runs since" in shown.stderr


@pytest.mark.node
@pytest.mark.usefixtures("at_node")
def test_what_a_cycle_took_is_ranked(es: Elasticsearch) -> None:
    assert detector("status", "--top", "3").exit_code == 2
    detector("setup")
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-cloud_defend*"])
    scratch.fill(store, stored([shell_event(datetime.now(UTC) - timedelta(seconds=20))]))
    runs = json.loads(detector("once", "--json").stdout)["runs"]
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    top = ranked()["top"]
    cost = {one["rule_id"]: one["search_ms"] + one["write_ms"] for one in top}
    assert cost == {run["rule_id"]: run["search_ms"] + run["write_ms"] for run in runs}
    assert list(cost.values()) == sorted(cost.values(), reverse=True)
    assert {one["name"] for one in top} == {run["name"] for run in runs}
    assert sum(one["share"] for one in top) == pytest.approx(1, abs=0.01)
    assert sum(one["alerts_created"] for one in top) == 1


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            show.ROOMY,
            [
                "share   runs  search ms  a run  longest  write ms  matches  alerts  rule",
                " 60.0%     3      1,200  400.0    1,000        30        0       0  A rule",
            ],
        ),
        (
            80,
            [
                " 60.0%  A rule",
                "        runs 3  search ms 1,200  a run 400.0  longest 1,000  write ms 30",
            ],
        ),
    ],
)
def test_a_rule_has_a_line_where_there_is_room_else_two(width: int, lines: list[str]) -> None:
    row = (" 60.0%", 3, 1_200, 400.0, 1_000, 30, 0, 0, "A rule")
    screen = Console(file=io.StringIO(), width=width)
    with screen.capture() as drawn:
        screen.print(show.listed(costs.COLUMNS, [row], width))
    assert [line.rstrip() for line in drawn.get().splitlines()] == lines


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_of_rules_is_needed(number: str) -> None:
    result = detector("status", "--top", number)
    assert result.exit_code == 2
    assert "--top" in result.stderr
