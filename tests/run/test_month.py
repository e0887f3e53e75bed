"""A month's turn, between runs and during one: each alert once, in the month of its event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.model import Answer, Question, Window
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store import scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored
from tests.builders import INDEX, TERMS, install, make_rule, shell_event

pytestmark = pytest.mark.node

TURN = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(seconds=10)
EVENTS = 24
HALF = EVENTS // 2
ALERTS = "alerts-detector-default"
MONTHS = {"2026.02": HALF, "2026.03": HALF}


@pytest.fixture
def ready(es: Elasticsearch) -> Elasticsearch:
    store = ElasticStore(es, "default")
    install(store)
    scratch.template(store, "events", ["logs-*"])
    return es


def events() -> list[Stored]:
    """As many before the turn as at it and after; the first of March is one of them."""
    times = [TURN + (n - HALF) * STEP for n in range(EVENTS)]
    return [
        Stored(INDEX, f"doc-{n}", shell_event(time, event_id=f"e{n}"))
        for n, time in enumerate(times)
    ]


def fill(es: Elasticsearch, documents: Sequence[Stored]) -> None:
    scratch.fill(ElasticStore(es, "default"), documents)


def engine(es: Elasticsearch) -> ElasticStore:
    return ElasticStore(es, "default", page_size=5)


def run(store: ElasticStore, now: datetime, clock: Callable[[], datetime] | None = None) -> Report:
    return cycle.run(store, [make_rule()], now, TERMS, clock=clock or (lambda: now))


def by_month(es: Elasticsearch) -> dict[str, int]:
    es.indices.refresh(index=ALERTS, ignore_unavailable=True)
    found = es.search(index=ALERTS, size=1_000, source_includes=["event.id"])["hits"]["hits"]
    ids = [hit["_source"]["event"]["id"] for hit in found]
    assert len(ids) == len(set(ids)), "an event alerted twice"
    months: dict[str, int] = {}
    for hit in found:
        month = hit["_index"].removeprefix(f"{ALERTS}-")
        months[month] = months.get(month, 0) + 1
    return months


def test_the_turn_comes_between_two_runs(ready: Elasticsearch) -> None:
    fill(ready, events()[:HALF])
    run(engine(ready), TURN - STEP / 2)
    assert by_month(ready) == {"2026.02": HALF}
    fill(ready, events()[HALF:])
    report = run(engine(ready), TURN + timedelta(minutes=4, seconds=55))
    assert (report.alerts_created, by_month(ready)) == (HALF, MONTHS)
    assert report.alerts_existing > 0, "the look-back reaches into the month before"


class Passing(ElasticStore):
    """A store whose clock passes the turn while it is asked: between two pages of one run."""

    now = TURN - timedelta(milliseconds=1)

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        answers = super().search(searches)
        self.now = TURN + timedelta(milliseconds=1)
        return answers


def test_the_clock_passes_the_turn_during_a_run(ready: Elasticsearch) -> None:
    fill(ready, events())
    store = Passing(ready, "default", page_size=5)
    run(store, TURN, clock=lambda: store.now)
    assert by_month(ready) == {"2026.02": HALF}
    run(store, TURN + timedelta(minutes=5), clock=lambda: TURN + timedelta(minutes=5))
    assert by_month(ready) == MONTHS
    ready.indices.refresh(index="detector-runs-default-*", expand_wildcards="all")
    records = ready.search(index="detector-runs-default-*", expand_wildcards="all")["hits"]["hits"]
    assert sorted(hit["_index"][-7:] for hit in records) == ["2026.02", "2026.03"]


def test_events_of_the_month_before_that_come_late(ready: Elasticsearch) -> None:
    """Ingested after the turn: found by that, kept where the event belongs."""
    later = TURN + timedelta(minutes=3)
    late = [
        Stored(INDEX, f"late-{n}", shell_event(TURN - (n + 1) * STEP, ingested=later))
        for n in range(HALF)
    ]
    fill(ready, [*events()[HALF:], *late])
    now = TURN + timedelta(minutes=5)
    assert run(engine(ready), now).alerts_created == EVENTS
    assert run(engine(ready), now + timedelta(minutes=2)).alerts_created == 0
    assert by_month(ready) == MONTHS


def test_engines_at_once_over_the_turn(ready: Elasticsearch) -> None:
    fill(ready, events())
    now = TURN + timedelta(minutes=4)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: run(engine(ready), now), range(4)))
    assert sum(report.alerts_created for report in reports) == EVENTS
    assert by_month(ready) == MONTHS


def test_a_backfill_over_the_turn_adds_nothing(ready: Elasticsearch) -> None:
    fill(ready, events())
    run(engine(ready), TURN + timedelta(minutes=4))
    window = Window(TURN - timedelta(hours=1), TURN + timedelta(hours=1))
    clock = window.end + timedelta(days=40)  # two months on
    report = backfill.run(engine(ready), [make_rule()], window, TERMS, clock=lambda: clock)
    assert (report.alerts_created, report.alerts_existing) == (0, EVENTS)
    assert by_month(ready) == MONTHS


def test_a_copy_whose_time_lies_on_the_other_side_is_the_same_event(ready: Elasticsearch) -> None:
    """`event.id` alone tells container events apart; the alert is looked up in every month."""
    first = shell_event(TURN - STEP, event_id="same")
    second = shell_event(TURN + STEP, event_id="same")
    fill(ready, [Stored(INDEX, "first", first)])
    now = TURN + timedelta(minutes=2)
    assert run(engine(ready), now).alerts_created == 1
    fill(ready, [Stored(INDEX, "second", second)])
    assert run(engine(ready), now + timedelta(minutes=2)).alerts_created == 0
    assert by_month(ready) == {"2026.02": 1}
