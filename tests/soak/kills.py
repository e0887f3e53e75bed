"""A stream of events and a daemon that is killed over and over in, what was lost and doubled out.

`python -m tests.soak.kills --minutes 10` is `scripts/soak`; `tests/run/test_daemon_killed.py` does
the same with fifteen kills and no outages. Everything but the machine's own timing follows from the
seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from elasticsearch import Elasticsearch

from detector.node import embedded
from detector.store import scratch
from tests.builders import shell_event

ALERTS = "alerts-detector-default"
SENSOR, COPIES, APP = "logs-cloud_defend.process-default", "logs-cloud_defend.copy", "logs-app.web"
OVERLAP = 14.0
"""Seconds that an event may take to become searchable: what every rule's `from` reaches beyond."""
LATEST = 5.0
BURST = 2_500
OUTAGE = (18.0, 24.0)
"""Seconds that nothing runs, now and then: longer than any rule's `from` reaches back."""
OUTAGES = 1 / 15
"""How many kills of the soak an outage follows."""
QUIET = 40.0
"""Seconds without one more alert, after which none is waited for."""

RULE = """
rule_id: {name}
name: The rule {name}
description: A rule of the soak.
type: eql
language: eql
severity: high
risk_score: 73
"""
RULES = {
    "shells": """
index: [logs-cloud_defend*]
interval: 1s
from: now-15s
timestamp_override: event.ingested
max_signals: 20000
query: 'process where container.id : "*" and process.args : ("-i", "-it")'
""",
    "capped": """
index: [logs-cloud_defend*]
interval: 1s
from: now-15s
timestamp_override: event.ingested
max_signals: 40
query: 'process where process.name == "nc"'
""",
    "lengths": """
index: [logs-app*]
interval: 2s
from: now-16s
max_signals: 500
query: 'any where length(message) > 20'
""",
}

Phase = Literal["starting", "anywhere", "writing", "recorded"]
PHASES: tuple[Phase, ...] = ("starting", "anywhere", "writing", "writing", "recorded")


class Stream:
    """Indexes events until it is stopped: some late, some copied, some of no rule's concern."""

    def __init__(self, es: Elasticsearch, seed: int) -> None:
        self._es = es
        self._seed = seed
        self._chance = random.Random(f"stream {seed}")
        self._recent: deque[tuple[str, dict[str, Any]]] = deque(maxlen=300)
        self._invisible: list[datetime] = []
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.expected: dict[str, set[str]] = {name: set() for name in RULES}
        self.written = 0
        self.slowest = 0.0
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def burst(self, size: int) -> None:
        """Many at once, so that the next cycle takes a while to write its alerts."""
        with self._writing:
            self._index([self._event("shells") for _ in range(size)], seen=True)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._chance.uniform(0.02, 0.3)):
                with self._writing:
                    self._index(self._batch(), seen=self._chance.random() < 0.5)
            with self._writing:
                self._index([self._event("noise")], seen=True)
        except Exception as error:  # noqa: BLE001 - told to whoever judges the stream
            self.failure = error

    def _batch(self) -> list[tuple[str, dict[str, Any]]]:
        kinds = ("shells", "shells", "capped", "lengths", "both", "noise", "noise")
        made = [self._event(self._chance.choice(kinds)) for _ in range(self._chance.randint(1, 20))]
        self._recent += made
        copied = self._chance.randint(0, 4) if self._chance.random() < 0.3 else 0
        return made + [self._copy(*self._chance.choice(self._recent)) for _ in range(copied)]

    def _event(self, kind: str) -> tuple[str, dict[str, Any]]:
        late = self._chance.uniform(0, LATEST) if self._chance.random() < 0.2 else 0.0
        ingested = datetime.now(UTC) - timedelta(seconds=late)
        id_ = f"{self._seed}-{len(self._invisible)}-{self._chance.getrandbits(48):012x}"
        at = ingested - timedelta(seconds=self._chance.choice((0, 0, 40, 4_000)))
        self._invisible.append(ingested)
        for name in RULES:
            if kind in {name, "both"} and not (kind == "both" and name == "lengths"):
                self.expected[name].add(id_)
        if kind == "lengths":
            shown = shell_event(ingested, event_id=id_, dataset="app.web", category=["web"])
            return APP, shown | {"message": "m" * self._chance.randint(21, 40)}
        event = shell_event(at, ingested=ingested, event_id=id_)
        args = ["-i"] if kind in {"shells", "both"} else ["-x"]
        named = "nc" if kind in {"capped", "both"} else "bash"
        return SENSOR, event | {"process": {"name": named, "args": args}, "message": "short"}

    def _copy(self, index: str, event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The same event once more: into another index, or ingested again."""
        if index == SENSOR and self._chance.random() < 0.5:
            again = event["event"] | {"ingested": datetime.now(UTC).isoformat()}
            return COPIES, event | {"event": again}
        return index, event

    def _index(self, events: list[tuple[str, dict[str, Any]]], *, seen: bool) -> None:
        lines: list[Any] = []
        for index, source in events:
            lines += [{"create": {"_index": index}}, source]
        answer = self._es.bulk(operations=lines, refresh=seen)
        assert not answer["errors"], answer["items"][0]
        self.written += len(events)
        if seen:
            self._es.indices.refresh(index="logs-*")
            now = datetime.now(UTC)
            lags = [(now - ingested).total_seconds() for ingested in self._invisible]
            self.slowest = max([self.slowest, *lags])
            self._invisible.clear()


@dataclass(slots=True)
class Daemon:
    """`detector run` as a process of its own, which says what it does into a file."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    begun: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    def start(self) -> subprocess.Popen[bytes]:
        self.begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                detector("run", url=self.url, folder=self.folder), stdout=log, stderr=log,
                env=environment(),
            )  # fmt: skip
        return self.process

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(30)

    def last(self) -> str:
        """The end of what it said."""
        return self.log.read_text("utf-8", "replace")[-2_000:]

    def told(self) -> list[dict[str, Any]]:
        """The cycles that the latest process has finished and told of."""
        with self.log.open("rb") as log:
            log.seek(self.begun)
            lines = [json.loads(line) for line in log if line[:1] == b"{" and line[-1:] == b"\n"]
        said = [line.get("detector", {}) for line in lines]
        return [about for about in said if "alerts_created" in about]


