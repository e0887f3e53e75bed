"""A day of alerts, beside searches and `helpers.bulk` of documents that are as large."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from elasticsearch import helpers

from detector import rulefile
from detector.cli import wiring
from detector.model import Rule, Window
from detector.run import backfill
from detector.run.backfill import WORKERS, Manner
from detector.settings import Settings
from detector.store.elastic import ElasticStore
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured, interleaved, seconds
from scripts.benchmarks.memory import peak
from tests.node.listening import Listening

REACH = 1.5
MEMORY = 250
MANY, SEVERAL = 50_000, 2
"""Of more alerts than that, only so many rounds are taken, and none to warm up."""
KEPT = 25_000
"""Documents that the floor holds; it writes them again where the engine has written more."""
AGAINST = "the same searches and helpers.bulk of the same documents"


def measure(lab: Lab) -> Iterator[Measured]:
    """As many rules as there are tools, a day, an alert for each of their events."""
    expected = lab.size.tools * lab.size.events_of_a_tool
    rules = lab.rules(lab.size.tools, "tool{}")
    engine, floor = beside_bulk(lab, rules, expected)
    yield Measured(
        "backfill",
        f"{len(rules)} rules, {expected:,} alerts",
        engine,
        floor,
        reach=REACH,
        against=AGAINST,
    )


def measure_flood(lab: Lab) -> Iterator[Measured]:
    """One rule with very many matches; its process has to stay small."""
    rules, expected = lab.rules(1, "flood"), lab.size.flood
    engine, floor = beside_bulk(lab, rules, expected)
    case = f"1 rule, {expected:,} matches"
    yield Measured("flood", case, engine, floor, reach=REACH, against=AGAINST)
    yield Measured("flood", f"{case}: memory", (alone(lab, "flood"),), unit="MB", reach=MEMORY)


def beside_bulk(lab: Lab, rules: Sequence[Rule], expected: int) -> tuple[tuple[float, ...], ...]:
    """The engine in a space of its own each time; the floor writes into the same kind of index."""
    sent: list[Sequence[Any]] = []
    documents: list[dict[str, Any]] = []

    def engine(_: int) -> float:
        store, terms = lab.space()

        def work() -> None:
            report = backfill.run(
                store, rules, lab.day, terms, clock=wiring.now, manner=Manner(workers=WORKERS)
            )
            created.append(report.alerts_created)

        with Listening(store.client) as heard:
            taken = seconds(work)
        if created.pop() != expected:
            raise RuntimeError(f"{expected:,} alerts were to be made")
        sent[:] = heard.sent
        if not documents:
            documents.extend(_alerts(store))
            gc.freeze()  # what is held for the floor is no work for the engine's collector
        lab.forget(store)
        return taken

    def floor(_: int) -> float:
        store, _terms = lab.space()
        taken = seconds(lambda: _bare(store, sent, documents, expected))
        lab.forget(store)
        return taken

    created: list[int] = []
    if expected > MANY:
        return interleaved(SEVERAL, engine, floor, warm=0)
    return interleaved(lab.size.rounds, engine, floor)


def _bare(
    store: ElasticStore, sent: Sequence[Any], documents: Sequence[dict[str, Any]], count: int
) -> None:
    index = f"{store.names.alerts}-2026.01"
    for lines in sent:
        _ask(store, lines)
    helpers.bulk(store.client, _actions(index, documents, count))
    store.client.indices.refresh(index=index)


def _ask(store: ElasticStore, lines: Sequence[Any]) -> None:
    """The search as it was sent, under a point in time of now where it was under one."""
    index = next((line["index"] for line in lines[::2] if "index" in line), ["logs-cloud_defend*"])
    points = [body for body in lines[1::2] if "pit" in body]
    if not points:
        store.client.msearch(searches=lines)
        return
    point = store.client.open_point_in_time(index=index, keep_alive="1m")["id"]
    fresh = [
        line | {"pit": {"id": point, "keep_alive": "1m"}} if "pit" in line else line
        for line in lines
    ]
    store.client.msearch(searches=fresh)
    store.client.close_point_in_time(id=point)


def _alerts(store: ElasticStore) -> list[dict[str, Any]]:
    """The alerts there are, `KEPT` of them at most."""
    found = helpers.scan(store.client, index=store.names.alerts, size=1_000)
    return [hit["_source"] for hit in islice(found, KEPT)]


def _actions(
    index: str, documents: Sequence[dict[str, Any]], count: int
) -> Iterator[dict[str, Any]]:
    """As many as the engine writes, with ids as long as its own."""
    for number, source in zip(range(count), cycle(documents), strict=False):
        yield {"_op_type": "create", "_index": index, "_id": f"{number:064x}", "_source": source}


def alone(lab: Lab, names: str) -> float:
    """The most memory in MB that a backfill takes in a process of its own."""
    store, _ = lab.space()
    window = [time.isoformat() for time in (lab.day.start, lab.day.end)]
    rules = lab.rule_files(1, names)
    words = [sys.executable, "-m", __name__, lab.url, store.names.space, str(rules), *window]
    said = subprocess.run(words, check=True, capture_output=True, text=True)
    lab.forget(store)
    return float(json.loads(said.stdout)["megabytes"])


def _alone(url: str, space: str, rules: str, start: str, end: str) -> dict[str, float]:

    configured = Settings(space=space)
    store = wiring.connect(url, configured, embedded=True)
    window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
    loaded = rulefile.load([Path(rules)]).rules
    terms, manner = wiring.terms(configured), Manner(workers=WORKERS)
    backfill.run(store, loaded, window, terms, clock=wiring.now, manner=manner)
    return {"megabytes": peak()}


if __name__ == "__main__":
    print(json.dumps(_alone(*sys.argv[1:])))
