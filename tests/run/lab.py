"""Lists as a store, with a clock that is set, events that become searchable later, and faults."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from detector.errors import Unavailable
from detector.model import (
    Alert,
    Answer,
    Change,
    Checkpoint,
    Question,
    Rule,
    RunRecord,
    Search,
    Survey,
    Window,
    Written,
)
from detector.run import backfill, cycle, schedule
from detector.run.backoff import Backoff
from detector.run.cycle import Report, Terms
from detector.store.memory import MemoryStore, Stored
from detector.windows import closed, without
from tests.builders import INDEX, NOW, TERMS, shell_event

Call: TypeAlias = Literal[
    "search", "survey", "known", "write", "change", "checkpoints", "save", "record"
]
Fault: TypeAlias = Literal["fails", "crashes", "answer lost"] | Callable[[], None]


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event and when it became searchable."""

    id: str
    time: datetime
    visible: datetime
    stored: Stored


class Lab(MemoryStore):
    """`faults` befall the next call of that name, once; a callable runs in its middle."""

    def __init__(self, page_size: int = 50) -> None:
        super().__init__(page_size=page_size)
        self.now = NOW
        self.events: list[Logged] = []
        self.faults: dict[Call, Fault] = {}

    def log(self, time: datetime, visible: datetime | None = None) -> str:
        """An event of `time`, searchable from `visible` on."""
        id_ = f"e{len(self.events)}"
        stored = Stored(INDEX, id_, shell_event(time, event_id=id_))
        self.events.append(Logged(id_, time, visible or time, stored))
        return id_

    def flood(self, start: datetime, count: int) -> None:
        """Ten events a second."""
        for number in range(count):
            self.log(start + timedelta(milliseconds=100 * number))

    def _step(self, call: Call) -> bool:
        """Whether the call is to be applied and its answer lost."""
        fault = self.faults.pop(call, None)
        if fault == "fails":
            raise Unavailable(f"{call} is down")
        if fault == "crashes":
            raise Crash
        if callable(fault):
            fault()
        return fault == "answer lost"

    def search(self, searches: Sequence[Question]) -> list[Answer]:
        self._step("search")
        self.documents = [one.stored for one in self.events if one.visible <= self.now]
        return super().search(searches)

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        self._step("survey")
        return super().survey(searches, fields)

    def known(self, ids: Collection[str]) -> frozenset[str]:
        self._step("known")
        return super().known(ids)

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        if self._step("write"):
            super().write_alerts(alerts[: (len(alerts) + 1) // 2])
            raise Unavailable("half of it was written")
        return super().write_alerts(alerts)

    def change_alerts(self, changes: Sequence[Change]) -> None:
        if self._step("change"):
            super().change_alerts(changes[: (len(changes) + 1) // 2])
            raise Unavailable("half of it was written")
        super().change_alerts(changes)

    def checkpoints(self, rule_ids: Collection[str]) -> dict[str, Checkpoint]:
        self._step("checkpoints")
        return super().checkpoints(rule_ids)

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
        given = list(checkpoints)
        if self._step("save"):
            super().save_checkpoints(given)
            raise Unavailable("the answer was lost")
        return super().save_checkpoints(given)

    def record_runs(self, records: Iterable[RunRecord]) -> None:
        self._step("record")
        super().record_runs(records)

    # What came of it.

    @property
    def alerted(self) -> set[str]:
        """The ids of the events that have an alert."""
        events = [alert.document.get("event") for alert in self.alerts.values()]
        return {event["id"] for event in events if isinstance(event, dict) and "id" in event}

    @property
    def told(self) -> dict[str, RunRecord]:
        """Run records as an index keeps them: the last of each id."""
        return {record.uuid: record for record in self.runs}

    def gaps(self) -> list[Window]:
        """The spans recorded as gaps that no fill has closed, as `store.gaps` has it."""
        fills = [one for one in self.told.values() if one.kind == "backfill" and not one.error]
        open_: list[Window] = []
        for record in self.told.values():
            closed = [_closed(fill) for fill in fills if fill.started >= record.started]
            open_ += without([gap.window for gap in record.gaps], closed)
        return open_

    def lost(self, rule: Rule) -> list[Logged]:
        """Events that were searchable in time and are nowhere: no alert, no gap, not waiting."""
        found = MemoryStore.checkpoints(self, [rule.rule_id]).get(rule.rule_id)
        alerted, excused = self.alerted, [*self.gaps(), *(found.waiting if found else ())]
        return [
            one
            for one in self.events
            if one.id not in alerted
            and one.visible <= self.now
            and one.visible - one.time <= schedule.lateness(rule)
            and found is not None
            and one.time < found.end
            and one.visible <= found.end + rule.delay
            and (found.since is None or one.time >= found.since)
            and not any(window.start <= one.time < window.end for window in excused)
        ]


class Kept:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.errors: list[Exception] = []

    def cycle_finished(self, report: Report) -> None:
        self.reports.append(report)

    def cycle_failed(self, error: Exception) -> None:
        self.errors.append(error)


def _closed(fill: RunRecord) -> Window:
    return closed(fill.window, fill.started, timedelta(milliseconds=fill.lateness_ms))


def turn(
    lab: Lab,
    rule: Rule,
    minutes: float | None = None,
    terms: Terms = TERMS,
    *,
    begun: dict[str, Checkpoint] | None = None,
    backoff: Backoff | None = None,
) -> Report:
    """A cycle of one rule, `minutes` after `NOW` or when the lab's clock says."""
    if minutes is not None:
        lab.now = NOW + timedelta(minutes=minutes)
    return cycle.run(
        lab, [rule], lab.now, terms, clock=lambda: lab.now, begun=begun, backoff=backoff
    )


def turns(lab: Lab, rule: Rule, first: int, last: int, terms: Terms = TERMS) -> None:
    """A cycle every five minutes, from the one after `first` times five to `last` times five."""
    for number in range(first, last):
        turn(lab, rule, 5 * number, terms)


def fill(lab: Lab, rule: Rule) -> None:
    """`gaps fill`."""
    backfill.fill(lab, {rule: lab.gaps()}, TERMS, clock=lambda: lab.now)
