"""A thousand rules on disk -> the time to the first search, and what a daemon takes that waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.benchmarks.lab import STEP, Lab
from scripts.benchmarks.measured import Measured, interleaved
from tests.faults.proxy import Proxy

LIMIT = 60.0
CACHED, COLD = 1.0, 5.0
RESIDENT, BUSY = 150, 2.0
WATCHED = 20.0
"""Seconds for which a daemon that waits is watched."""


def measure(lab: Lab) -> Iterator[Measured]:
    """From the start of the process to the first `_msearch`; the rules' files are as Elastic's."""
    store, _ = lab.space()
    space, rules = store.names.space, lab.rule_files(lab.size.cycle, "absent{}")
    caches = lab.folder / "cache"

    def cold(number: int) -> float:
        return first_search(lab, rules, space, caches / str(number))

    def cached(number: int) -> float:
        return first_search(lab, rules, space, caches / str(number))

    slow, quick = interleaved(lab.size.rounds, cold, cached)
    case = f"{lab.size.cycle:,} rules"
    yield Measured("start", f"{case}, cold", slow, reach=COLD)
    yield Measured("start", f"{case}, cached", quick, reach=CACHED)
    yield Measured("start", f"{case}, cached beside cold", quick, slow, against="the same, cold")
    lab.forget(store)


def first_search(lab: Lab, rules: Path, space: str, cache: Path) -> float:
    """Seconds until `detector once` has asked its first search."""
    asked: list[float] = []

    def watch(line: str, _: bytes) -> None:
        if "_msearch" in line:
            asked.append(time.monotonic())

    with Proxy(lab.url) as proxy:
        proxy.watch(watch)
        words = [sys.executable, "-m", "detector", "once", "--json", "--rules", str(rules)]
        began = time.monotonic()
        done = subprocess.run(
            [*words, "--url", proxy.url],
            env=_environment(space, cache),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    if done.returncode or not asked:
        raise RuntimeError(done.stderr)
    return asked[0] - began


def measure_idle(lab: Lab) -> Iterator[Measured]:
    """A daemon between two cycles."""
    store, _ = lab.space()
    rules = lab.rule_files(lab.size.cycle, "absent{}")
    with daemon(lab, rules, store.names.space) as process:
        _await_cycle(store.names.all_runs, lab, process)
        _await_quiet()
        process.cpu_percent()
        time.sleep(WATCHED)
        busy, resident = process.cpu_percent(), process.memory_info().rss / 2**20
    case = f"{lab.size.cycle:,} rules"
    yield Measured("idle", f"{case}: memory", (resident,), unit="MB", reach=RESIDENT)
    yield Measured("idle", f"{case}: processor", (busy,), unit="%", reach=BUSY)
    lab.forget(store)


@contextmanager
def daemon(lab: Lab, rules: Path, space: str) -> Iterator[psutil.Process]:
    """`detector run`, ended whatever happens."""
    words = [sys.executable, "-m", "detector", "run", "--json", "--rules", str(rules)]
    log = (lab.folder / "daemon.log").open("w")
    with (
        log,
        subprocess.Popen(
            [*words, "--url", lab.url],
            env=_environment(space, lab.folder / "cache" / "daemon"),
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_cycle(runs: str, lab: Lab, process: psutil.Process) -> None:
    from elasticsearch import Elasticsearch

    deadline = time.monotonic() + LIMIT
    with Elasticsearch(lab.url) as client:
        while time.monotonic() < deadline and process.is_running():
            client.indices.refresh(index=runs, ignore_unavailable=True, expand_wildcards="all")
            found = client.count(index=runs, ignore_unavailable=True, expand_wildcards="all")
            if found["count"] >= lab.size.cycle:
                return
            time.sleep(0.5)
    raise RuntimeError((lab.folder / "daemon.log").read_text()[-2_000:])


def _await_quiet() -> None:
    """No cycle begins while the daemon is watched."""
    interval = STEP.total_seconds()
    left = interval - time.time() % interval
    time.sleep(5 if left > WATCHED + 10 else left + 15)


def _environment(space: str, cache: Path) -> Mapping[str, str]:
    """As people have it: Python keeps what it has compiled."""
    usual = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**usual, "DETECTOR_SPACE": space, "XDG_CACHE_HOME": str(cache)}
