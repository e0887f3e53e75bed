"""A running daemon whose rule files change: what it then alerts, on a real node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from detector.store import scratch
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, install, shell_event

pytestmark = [pytest.mark.node, pytest.mark.slow]

ALERTS = "alerts-detector-default"
RULE = """
rule_id: {name}
name: Rule {name}
description: A program was started.
type: eql
language: eql
index: [logs-cloud_defend*]
interval: {interval}
from: now-2h
timestamp_override: event.ingested
severity: low
risk_score: 1
query: process where process.name == "{name}"
"""


@pytest.fixture
def folder(es: Elasticsearch, tmp_path: Path) -> Path:
    store = ElasticStore(es, "default")
    install(store)
    es.indices.create(index=INDEX, mappings=scratch.mappings())
    (tmp_path / "rules").mkdir()
    write(tmp_path, "one", interval="1h")
    return tmp_path


@pytest.fixture
def daemon(folder: Path, node_url: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["run", "--rules", str(folder / "rules"), "--url", node_url]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DETECTOR_")}
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "detector", *arguments], stdout=log, stderr=log, env=environment
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(30)


def write(folder: Path, name: str, *, interval: str) -> None:
    (folder / "rules" / f"{name}.yaml").write_text(RULE.format(name=name, interval=interval))


def index(es: Elasticsearch, *programs: str) -> None:
    for program in programs:
        event = shell_event(datetime.now(UTC))
        event["process"]["name"] = program
        es.index(index=INDEX, document=event, refresh=True)


def alerted(es: Elasticsearch) -> list[str]:
    es.indices.refresh(index=ALERTS, ignore_unavailable=True)
    starting = es.options(ignore_status=503)  # the index has been made, its shard is not up yet
    found = starting.search(index=ALERTS, size=100, ignore_unavailable=True)
    hits = found.get("hits", {}).get("hits", ())
    return sorted(hit["_source"]["process"]["name"] for hit in hits)


def wait(until: Callable[[], bool], folder: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)


def test_changed_rules_are_taken_up_by_themselves_and_at_once_on_sighup(
    es: Elasticsearch, folder: Path, daemon: subprocess.Popen[bytes]
) -> None:
    def said(text: str) -> bool:
        return text in (folder / "log").read_text()

    index(es, "one", "two", "three")
    wait(lambda: alerted(es) == ["one"], folder)

    write(folder, "two", interval="1h")
    wait(lambda: alerted(es) == ["one", "two"], folder)
    assert said("rules taken up: added Rule two")

    (folder / "rules" / "one.yaml").write_text("rule_id: [")
    write(folder, "three", interval="1h")
    asked = time.monotonic()
    daemon.send_signal(signal.SIGHUP)
    wait(lambda: alerted(es) == ["one", "three", "two"], folder)
    assert time.monotonic() - asked < 4, "sooner than by itself"
    assert said("the last good version goes on")

    write(folder, "one", interval="1s")
    index(es, "one")
    wait(lambda: alerted(es) == ["one", "one", "three", "two"], folder)
    assert said("no longer broken")
    assert said("rules taken up: changed Rule one")

    daemon.terminate()
    assert daemon.wait(15) == 0
    assert not said("Traceback")
