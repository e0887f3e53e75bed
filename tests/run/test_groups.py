"""Alerts of several documents in a cycle: blocks come first, and count for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from detector.model import Alert, Window, Written
from detector.run import backfill, cycle
from detector.run.cycle import Report
from detector.store.memory import MemoryStore
from tests.builders import NOW, TERMS, make_rule, shell_event, stored

PAIRS = make_rule(
    'sequence by container.id with maxspan=10s [process where event.type == "start"] with runs=2',
    max_signals=3,
)


class Holding(MemoryStore):
    """Takes none of the alerts in `busy` for now."""

    busy: frozenset[str] = frozenset()

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        held = {one.id: "busy" for one in alerts if one.id in self.busy}
        written = super().write_alerts([one for one in alerts if one.id not in held])
        return Written(written.created, written.existing, held=held)


def pairs(count: int) -> Holding:
    return Holding(
        stored(
            shell_event(NOW - timedelta(seconds=200 - n), event_id=f"e{n}")
            | {"container": {"id": str(n // 2)}}
            for n in range(2 * count)
        )
    )


def run(store: MemoryStore, turn: int = 0) -> Report:
    now = NOW + timedelta(minutes=5 * turn)
    return cycle.run(store, [PAIRS], now, TERMS, clock=lambda: now)


def test_a_cap_counts_alerts_and_not_their_blocks() -> None:
    store = pairs(5)
    assert [run(store, turn).alerts_created for turn in range(3)] == [3, 2, 0]
    blocks = [one for one in store.alerts.values() if "kibana.alert.group.index" in one.document]
    assert (len(store.alerts), len(blocks)) == (15, 10)


def test_no_alert_is_written_before_its_blocks() -> None:
    store, twin = pairs(1), pairs(1)
    run(twin)
    (shell,) = [id_ for id_, one in twin.alerts.items() if one.blocks]
    block = next(iter(twin.alerts[shell].blocks)).id
    store.busy = frozenset({block})
    report = run(store)
    assert report.failed
    assert "a building block cannot be written" in str(report.runs[0].error)
    assert shell not in store.alerts
    store.busy = frozenset()
    assert run(store, 1).alerts_created == 1
    assert store.alerts.keys() == twin.alerts.keys()


def test_a_backfill_finds_the_same_whatever_its_pieces() -> None:
    store = pairs(5)
    span = Window(NOW - timedelta(days=2), NOW)
    assert backfill.run(store, [PAIRS], span, TERMS, clock=lambda: NOW).alerts_created == 5
    assert run(store).alerts_created == 0
    assert backfill.run(store, [PAIRS], span, TERMS, clock=lambda: NOW).alerts_created == 0
