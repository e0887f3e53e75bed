"""Backfills as processes: killed and begun again, over more hits than fit into a page."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Backfilled, Checkpoint, Gap, RunRecord, Window
from detector.store import gaps, scratch
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, install, iso, shell_event
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy
from tests.processes import started

pytestmark = [pytest.mark.node, pytest.mark.slow]

RULE_ID = "0d8a8a3a-6d3c-4c52-9a39-0d2f5c7d9f10"
RULE = f"""
rule_id: {RULE_ID}
name: A shell
description: A shell was started in a container.
type: eql
language: eql
index: [logs-cloud_defend*]
interval: 5m
from: now-6m
timestamp_override: event.ingested
severity: high
risk_score: 73
query: |
  process where container.id : "*" and process.args : ("-i", "-it")
"""

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
RANGE = Window(END - timedelta(hours=6), END)
PIECES = 24
EVENTS = 4_000
SEED = 20260301
MB = 1_024  # of the kilobytes in which a process's memory is told

MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture
def store(es: Elasticsearch, tmp_path: Path) -> ElasticStore:
    (tmp_path / "rule.yaml").write_text(RULE)
    made = ElasticStore(es, "default")
    install(made)
    es.indices.create(index=INDEX, mappings=scratch.mappings())
    return made


def fill(store: ElasticStore, window: Window, number: int) -> list[datetime]:
    """Index events evenly over `window`; their times."""
    apart = (window.end - window.start) / number
    times = [window.start + n * apart for n in range(number)]
    for start in range(0, number, 5_000):
        lines: list[Any] = []
        for n, at in enumerate(times[start : start + 5_000], start):
            lines += [{"create": {"_index": INDEX}}, shell_event(at, event_id=f"{window.end}-{n}")]
        assert not store.client.bulk(operations=lines, refresh=True)["errors"]
    return times


def command(url: str, folder: Path, *arguments: str) -> list[str]:
    common = ("--rules", str(folder / "rule.yaml"), "--url", url, "--json")
    return [sys.executable, "-m", "detector", *arguments, *common]


def ranged(window: Window) -> tuple[str, ...]:
    return "backfill", "--from", iso(window.start), "--to", iso(window.end)


def finished(words: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"said": done.stderr}


def ids(es: Elasticsearch) -> list[str]:
    """The event ids behind all alerts."""
    es.indices.refresh(index="alerts-detector-default", ignore_unavailable=True)
    found: list[str] = []
    after: list[Any] | None = None
    while True:
        page = es.options(ignore_status=503).search(  # its shard may not be up yet
            index="alerts-detector-default",
            size=5_000,
            source_includes=["event.id"],
            sort=[{"kibana.alert.uuid": {"order": "asc", "unmapped_type": "keyword"}}],
            search_after=after,
            ignore_unavailable=True,
        )
        hits = page.get("hits", {}).get("hits", [])
        if not hits:
            return found
        found += [hit["_source"]["event"]["id"] for hit in hits]
        after = hits[-1]["sort"]


def wait_until_alerts(es: Elasticsearch, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while count(es) < number and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def count(es: Elasticsearch) -> int:
    """How many alerts there are, told sooner than a backfill makes many more."""
    alerts = "alerts-detector-default"
    es.indices.refresh(index=alerts, ignore_unavailable=True)
    answer = es.options(ignore_status=503).count(index=alerts, ignore_unavailable=True)
    return int(answer.get("count", 0))


def outside(times: Sequence[datetime], covered: Sequence[Window]) -> int:
    return sum(not any(one.start <= at < one.end for one in covered) for at in times)


def progress(store: ElasticStore) -> Backfilled | None:
    return store.backfilled([RULE_ID]).get(RULE_ID)


def settled(store: ElasticStore) -> Backfilled | None:
    """The same, when what was on its way at a kill has arrived."""
    before, kept = None, progress(store)
    while before != kept:
        time.sleep(0.5)
        before, kept = kept, progress(store)
    return kept


@pytest.mark.parametrize("workers", [1, 3])
def test_one_that_is_killed_goes_on_misses_nothing_and_moves_no_checkpoint(
    store: ElasticStore, node_url: str, tmp_path: Path, workers: int
) -> None:
    times = fill(store, RANGE, EVENTS)
    store.save_checkpoints([Checkpoint(RULE_ID, END, (Window(END, END + timedelta(hours=1)),))])
    live = store.checkpoints([RULE_ID])
    words = command(node_url, tmp_path, *ranged(RANGE), "--workers", str(workers))
    chance = random.Random(SEED)
    covered: tuple[Window, ...] = ()
    for kill in range(1, 4):
        with started(words) as process:
            wait_until_alerts(store.client, EVENTS * kill // 5, process)
            time.sleep(chance.uniform(0, 0.1))
            assert process.poll() is None, f"the kill came too late: {process.communicate()}"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        kept = settled(store)
        assert kept, "nothing was recorded"
        assert outside(times, kept.windows) <= outside(times, covered), "what was done is lost"
        covered = kept.windows
    rest = outside(times, covered)
    assert 0 < rest < EVENTS, f"every kill came too late, or too early: {rest} of {EVENTS} left"
    report = finished(words)
    assert report["uncovered"] == []
    assert "resuming: " in report["said"]
    assert sum(run["matches"] for run in report["runs"]) == rest, "what was done is asked again"
    found = ids(store.client)
    assert len(found) == len(set(found)) == EVENTS
    assert store.checkpoints([RULE_ID]) == live
    assert progress(store) is None
    once_more = finished(words)
    assert (once_more["alerts_created"], once_more["alerts_existing"]) == (0, EVENTS)
    store.client.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    records = store.client.count(index="detector-runs-*", expand_wildcards="all")["count"]
    assert records < PIECES, "a record a piece"


def test_filling_gaps_goes_on_after_a_kill(
    store: ElasticStore, node_url: str, tmp_path: Path
) -> None:
    fill(store, RANGE, EVENTS)
    gap = Gap(RULE_ID, RANGE, "flood: far more matches than max_signals")
    live = Window(RANGE.start, END + timedelta(minutes=5))
    record = RunRecord("u", RULE_ID, "A shell", live, END, "partial failure", "live", gaps=(gap,))
    store.record_runs([record])
    assert gaps.unfilled(store) == [gap]
    words = command(node_url, tmp_path, "gaps", "fill", "--workers", "1")
    with started(words) as process:
        wait_until_alerts(store.client, EVENTS // 3, process)
        assert process.poll() is None, f"the kill came too late: {process.communicate()}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    (left,) = gaps.unfilled(store)
    assert RANGE.start < left.window.start < left.window.end == RANGE.end
    before = len(ids(store.client))
    report = finished(words)
    assert [one["start"] for one in report["gaps"]] == [iso(left.window.start)]
    assert (report["filled"], report["uncovered"]) == (1, [])
    found = ids(store.client)
    assert report["alerts_created"] <= EVENTS - before, "what was on its way at the kill arrived"
    assert len(found) == len(set(found)) == EVENTS
    assert gaps.unfilled(store) == []


def test_one_that_is_told_to_stop_says_what_is_left(
    store: ElasticStore, node_url: str, tmp_path: Path
) -> None:
    times = fill(store, RANGE, EVENTS)
    with started(command(node_url, tmp_path, *ranged(RANGE))) as process:
        wait_until_alerts(store.client, EVENTS // 3, process)
        process.send_signal(signal.SIGINT)
        told, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    report = json.loads(told)
    (gap,) = report["uncovered"]
    assert gap["end"] == iso(RANGE.end)
    assert gap["reason"] == "stopped before it was finished"
    kept = progress(store)
    assert kept
    (done,) = kept.windows
    assert gap["start"] == iso(done.end)
    report = finished(command(node_url, tmp_path, *ranged(RANGE)))
    assert sum(run["matches"] for run in report["runs"]) == outside(times, kept.windows)
    found = ids(store.client)
    assert len(found) == len(set(found)) == EVENTS


def test_who_asks_twice_for_the_end_has_it_at_once(
    store: ElasticStore, node_url: str, tmp_path: Path
) -> None:
    fill(store, RANGE, PIECES)
    with (
        Proxy(node_url) as between,
        started(command(between.url, tmp_path, *ranged(RANGE))) as process,
    ):
        fault = Fault("POST /_msearch", proxy.hang(20))
        between.inject(fault)
        assert process.stderr
        deadline = time.monotonic() + 30
        while not fault.hits and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert "stopping" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130


def test_ten_times_the_hits_need_no_more_memory(
    store: ElasticStore, node_url: str, tmp_path: Path
) -> None:
    peaks = []
    for day, number in enumerate((2_000, 20_000)):
        end = END + timedelta(days=day)
        window = Window(end - timedelta(minutes=1), end)  # one piece
        fill(store, window, number)
        words = command(node_url, tmp_path, *ranged(window))
        # Measured by a process of its own: what a child was before `exec` counts as well.
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert f'"alerts_created": {number},' in measured.stderr
        peaks.append(int(measured.stdout))
    few, many = peaks
    assert many < few + 20 * MB, peaks