@dataclass(slots=True)
class Verdict:
    """Alerts against events, by rule; `cut` kills hit between a write and the word of it."""

    seed: int
    kills: int = 0
    cut: int = 0
    outages: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    events: int = 0
    alerts: int = 0
    expected: int = 0
    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    slowest: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.foreign)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.kills} kills ({self.cut} between a write and its record), "
            f"{self.outages} long outages, {self.events:,} events, "
            f"{self.alerts:,} alerts of {self.expected:,} expected, {self.lost} lost, "
            f"{self.doubled} doubled, {self.foreign} of no event"
        )


def detector(*arguments: str, url: str, folder: Path) -> list[str]:
    rules = str(folder / "rules")
    return [sys.executable, "-m", "detector", *arguments, "--rules", rules, "--url", url]


def environment() -> dict[str, str]:
    """No setting of the person who runs this; a wait is no flood here."""
    own = {name: said for name, said in os.environ.items() if not name.startswith("DETECTOR_")}
    return own | {"DETECTOR_FLOOD": "100000", "DETECTOR_LOG_FORMAT": "json"}


def prepare(es: Elasticsearch, url: str, folder: Path) -> Daemon:
    """Rules in a folder, indices for the events, detector set up."""
    (folder / "rules").mkdir()
    for name, rest in RULES.items():
        (folder / "rules" / f"{name}.yaml").write_text(RULE.format(name=name) + rest)
    for index in (SENSOR, COPIES, APP):
        settings = {"refresh_interval": "300ms", "number_of_replicas": 0}
        es.indices.create(index=index, mappings=scratch.mappings(), settings=settings)
    setup = detector("setup", url=url, folder=folder)
    done = subprocess.run(
        setup, cwd=folder, env=environment(), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return Daemon(url, folder)


def count(es: Elasticsearch) -> int:
    """The alerts that are there."""
    asked = es.options(ignore_status=503)  # an index has been made, its shard is not up yet
    asked.indices.refresh(index=ALERTS, ignore_unavailable=True)
    return int(asked.count(index=ALERTS, ignore_unavailable=True).get("count", 0))


def created(es: Elasticsearch) -> int:
    """How many documents the alerts' indices have taken: said at once, without a refresh."""
    said = es.indices.stats(index=f"{ALERTS}*", metric="indexing", filter_path="_all.primaries")
    return int(said["_all"]["primaries"].get("indexing", {}).get("index_total", 0))


def wait(holds: Callable[[], bool], seconds: float, pause: float = 0.01) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(pause)
    return held


@dataclass(slots=True)
class Killer:
    """Kills a daemon at moments that chance names, and counts what it was in the middle of."""

    es: Elasticsearch
    daemon: Daemon
    stream: Stream
    verdict: Verdict
    chance: random.Random
    outages: float = 0.0
    before: int = 0

    def strike(self) -> None:
        phase = self.chance.choice(PHASES)
        if phase == "writing":
            self.stream.burst(self.chance.randint(BURST // 5, BURST))
        process, start = self.daemon.start(), created(self.es)
        self._await(phase, start)
        assert process.poll() is None, f"it ended by itself: {self.daemon.last()}"
        self.daemon.kill()
        after = count(self.es)
        told = sum(cycle["alerts_created"] for cycle in self.daemon.told())
        self.verdict.cut += after - self.before > told
        self.before = after
        self.verdict.kills += 1
        self.verdict.phases[phase] += 1
        self._pause()

    def _pause(self) -> None:
        """Mostly short; a long one is of the catch-up's making up, and so are its late events."""
        if self.chance.random() < self.outages:
            self.verdict.outages += 1
            time.sleep(self.chance.uniform(*OUTAGE))
            return
        time.sleep(self.chance.choice((0, 0, 0.5, self.chance.uniform(0, 2))))

    def _await(self, phase: Phase, start: int) -> None:
        match phase:
            case "starting":
                time.sleep(self.chance.uniform(0, 1.5))
            case "anywhere":
                time.sleep(self.chance.uniform(0.5, 3))
            case "writing":
                wait(lambda: created(self.es) > start, 15)
                time.sleep(self.chance.uniform(0, 0.2))
            case "recorded":
                wait(lambda: bool(self.daemon.told()), 15)
                time.sleep(self.chance.uniform(0, 0.1))


def run(
    es: Elasticsearch,
    url: str,
    folder: Path,
    *,
    seed: int,
    goes_on: Callable[[Verdict], bool],
    say: Callable[[str], None],
    outages: float = 0.0,
) -> Verdict:
    """Kill the daemon as long as `goes_on`, let it finish in peace, and compare.

    `outages` is the share of kills after which nothing runs for longer than the look-back.
    """
    daemon, verdict = prepare(es, url, folder), Verdict(seed)
    try:
        with Stream(es, seed) as stream:
            chance = random.Random(f"kills {seed}")
            killer = Killer(es, daemon, stream, verdict, chance, outages)
            while goes_on(verdict):
                killer.strike()
                verdict.events = stream.written
                say(f"{verdict.kills} kills, {stream.written:,} events, {killer.before:,} alerts")
        finish(es, stream, daemon.start())
    finally:
        daemon.kill()
    return judge(es, stream, verdict)


def finish(es: Elasticsearch, stream: Stream, process: subprocess.Popen[bytes]) -> None:
    """Let a daemon run until everything is there, and some cycles longer; it ends when told.

    What a cap has kept back follows run by run: it is waited for as long as alerts are added.
    """
    expected = sum(map(len, stream.expected.values()))
    before, found = -1, 0
    while before < found < expected:
        before = found
        wait(lambda: count(es) >= expected, QUIET, 0.2)
        found = count(es)
    time.sleep(2)
    process.terminate()
    assert process.wait(30) == 0, "the daemon did not end as it was told"


def judge(es: Elasticsearch, stream: Stream, verdict: Verdict) -> Verdict:
    """The verdict, with what became of the events."""
    if stream.failure is not None:
        raise stream.failure
    assert stream.slowest < OVERLAP, (
        f"this machine is too slow to tell: an event took {stream.slowest:.1f} s to become "
        f"searchable, and {OVERLAP:.0f} s is all that the rules promise to look back"
    )
    found = Counter(alerts(es))
    wanted = {(name, id_) for name, ids in stream.expected.items() for id_ in ids}
    verdict.events, verdict.slowest = stream.written, stream.slowest
    verdict.alerts, verdict.expected = found.total(), len(wanted)
    verdict.lost = len(wanted - set(found))
    verdict.foreign = len(set(found) - wanted)
    verdict.doubled = sum(times > 1 for times in found.values())
    return verdict


def alerts(es: Elasticsearch) -> Iterator[tuple[str, str]]:
    """Rule and event of every alert there is."""
    es.indices.refresh(index=ALERTS)
    after: list[Any] | None = None
    while True:
        page = es.search(
            index=ALERTS,
            size=5_000,
            source=False,
            search_after=after,
            fields=[{"field": one} for one in ("event.id", "kibana.alert.rule.rule_id")],
            sort=[{"kibana.alert.uuid": "asc"}],
        )["hits"]["hits"]
        if not page:
            return
        for hit in page:
            yield hit["fields"]["kibana.alert.rule.rule_id"][0], hit["fields"]["event.id"][0]
        after = page[-1]["sort"]


@contextmanager
def node(url: str | None, folder: Path) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with embedded.running(folder / "node") as running:
        yield running.url


def main() -> int:
    """Soak for some minutes; 1 unless nothing was lost and nothing doubled."""
    options = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = options.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {text}\n")

    say(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory() as name, node(None, Path(name)) as url:
        until = time.monotonic() + chosen.minutes * 60
        with Elasticsearch(url, request_timeout=60) as es:
            verdict = run(
                es, url, Path(name), seed=chosen.seed, say=say, outages=OUTAGES,
                goes_on=lambda _: time.monotonic() < until,
            )  # fmt: skip
    sys.stdout.write(f"{verdict}\n")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
