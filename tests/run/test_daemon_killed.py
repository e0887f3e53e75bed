"""The daemon is killed at random moments, and stopped for a while: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.model import Window
from detector.windows import merged
from tests.soak import kills

pytestmark = [pytest.mark.node, pytest.mark.slow]

KILLS = 15
SECONDS = 120  # on a slow machine
STOPPED = 3  # intervals
INTERVAL = 2  # seconds, of the slowest rule
LOOKBACK = timedelta(seconds=16)  # the longest
MADE_UP = ["live", "catch-up"]


def seed() -> int:
    """DETECTOR_SEED, or one by chance; it is shown where the test fails."""
    chosen = int(os.environ.get("DETECTOR_SEED") or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"DETECTOR_SEED={chosen}\n")
    return chosen


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def test_a_daemon_killed_fifteen_times_loses_and_doubles_nothing(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    until = time.monotonic() + SECONDS
    verdict = kills.run(
        es,
        node_url,
        tmp_path,
        seed=seed(),
        goes_on=lambda so_far: so_far.kills < KILLS and time.monotonic() < until,
        say=say,
    )
    say(str(verdict))
    assert verdict.kills == KILLS, f"this machine is too slow: {SECONDS} s do not hold {KILLS}"
    assert (verdict.lost, verdict.doubled, verdict.foreign) == (0, 0, 0)
    assert verdict.cut > 0, "every kill came too early or too late to prove anything"
    assert "Traceback" not in (tmp_path / "daemon.log").read_text()


def test_a_daemon_stopped_for_three_intervals_makes_up_for_its_sleep(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    daemon = kills.prepare(es, node_url, tmp_path)
    try:
        with kills.Stream(es, seed()) as stream:
            process = daemon.start()
            assert kills.wait(lambda: len(daemon.told()) >= 2, 30), daemon.last()
            os.kill(process.pid, signal.SIGSTOP)
            asleep = datetime.now(UTC)
            time.sleep(STOPPED * INTERVAL)
            stream.burst(500)
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(1)
        kills.finish(es, stream, process)
    finally:
        daemon.kill()
    verdict = kills.judge(es, stream, kills.Verdict(0))
    assert (verdict.lost, verdict.doubled, verdict.foreign) == (0, 0, 0)
    for name in kills.RULES:
        runs = records(es, name, asleep)
        both = [pair for pair in pairwise(runs) if [run["kind"] for run in pair] == MADE_UP]
        spans = [merged(map(window, pair)) for pair in both]
        told = [f"{run['kind']} {run['started']} {run['window']}" for run in runs]
        assert any(len(span) == 1 and length(span[0]) > LOOKBACK for span in spans), told


def records(es: Elasticsearch, rule_id: str, since: datetime) -> list[dict[str, Any]]:
    """What was recorded of a rule's runs, in order."""
    es.indices.refresh(index="detector-runs-*", expand_wildcards="all")
    begun = {"range": {"started": {"gte": since.isoformat()}}}
    found = es.search(
        index="detector-runs-*",
        expand_wildcards="all",
        query={"bool": {"filter": [{"term": {"rule_id": rule_id}}, begun]}},
        sort={"started": "asc"},
        size=100,
    )
    return [hit["_source"] for hit in found["hits"]["hits"]]


def length(one: Window) -> timedelta:
    return one.end - one.start


def window(record: dict[str, Any]) -> Window:
    start, end = (datetime.fromisoformat(record["window"][edge]) for edge in ("start", "end"))
    return Window(start, end)
