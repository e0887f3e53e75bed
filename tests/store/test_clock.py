"""The cluster's time, however wrong the machine's own is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.errors import Unavailable
from detector.store.clock import ClusterClock
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


@pytest.mark.node
def test_a_real_cluster_tells_its_time(es: Elasticsearch) -> None:
    assert abs(ElasticStore(es, "default").clock.skew()) < timedelta(seconds=2)
