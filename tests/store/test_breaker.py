"""When a request may go out while a cluster is away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.store.breaker import Breaker, Turn


def test_a_closed_breaker_lets_everything_through() -> None:
    breaker = Breaker()
    assert {breaker.turn(now) for now in (0.0, 0.0, 1.0)} == {Turn.GO}


def test_an_open_breaker_asks_for_one_probe_after_pauses_that_double() -> None:
    breaker, now, pauses = Breaker(first=1, longest=8), 100.0, []
    for _ in range(6):
        breaker.open(now, "away")
        assert breaker.turn(now) is Turn.REFUSED
        pauses.append(breaker.wait(now))
        now += breaker.wait(now)
        assert breaker.turn(now) is Turn.PROBE
        assert breaker.turn(now) is Turn.REFUSED, "a second probe beside the first"
    assert pauses == [1, 2, 4, 8, 8, 8]


def test_a_breaker_that_closed_begins_again_with_its_first_pause() -> None:
    breaker = Breaker(first=1)
    breaker.open(0, "away")
    breaker.open(1, "away")
    breaker.close()
    assert breaker.turn(1) is Turn.GO
    breaker.open(2, "away again")
    assert breaker.wait(2) == 1


def test_a_probe_that_never_tells_its_end_does_not_hold_back_for_ever() -> None:
    breaker = Breaker(first=1, longest=8)
    breaker.open(0, "away")
    assert breaker.turn(1) is Turn.PROBE
    assert breaker.turn(9) is Turn.PROBE


@given(steps=st.lists(st.floats(0, 0.1), min_size=10, max_size=10))
def test_a_thousand_requests_while_a_cluster_is_away_are_few_probes(steps: list[float]) -> None:
    breaker, now, probes = Breaker(), 0.0, 0
    breaker.open(now, "away")
    for step in steps * 100:
        now += step
        if breaker.turn(now) is Turn.PROBE:
            probes += 1
            breaker.open(now, "away")
    assert probes <= 8
