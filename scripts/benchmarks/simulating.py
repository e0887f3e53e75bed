"""`scripts/simulate`: what a cycle costs, as measured, in; lag and load of daemons out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path("bench/results.json")
HOUR = 3_600
TRUSTED = 1.3
"""How far a measured cycle may lie from what the others let expect."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a cycle: `fixed`, and for each rule the daemon's own and the cluster's."""

    fixed: float
    own: float
    cluster: float

    def alone(self, rules: int) -> float:
        """How long a daemon takes that has the cluster to itself."""
        return self.fixed + rules * (self.own + self.cluster)


@dataclass(frozen=True, slots=True)
class Plan:
    """Daemons that share `rules` evenly; `intervals` says what part of them runs how often.

    The cluster serves `abreast` daemons at once without getting slower.
    """

    rules: int
    daemons: int
    intervals: Mapping[int, float]
    abreast: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """After an hour: seconds from when rules were due to when they had run, and parts of the time.

    `behind` says that lag grows for as long as it goes on.
    """

    lag: float
    longest: float
    daemon: float
    cluster: float
    behind: bool


def fitted(cycles: Sequence[tuple[int, float, float]]) -> Costs:
    """By the smallest and the largest of cycles: rules, seconds, and seconds of their searches."""
    (few, first, _), (many, last, bare) = min(cycles), max(cycles)
    each = (last - first) / (many - few)
    cluster = min(each, bare / many)
    return Costs(max(0.0, first - few * each), each - cluster, cluster)


def read(results: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    """The cycles in `results.json` and what their searches took, by their number of rules."""
    taken: dict[str, dict[str, float]] = {"cycle": {}, "searches": {}}
    for one in results["results"]:
        taken.get(one["scenario"], {})[one["case"]] = one["median"]
    return sorted(
        (int(case.split()[0].replace(",", "")), whole, taken["searches"][case])
        for case, whole in taken["cycle"].items()
    )


def simulated(plan: Plan, costs: Costs) -> Outcome:
    """An hour, tick by tick: a daemon that is not done with one begins the next when it is."""
    free, busy, asked = 0.0, 0.0, 0.0
    lags: list[float] = []
    for tick in _ticks(plan.intervals):
        due = sum(part for every, part in plan.intervals.items() if tick % every == 0)
        rules = plan.rules * due / plan.daemons
        crowd = max(1.0, plan.daemons / plan.abreast)
        taken = costs.fixed + rules * (costs.own + costs.cluster * crowd)
        begins = max(float(tick), free)
        free, busy = begins + taken, busy + taken
        asked += plan.rules * due * costs.cluster / plan.abreast
        lags.append(free - tick)
    grows = len(lags) > 1 and all(later > sooner for sooner, later in pairwise(lags[-10:]))
    late = max(lags) > min(plan.intervals)
    return Outcome(median(lags), max(lags), busy / HOUR, asked / HOUR, grows and late)


def _ticks(intervals: Mapping[int, float]) -> list[int]:
    return sorted({tick for every in intervals for tick in range(0, HOUR, every)})


def expectations(cycles: Sequence[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """Rules, seconds as measured, and seconds expected by the costs, for those not fitted to."""
    costs = fitted(cycles)
    return [(rules, taken, costs.alone(rules)) for rules, taken, _ in sorted(cycles)[1:-1]]


def main() -> int:
    """The exit code: 1 when the measured points are not met, 2 when there are none."""
    asked = _options()
    try:
        cycles = read(json.loads(asked.results.read_text()))
    except (OSError, ValueError, KeyError) as error:
        print(f"{asked.results}: {error}\nhint: scripts/bench --only cycle", file=sys.stderr)
        return 2
    if len(cycles) < 3:
        print("too few cycles: scripts/bench --only cycle, not --quick", file=sys.stderr)
        return 2
    costs, known = fitted(cycles), expectations(cycles)
    intervals = _mix(asked.interval)
    plans = [
        Plan(rules, daemons, intervals, asked.abreast)
        for rules in asked.rules
        for daemons in asked.daemons
    ]
    outcomes = [(plan, simulated(plan, costs)) for plan in plans]
    (_as_json if asked.json else _show)(costs, known, outcomes)
    return 0 if all(_is_met(taken, expected) for _, taken, expected in known) else 1


def _is_met(taken: float, expected: float) -> bool:
    return 1 / TRUSTED <= taken / expected <= TRUSTED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[1_000, 5_000, 10_000, 50_000])
    parser.add_argument("--daemons", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--interval",
        nargs="+",
        default=["300"],
        help="seconds, or SECONDS=PART for several (300=0.9 60=0.1)",
    )
    parser.add_argument(
        "--abreast",
        type=float,
        default=1.0,
        help="how many daemons the cluster serves at once as fast as one (measured: one)",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _mix(given: Sequence[str]) -> dict[int, float]:
    parts = [one.partition("=") for one in given]
    return {int(every): float(part) if part else 1 / len(given) for every, _, part in parts}


def _as_json(
    costs: Costs,
    known: Sequence[tuple[int, float, float]],
    outcomes: Sequence[tuple[Plan, Outcome]],
) -> None:
    rows = [
        {
            "rules": plan.rules,
            "daemons": plan.daemons,
            "lag_seconds": outcome.lag,
            "longest_seconds": outcome.longest,
            "daemon": outcome.daemon,
            "cluster": outcome.cluster,
            "behind": outcome.behind,
        }
        for plan, outcome in outcomes
    ]
    checked = [dict(zip(("rules", "measured", "expected"), one, strict=True)) for one in known]
    print(json.dumps({"costs": asdict(costs), "checked": checked, "outcomes": rows}))


def _show(
    costs: Costs,
    known: Sequence[tuple[int, float, float]],
    outcomes: Sequence[tuple[Plan, Outcome]],
) -> None:
    console = Console()
    console.print(
        f"a cycle: {costs.fixed * 1_000:.0f} ms, and for each rule {costs.own * 1e6:.0f} µs of the "
        f"daemon and {costs.cluster * 1e6:.0f} µs of the cluster"
    )
    for rules, taken, expected in known:
        met = "met" if _is_met(taken, expected) else "NOT MET"
        console.print(f"{rules:,} rules: {taken:.2f} s measured, {expected:.2f} s expected: {met}")
    table = Table("rules", "daemons", "lag", "longest", "a daemon works", "the cluster works")
    for plan, outcome in outcomes:
        table.add_row(
            f"{plan.rules:,}",
            str(plan.daemons),
            f"{outcome.lag:.1f} s",
            "it grows" if outcome.behind else f"{outcome.longest:.1f} s",
            f"{outcome.daemon:.1%}",
            f"{outcome.cluster:.1%}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
