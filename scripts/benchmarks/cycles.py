"""A cycle of many rules without a match, beside the same searches sent from a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from detector.model import Rule
from detector.run import cycle
from detector.run.cycle import Terms
from detector.store.elastic import ElasticStore
from scripts.benchmarks.lab import STEP, Lab
from scripts.benchmarks.measured import Measured, interleaved, seconds
from tests.node.listening import Listening

REACH = 1.3
INTERVAL = timedelta(minutes=5).total_seconds()
SPARE = 0.1
"""A cycle of the largest set takes at most this part of its interval."""


def measure(lab: Lab) -> Iterator[Measured]:
    """Each number of rules; the one in the middle has a reach of its own."""
    medians: list[tuple[int, tuple[float, ...]]] = []
    for count in lab.size.rules:
        engine, searches, bare = beside_bare_searches(lab, count)
        reach = REACH if count == lab.size.cycle else None
        against = "a search for each rule, as bare _msearch"
        case = f"{count:,} rules"
        yield Measured("cycle", case, engine, bare, reach=reach, against=against)
        yield Measured("searches", case, searches, bare, against=against)
        medians.append((count, engine))
    (few, first), (many, last) = medians[0], medians[-1]
    yield Measured(
        "growth",
        f"per rule, {many:,} beside {few:,}",
        tuple((more / many) / (less / few) for more, less in zip(last, first, strict=True)),
        unit="x",
        reach=1.0,
    )
    case = f"{many:,} rules, part of a 5-minute interval"
    yield Measured(
        "growth", case, tuple(taken / INTERVAL for taken in last), unit="of 1", reach=SPARE
    )


def beside_bare_searches(lab: Lab, count: int) -> tuple[tuple[float, ...], ...]:
    """Cycles one after the other, five minutes apart, then what they asked, then a search a rule.

    The last is what another engine, which asks for each rule by itself, asks before all of them:
    none is the first for whom the node caches.
    """
    store, terms = lab.space()
    before, _ = lab.space(rules_per_search=1)
    rules = lab.rules(count, "absent{}")
    asked: dict[str, list[Sequence[Any]]] = {}

    def engine(number: int) -> float:
        with Listening(before.client) as heard:
            cycle_at(lab, before, terms, rules, number)()
        asked["bare"] = heard.sent
        with Listening(store.client) as heard:
            taken = seconds(cycle_at(lab, store, terms, rules, number))
        asked["joint"] = heard.sent
        return taken

    def again(which: str) -> float:
        def ask() -> None:
            for lines in asked[which]:
                store.client.msearch(searches=lines)

        return seconds(ask)

    samples = interleaved(
        lab.size.rounds, engine, lambda _: again("joint"), lambda _: again("bare")
    )
    for one in (store, before):
        lab.forget(one)
    return samples


def cycle_at(
    lab: Lab, store: ElasticStore, terms: Terms, rules: Sequence[Rule], number: int
) -> Callable[[], None]:
    """The `number`-th cycle of an hour inside the day."""
    now = lab.now - timedelta(hours=2) + number * STEP

    def run() -> None:
        report = cycle.run(store, rules, now, terms, clock=lambda: now)
        if report.failed or report.alerts_created:
            raise RuntimeError(f"the cycle went wrong: {report.runs[0]}")

    return run
