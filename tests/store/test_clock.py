"""The cluster's time, however wrong the machine's own is."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.errors import StoreError, Unavailable
from detector.store.clock import MEASURED_FOR, ClusterClock
from detector.store.elastic import ElasticStore
from tests.builders import NOW

FAST = NOW + timedelta(minutes=10)


class Steady:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_fast_machine_reads_the_clusters_time() -> None:
    steady = Steady()
    clock = ClusterClock(lambda: NOW, own=lambda: FAST, steady=steady)
    assert clock.now() == NOW
    steady.seconds = 30
    assert clock.now() == NOW + timedelta(seconds=30)
    assert clock.skew() == timedelta(minutes=10, seconds=-30)


def test_a_measurement_goes_on_while_the_cluster_is_away() -> None:
    steady = Steady()
    answers = [NOW]

    def ask() -> object:
        if not answers:
            raise Unavailable("down")
        return answers.pop()

    clock = ClusterClock(ask, own=lambda: FAST, steady=steady)  # type: ignore[arg-type]
    assert clock.now() == NOW
    steady.seconds = 3_600
    assert clock.now() == NOW + timedelta(hours=1)


def test_before_the_first_measurement_the_own_clock_stands_in() -> None:
    def ask() -> object:
        raise Unavailable("down")

    clock = ClusterClock(ask, own=lambda: FAST, steady=Steady())  # type: ignore[arg-type]
    assert clock.now() == FAST
    assert clock.skew() == timedelta(0)


def test_a_slow_answer_is_no_difference_of_clocks() -> None:
    own = [NOW + timedelta(seconds=30), NOW]  # read after the answer, and before it

    def ask() -> object:
        own.pop()
        raise Unavailable("down, after half a minute of trying")

    clock = ClusterClock(ask, own=lambda: own[-1], steady=Steady())  # type: ignore[arg-type]
    assert clock.skew() == timedelta(0)


class Told:
    def __init__(self) -> None:
        self.said: list[float | str] = []

    def skewed(self, ahead: timedelta) -> None:
        self.said.append(ahead.total_seconds())

    def untold(self, error: StoreError, *, measured: bool) -> None:
        self.said.append(f"{error.message}, {'measured' if measured else 'never measured'}")


class Machine:
    """A machine whose clock and whose cluster a test sets; time goes by between measurements."""

    def __init__(self) -> None:
        self.told, self.steady = Told(), Steady()
        self.ahead = self.takes = timedelta(0)
        self.answers = True
        self.clock = ClusterClock(self._ask, own=self._own, steady=self.steady)
        self.clock.tell(self.told)

    def _time(self) -> datetime:
        return NOW + timedelta(seconds=self.steady.seconds)

    def _own(self) -> datetime:
        return self._time() + self.ahead

    def _ask(self) -> datetime:
        self.steady.seconds += self.takes.total_seconds()
        if not self.answers:
            raise Unavailable("down")
        return self._time()

    def measure(self, ahead: float = 0) -> list[float | str]:
        """What is said of the next measurement."""
        self.ahead = timedelta(seconds=ahead)
        self.steady.seconds += MEASURED_FOR
        self.clock.now()
        said, self.told.said = self.told.said, []
        return said


def test_a_difference_is_told_when_it_comes_and_when_it_goes() -> None:
    machine = Machine()
    aheads = [0, 4.9, 5.1, 600, -7, 2, -600]
    told = [[], [], [5.1], [], [-7], [2], [-600]]
    assert [machine.measure(ahead) for ahead in aheads] == told


def test_what_an_answer_takes_is_no_difference() -> None:
    machine = Machine()
    machine.takes = timedelta(seconds=20)
    assert machine.measure() == []
    assert machine.measure(ahead=10) == []
    assert machine.measure(ahead=26) == [6]


def test_a_cluster_that_does_not_tell_its_time_is_told_once_until_it_does() -> None:
    machine = Machine()
    machine.answers = False
    assert [machine.measure(), machine.measure()] == [["down, never measured"], []]
    machine.answers = True
    assert machine.measure() == []
    machine.answers = False
    assert machine.measure() == ["down, measured"]


def test_an_observer_that_comes_late_hears_how_it_is() -> None:
    machine = Machine()
    assert machine.measure(ahead=60) == [60]
    machine.clock.tell(machine.told)
    machine.clock.now()
    assert machine.told.said == [60]


@pytest.mark.node
def test_a_real_cluster_tells_its_time(es: Elasticsearch) -> None:
    assert abs(ElasticStore(es, "default").clock.skew()) < timedelta(seconds=2)
