"""Commands against a real Elasticsearch, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from detector import cli, packaged, rulefile
from detector.cli import examples
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests import processes
from tests.builders import iso, shell_event, stored

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("at_node")]

RULES = packaged.find("rules")
SHELL = "8d3d0794-c776-476b-8674-ee2e685f6470"
REPORT = {"now", "rules", "alerts_created", "alerts_existing", "duration_ms", "runs"}
RUN = {
    "rule_id",
    "name",
    "kind",
    "window",
    "status",
    "matches",
    "alerts_created",
    "alerts_existing",
    "warnings",
    "error",
    "gap",
    "gaps",
    "search_ms",
    "write_ms",
}


def detector(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [*arguments, "--rules", str(RULES)])
    assert result.exit_code == code, result.output
    return result.stdout


def detector_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(detector(*arguments, "--json", code=code))
    return found


def fill(es: Elasticsearch) -> tuple[int, dict[str, int]]:
    """Index the examples of all six rules; give the number of alerts they are to make, by rule."""
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-cloud_defend*"])
    now = datetime.now(UTC)
    documents: list[Stored] = []
    expected: dict[str, int] = {}
    for rule in rulefile.load([RULES]).rules:
        assert sum(example.alerts > 0 for example in rule.examples) >= 4
        assert sum(example.alerts == 0 for example in rule.examples) >= 6
        expected[rule.rule_id] = sum(example.alerts for example in rule.examples)
        for example in rule.examples:
            documents += examples.documents(rule, example, now, "logs-cloud_defend.process-default")
    scratch.fill(store, documents)
    return len(documents), expected


def test_the_examples_of_all_rules_alert_once_each_and_nothing_else(es: Elasticsearch) -> None:
    detector("setup")
    _, expected = fill(es)
    report = detector_json("once")
    assert set(report) == REPORT
    assert all(set(run) == RUN for run in report["runs"])
    assert {run["rule_id"]: run["alerts_created"] for run in report["runs"]} == expected
    assert report["alerts_created"] == sum(expected.values())
    again = detector_json("once")
    assert again["alerts_created"] == 0
    assert again["alerts_existing"] == sum(expected.values())


def test_a_second_setup_changes_nothing(es: Elasticsearch) -> None:
    first = detector_json("setup")["installed"]
    keys = {"done", "piece", "name", "replaced", "reason"}
    assert all(set(one) == keys for one in first)
    assert [one["piece"] for one in first if one["done"] != "created"] == ["lifecycle policy"]
    (skipped,) = (one for one in first if one["done"] == "skipped")
    assert "no lifecycle management here; `detector prune`" in skipped["reason"]
    before = es.indices.get_index_template().body, es.indices.get(index="detector-*").body
    second = detector_json("setup")["installed"]
    assert {one["done"] for one in second} == {"unchanged", "skipped"}
    assert before == (es.indices.get_index_template().body, es.indices.get(index="detector-*").body)
    assert Path("kibana.ndjson").read_text().count("\n") >= 2


@pytest.mark.parametrize(
    "arguments",
    [("once",), ("run",), ("status",), ("backfill", "--from", "now-1h"), ("gaps", "fill")],
    ids=" ".join,
)
def test_without_setup_nothing_runs_and_the_way_out_is_named(
    es: Elasticsearch, arguments: tuple[str, ...]
) -> None:
    result = CliRunner().invoke(cli.app, [*arguments, "--rules", str(RULES)])
    assert result.exit_code == 2
    assert "detector setup" in result.output
    assert not es.indices.exists(index="alerts-detector-default*", allow_no_indices=False)


def test_a_backfill_counts_first_and_writes_once(es: Elasticsearch) -> None:
    detector("setup")
    _, expected = fill(es)
    total = sum(expected.values())
    assert detector_json("backfill", "--from", "now-1h", "--dry-run")["alerts_created"] == total
    assert not es.indices.exists(index="alerts-detector-default*", allow_no_indices=False)
    written = detector_json("backfill", "--from", "now-1h")
    assert set(written) == REPORT | {"dry_run", "pieces", "resumed", "uncovered"}
    assert all(set(run) == RUN for run in written["runs"])
    assert written["alerts_created"] == total
    again = detector_json("backfill", "--from", "now-1h")
    assert (again["alerts_created"], again["alerts_existing"]) == (0, total)


def test_downtime_beyond_the_limit_is_a_gap_that_can_be_filled(
    es: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector("setup")
    assert detector_json("gaps")["gaps"] == []
    detector("once", "--now", "now-2h", "--rule", SHELL)
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-cloud_defend*"])
    (rule,) = [rule for rule in rulefile.load([RULES]).rules if rule.rule_id == SHELL]
    then = datetime.now(UTC) - timedelta(minutes=90)
    index = "logs-cloud_defend.process-default"
    scratch.fill(store, examples.documents(rule, rule.examples[0], then, index))
    monkeypatch.setenv("DETECTOR_SCHEDULE_CATCH_UP", "1h")
    report = detector_json("once", "--rule", SHELL, code=1)
    assert report["alerts_created"] == 0
    assert report["runs"][0]["gap"]
    (gap,) = detector_json("gaps", "list", code=1)["gaps"]
    assert gap["reason"] == "older than the catch-up limit"
    assert detector_json("gaps", "fill")["alerts_created"] == 1
    assert detector_json("gaps", "list")["gaps"] == []


def test_status_tells_fine_rules_from_late_and_failing_ones(es: Elasticsearch) -> None:
    detector("setup")
    told = detector_json("status", code=1)
    assert {rule["health"] for rule in told["rules"]} == {"never ran"}
    assert told["late"] == len(told["rules"])
    fill(es)
    detector("once")
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    told = detector_json("status")["rules"]
    assert {rule["health"] for rule in told} == {"fine"}
    assert all(rule["last_run"]["matches"] for rule in told)
    es.update(
        index="detector-state-default", id=SHELL, doc={"end": "2026-03-01T00:00:00Z"}, refresh=True
    )
    told = detector_json("status", code=1)["rules"]
    assert [rule["rule_id"] for rule in told if rule["health"] == "late"] == [SHELL]
    assert "late" in detector("status", code=1)


def test_check_says_what_the_cluster_lacks(es: Elasticsearch) -> None:
    assert es.ping()
    problems = json.loads(detector("check", "--json", code=1))["problems"]
    said = " ".join(problem["message"] for problem in problems)
    assert "detector-state-default is missing" in said
    assert "no index matches logs-cloud_defend*" in said
    detector("setup")
    problems = detector_json("check")["problems"]
    assert {problem["level"] for problem in problems} == {"warning"}


def test_examples_hold_on_the_node_too(es: Elasticsearch, node_url: str) -> None:
    tested = detector_json("test", "--url", node_url)
    assert tested["failed"] == []
    assert not es.indices.exists(index="detector-test-*", allow_no_indices=False)


def test_alerts_are_listed_and_shown(es: Elasticsearch) -> None:
    detector("setup")
    fill(es)
    detector("once")
    listed = [json.loads(line) for line in detector("alerts", "list", "--json").splitlines()]
    assert len(listed) >= 24
    high = detector("alerts", "list", "--severity", "high", "--limit", "5")
    assert high.count("created high alert") == 5
    whole = json.loads(detector("alerts", "show", listed[0]["kibana.alert.uuid"], "--json"))
    assert whole["kibana.alert.rule.parameters"]["query"]
    detector("alerts", "show", "0" * 64, code=1)


def test_what_an_event_says_never_drives_the_terminal(es: Elasticsearch) -> None:
    detector("setup")
    store = ElasticStore(es, "default")
    scratch.template(store, "events", ["logs-cloud_defend*"])
    event = shell_event(datetime.now(UTC) - timedelta(seconds=30))
    event["host"]["name"] = "[bold red]node\x1b]0;owned\a\x9b31m\u202e"
    event["process"]["name"] = "bash\r\n[/]\x1b[2J"
    scratch.fill(store, stored([event]))
    for arguments in (("once",), ("alerts", "list"), ("status",)):
        result = CliRunner().invoke(cli.app, [*arguments, "--rules", str(RULES)])
        assert result.exit_code == 0, result.output
        assert not {"\x1b", "\a", "\r", "\x9b", "\u202e"} & set(result.output)
    assert "[bold red]node" in detector("alerts", "list")


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with processes.started([sys.executable, "-m", "detector", *arguments], seconds=30) as process:
        yield process


def test_following_shows_every_alert_once_even_those_that_come_late(
    es: Elasticsearch, node_url: str
) -> None:
    detector("setup")
    time = iso(datetime.now(UTC))
    with started("alerts", "list", "--follow", "--json", "--url", node_url) as process:
        assert process.stdout is not None
        for letter in "mza":  # the last one sorts before what has been shown, at the same time
            es.index(
                index="alerts-detector-default-2026.03",
                document={"@timestamp": time, "kibana.alert.uuid": letter * 64},
                refresh=True,
            )
            shown = json.loads(process.stdout.readline())
            assert shown["kibana.alert.uuid"] == letter * 64
        process.terminate()
        assert process.stdout.read() == ""


def test_the_daemon_ends_at_sigterm_with_its_work_done(es: Elasticsearch, node_url: str) -> None:
    detector("setup")
    _, expected = fill(es)
    with started("run", "--rules", str(RULES), "--url", node_url) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told = json.loads(line)
            assert {"@timestamp", "log.level", "message", "ecs.version"} <= set(told)
            if "alerts_created" in told["detector"]:
                break
        assert told["detector"]["alerts_created"] == sum(expected.values())
        process.terminate()
        assert process.wait(10) == 0
