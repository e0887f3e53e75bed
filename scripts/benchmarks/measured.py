"""Samples of the engine and of its floor -> medians, ratios, and whether they are good enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

SLACK = 1.3
"""A ratio may be this many times the one that was recorded."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One case of a scenario: `samples` of the engine beside those of its `floor`, in `unit`.

    The case's figure is the ratio of the medians, or without a floor the median itself; it is good
    when it is at most `reach`. Only ratios are compared with recorded ones.
    """

    scenario: str
    case: str
    samples: tuple[float, ...]
    floor: tuple[float, ...] = ()
    unit: str = "s"
    reach: float | None = None
    against: str = ""

    @property
    def name(self) -> str:
        return f"{self.scenario}: {self.case}"

    @property
    def figure(self) -> float:
        middle = median(self.samples)
        return middle / median(self.floor) if self.floor else middle

    @property
    def reached(self) -> bool | None:
        """None where there is nothing to reach."""
        return None if self.reach is None else self.figure <= self.reach

    def fell_behind(self, recorded: Mapping[str, float]) -> bool:
        known = recorded.get(self.name)
        return bool(self.floor) and known is not None and self.figure > known * SLACK

    def document(self) -> dict[str, Any]:
        """As results.json has it."""
        return {
            "scenario": self.scenario,
            "case": self.case,
            "unit": self.unit,
            "samples": self.samples,
            "median": median(self.samples),
            "against": self.against,
            "floor": self.floor,
            "floor_median": median(self.floor) if self.floor else None,
            "ratio": self.figure if self.floor else None,
            "reach": self.reach,
            "reached": self.reached,
        }


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(
    rounds: int, *works: Callable[[int], float], warm: int = 1
) -> tuple[tuple[float, ...], ...]:
    """The samples of each of `works`, taken in turn, the first `warm` rounds left out.

    What slows the machine for a while slows all of them.
    """
    taken = [[work(number) for work in works] for number in range(rounds + warm)]
    return tuple(zip(*taken[warm:], strict=True))
