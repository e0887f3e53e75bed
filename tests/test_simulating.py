from __future__ import annotations

import pytest

from scripts.benchmarks import simulating
from scripts.benchmarks.simulating import Costs, Plan, simulated

CYCLES = [(100, 0.2, 0.05), (1_000, 1.1, 0.5), (2_000, 2.4, 1.0), (5_000, 5.1, 2.5)]
COSTS = Costs(fixed=0.1, own=0.0005, cluster=0.0005)
EVERY = {300: 1.0}


def test_costs_are_those_of_the_smallest_and_the_largest_cycle() -> None:
    found = simulating.fitted(CYCLES)
    assert (found.fixed, found.own, found.cluster) == pytest.approx((0.1, 0.0005, 0.0005))
    assert [one[0] for one in simulating.expectations(CYCLES)] == [1_000, 2_000]
    assert [one[2] for one in simulating.expectations(CYCLES)] == pytest.approx([1.1, 2.1])


@pytest.mark.parametrize(
    ("plan", "lag", "daemon", "behind"),
    [
        (Plan(1_000, 1, EVERY), 1.1, 1.1 / 300, False),
        (Plan(1_000, 2, EVERY), 0.85, 0.85 / 300, False),  # the cluster is no faster for two
        (Plan(1_000, 2, EVERY, abreast=2), 0.6, 0.6 / 300, False),
        (Plan(1_000, 1, {60: 0.5, 300: 0.5}), 0.6, 42 / 3_600, False),
        (Plan(400_000, 1, EVERY), 950.65, 400.1 / 300, True),
    ],
)
def test_an_hour(plan: Plan, lag: float, daemon: float, *, behind: bool) -> None:
    outcome = simulated(plan, COSTS)
    assert outcome.behind is behind
    assert (outcome.lag, outcome.daemon) == pytest.approx((lag, daemon))


def test_more_daemons_are_never_slower() -> None:
    lags = [simulated(Plan(10_000, n, EVERY), COSTS).lag for n in range(1, 6)]
    assert lags == sorted(lags, reverse=True)
