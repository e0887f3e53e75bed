"""Three daemons on one cluster: one is killed, one sleeps, one has a wrong clock; alerts are right.

Two are processes, since only those can be killed and stopped; the third is a thread, since only
there a clock can be set.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector import rulefile
from detector.model import Leases, Member
from detector.run.daemon import Daemon, Fixed
from detector.run.holder import Holder
from detector.store import scratch
from detector.store.clock import ClusterClock
from detector.store.elastic import ElasticStore
from detector.store.leases import ElasticLeases
from tests.builders import INDEX, TERMS, install, shell_event
from tests.run.test_holder import Kept as KeptStandings

pytestmark = [pytest.mark.node, pytest.mark.slow]

ALERTS = "alerts-detector-default"
LEASE = 2.0
SHARDS = 3
RULES = 9
SKEW = timedelta(minutes=10)
RULE = """
rule_id: rule-{n}
name: Rule {n}
description: A program was started.
type: eql
language: eql
index: [logs-cloud_defend*]
interval: 1s
from: now-60s
timestamp_override: event.ingested
severity: low
risk_score: 1
max_signals: 10000
query: process where process.name == "program-{n}"
"""


class Stream(threading.Thread):
    """Indexes events of all rules until it is stopped; each belongs to one rule."""

    def __init__(self, es: Elasticsearch) -> None:
        super().__init__(daemon=True)
        self._es = es
        self.ids: set[str] = set()
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(0.1):
            now = datetime.now(UTC)
            lines: list[Any] = []
            for n in range(RULES):
                event = shell_event(now)
                event["process"]["name"] = f"program-{n}"
                lines += [{"create": {"_index": INDEX}}, event]
                self.ids.add(event["event"]["id"])
            assert not self._es.bulk(operations=lines, refresh=True)["errors"]


class Quiet:
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def cycle_finished(self, report: object) -> None: ...

    def cycle_failed(self, error: Exception) -> None:
        self.errors.append(error)


@contextmanager
def process(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["run", "--rules", str(folder / "rules"), "--url", url]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DETECTOR_")}
    environment |= {"DETECTOR_SHARDS": str(SHARDS), "DETECTOR_LEASE": f"{LEASE:.0f}s"}
    with (folder / "daemons.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "detector", *arguments],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            started.wait(30)


@contextmanager
def with_a_wrong_clock(es: Elasticsearch, folder: Path) -> Iterator[Quiet]:
    """A daemon whose machine is ten minutes ahead."""
    store, kept = ElasticStore(es, "default"), Quiet()

    def ahead() -> datetime:
        return datetime.now(UTC) + SKEW

    store.clock = ClusterClock(store._time, own=ahead)
    holder = Holder(
        ElasticLeases(store, timedelta(seconds=LEASE)),
        Member("skewed", 0, ""),
        KeptStandings(),
        shards=SHARDS,
        period=timedelta(seconds=LEASE),
        clock=ahead,
    )
    rules = rulefile.load([folder / "rules"]).rules
    daemon = Daemon(store, Fixed(rules), TERMS, kept, part=holder, clock=store.clock.now)
    thread = threading.Thread(target=daemon.run, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        daemon.stop()
        thread.join(20)
        assert not thread.is_alive()


def prepare(es: Elasticsearch, folder: Path) -> ElasticLeases:
    (folder / "rules").mkdir()
    for n in range(RULES):
        (folder / "rules" / f"{n}.yaml").write_text(RULE.format(n=n))
    store = ElasticStore(es, "default")
    install(store)
    es.indices.create(index=INDEX, mappings=scratch.mappings())
    return ElasticLeases(store, timedelta(seconds=5))


def wait(until: Callable[[], bool], seconds: float, what: str) -> float:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.05)
    return time.monotonic() - began


def shares(leases: Leases) -> list[int]:
    """How many shards each daemon holds; fails when two hold the same."""
    held = [shard for member in leases.members for shard in member.shards]
    assert len(held) == len(set(held))
    return sorted(len(member.shards) for member in leases.members)


def holder_of(leases: Leases, pid: int) -> tuple[int, ...]:
    return next((m.shards for m in leases.members if f":{pid}:" in m.id), ())


def made(es: Elasticsearch) -> Counter[str]:
    """How many alerts there are for each event."""
    es.indices.refresh(index=ALERTS, ignore_unavailable=True)
    found: Counter[str] = Counter()
    after: list[Any] | None = None
    while page := es.search(
        index=ALERTS,
        ignore_unavailable=True,
        size=5_000,
        source_includes=["event.id"],
        sort=[{"kibana.alert.uuid": "asc"}],
        search_after=after,
    )["hits"]["hits"]:
        found.update(hit["_source"]["event"]["id"] for hit in page)
        after = page[-1]["sort"]
    return found


def test_one_killed_one_asleep_one_with_a_wrong_clock_and_every_alert_once(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    table, stream = prepare(es, tmp_path), Stream(es)
    with (
        with_a_wrong_clock(es, tmp_path) as kept,
        process(node_url, tmp_path) as killed,
        process(node_url, tmp_path) as asleep,
    ):
        wait(lambda: shares(table.read()) == [1, 1, 1], 30, "the rules are not divided")
        stream.start()
        time.sleep(1)

        os.kill(killed.pid, signal.SIGKILL)  # and not waited for: the system still knows it
        wait(lambda: shares(table.read()) == [1, 2], 2 * LEASE, "the dead one's are not taken over")

        os.kill(asleep.pid, signal.SIGSTOP)
        wait(lambda: shares(table.read()) == [3], 2 * LEASE, "the sleeper's are not taken over")
        time.sleep(LEASE)
        os.kill(asleep.pid, signal.SIGCONT)
        wait(lambda: shares(table.read()) == [1, 2], 2 * LEASE, "awake, it gets no share")
        time.sleep(1)

        stream.ending.set()
        stream.join(10)
        wait(lambda: set(made(es)) >= stream.ids, 20, "alerts are missing")
        asleep.send_signal(signal.SIGTERM)
        assert asleep.wait(15) == 0
        assert holder_of(table.read(), asleep.pid) == (), "what ends well leaves at once"
        wait(lambda: shares(table.read()) == [3], LEASE, "and the rest goes on")
    found = made(es)
    assert set(found) == stream.ids
    assert set(found.values()) == {1}
    assert not kept.errors
    assert table.read().members == ()
    said = (tmp_path / "daemons.log").read_text()
    assert "Traceback" not in said


def test_the_standby_of_a_killed_daemon_on_the_same_machine_follows_at_once(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    table = prepare(es, tmp_path)
    with process(node_url, tmp_path) as first:
        wait(lambda: shares(table.read()) == [3], 20, "it does not begin")
        first.kill()
        first.wait(10)
        with process(node_url, tmp_path) as second:
            wait(lambda: bool(holder_of(table.read(), second.pid)), 20, "it does not take over")
            assert holder_of(table.read(), second.pid) == (0, 1, 2)
            assert [f":{second.pid}:" in m.id for m in table.read().members] == [True]
            (lease,) = status(node_url, tmp_path)["leases"]
            assert f":{second.pid}:" in lease["daemon"]
            assert (lease["shards"], lease["of"]) == ([0, 1, 2], 3)


def status(url: str, folder: Path) -> dict[str, Any]:
    arguments = ["status", "--json", "--rules", str(folder / "rules"), "--url", url]
    told = subprocess.run(
        [sys.executable, "-m", "detector", *arguments], check=False, capture_output=True, timeout=60
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_on_a_state_index_of_an_older_version_a_daemon_ends_and_says_what_to_do(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    prepare(es, tmp_path)
    es.indices.delete(index="detector-state-default")
    es.indices.delete_index_template(name="detector-state-default")
    older = {"dynamic": "strict", "properties": {"rule_id": {"type": "keyword"}}}
    es.indices.create(index="detector-state-default", mappings=older)
    with process(node_url, tmp_path) as daemon:
        assert daemon.wait(30) == 2
    said = (tmp_path / "daemons.log").read_text()
    assert "older than this detector" in said
    assert "run `detector setup`" in said
