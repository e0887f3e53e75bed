"""The daemon is killed while it writes alerts: after a restart none is missing or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.store import scratch
from tests.builders import INDEX, shell_event

pytestmark = [pytest.mark.node, pytest.mark.slow]

EVENTS = 10_000
KILLS = 3
SEED = 20260301

RULE = """
rule_id: 0d8a8a3a-6d3c-4c52-9a39-0d2f5c7d9f10
name: A shell
description: A shell was started in a container.
type: eql
language: eql
index: [logs-cloud_defend*]
interval: 2s
from: now-60s
timestamp_override: event.ingested
severity: high
risk_score: 73
max_signals: 20000
query: |
  process where container.id : "*" and process.args : ("-i", "-it")
"""


def detector(*arguments: str, url: str, folder: Path) -> list[str]:
    rules = str(folder / "rule.yaml")
    return [sys.executable, "-m", "detector", *arguments, "--rules", rules, "--url", url]


@contextmanager
def daemon(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = detector("run", url=url, folder=folder)
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(30)


def count(es: Elasticsearch) -> int:
    es.indices.refresh(index="alerts-detector-default", ignore_unavailable=True)
    starting = es.options(ignore_status=503)  # the index has been made, its shard is not up yet
    found = starting.count(index="alerts-detector-default", ignore_unavailable=True)
    return int(found.get("count", 0))


def wait_for(es: Elasticsearch, alerts: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while (found := count(es)) < alerts and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def index_events(es: Elasticsearch) -> set[str]:
    es.indices.create(index=INDEX, mappings=scratch.mappings())
    now = datetime.now(UTC)
    ids = set()
    for start in range(0, EVENTS, 2_000):
        lines: list[Any] = []
        for n in range(start, start + 2_000):
            event = shell_event(now - timedelta(seconds=n % 20), ingested=now)
            ids.add(event["event"]["id"])
            lines += [{"create": {"_index": INDEX}}, event]
        assert not es.bulk(operations=lines, refresh=True)["errors"]
    return ids


def test_a_killed_daemon_misses_and_doubles_nothing(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    (tmp_path / "rule.yaml").write_text(RULE)
    subprocess.run(
        detector("setup", url=node_url, folder=tmp_path), check=True, cwd=tmp_path, timeout=60
    )
    chance = random.Random(SEED)
    expected = index_events(es)
    for kill in range(1, KILLS + 1):
        with daemon(node_url, tmp_path) as process:
            wait_for(es, EVENTS * kill // (KILLS + 2), seconds=30)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(process.pid, signal.SIGKILL)
    assert count(es) < EVENTS, "every kill came too late to prove anything"
    with daemon(node_url, tmp_path) as process:
        assert wait_for(es, EVENTS, seconds=60) == EVENTS
        process.terminate()
        assert process.wait(10) == 0
    assert events_of_alerts(es) == expected


def events_of_alerts(es: Elasticsearch) -> set[str]:
    """The event ids behind all alerts; fails when two alerts tell of one event."""
    seen: set[str] = set()
    after: list[Any] | None = None
    while True:
        page = es.search(
            index="alerts-detector-default",
            size=5_000,
            source_includes=["event.id"],
            sort=[{"kibana.alert.uuid": "asc"}],
            search_after=after,
        )["hits"]["hits"]
        if not page:
            return seen
        ids = [hit["_source"]["event"]["id"] for hit in page]
        assert not seen & set(ids)
        assert len(set(ids)) == len(ids)
        seen |= set(ids)
        after = page[-1]["sort"]
