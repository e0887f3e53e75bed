"""Daemons that keep leases in one table of lists: take, keep, lose, hand over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from detector.errors import NotSetUp, StoreError, Unavailable
from detector.model import Leases, Member
from detector.run.daemon import Daemon, Fixed
from detector.run.holder import Holder, Standing
from detector.store.memory import MemoryLeases
from tests.builders import TERMS, make_rule
from tests.run.lab import Kept as KeptReports
from tests.run.test_daemon import Slow, running

pytestmark = pytest.mark.slow

PERIOD = 0.5
TAKEN_OVER = 2 * PERIOD
RULES = [f"rule-{n}" for n in range(30)]


class Line:
    """A daemon's way to the table, which can be cut."""

    def __init__(self, table: MemoryLeases) -> None:
        self.table = table
        self.fault: Exception | None = None
        self.answers_are_lost = False
        self.takes = 0.0

    def read(self) -> Leases:
        time.sleep(self.takes)
        if self.fault:
            raise self.fault
        return self.table.read()

    def save(self, leases: Leases) -> bool:
        time.sleep(self.takes)
        if self.fault:
            raise self.fault
        saved = self.table.save(leases)
        if self.answers_are_lost:
            raise Unavailable("no answer")
        return saved


class Kept:
    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.errors: list[Exception] = []

    def standing_changed(self, standing: Standing) -> None:
        self.standings.append(standing)

    def leases_failed(self, error: Exception) -> None:
        self.errors.append(error)


class Daemons:
    """Makes holders on one table, and ends them all."""

    def __init__(self) -> None:
        self.table = MemoryLeases()
        self.holders: list[Holder] = []
        self.lines: list[Line] = []
        self.kept: list[Kept] = []

    def add(
        self, shards: int = 1, ahead: timedelta = timedelta(0), period: float = PERIOD
    ) -> Holder:
        line, kept = Line(self.table), Kept()
        holder = Holder(
            line,
            Member(f"daemon-{len(self.holders)}", 0, ""),
            kept,
            shards=shards,
            period=timedelta(seconds=period),
            clock=lambda: datetime.now(UTC) + ahead,
        )
        self.holders.append(holder)
        self.lines.append(line)
        self.kept.append(kept)
        return holder

    def held(self) -> list[tuple[int, ...]]:
        return [holder.held() for holder in self.holders]


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    made = Daemons()
    yield made
    for holder in made.holders:
        holder.release()


def wait(until: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "in vain"
        time.sleep(0.01)
    return time.monotonic() - began


def test_the_first_holds_everything_at_once_and_the_second_stands_by(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    assert first.held() == (0,)
    second.begin(RULES)
    assert second.held() == ()
    time.sleep(3 * PERIOD)
    assert daemons.held() == [(0,), ()], "kept for as long as it is renewed"
    assert all(first.owns(id_) and not second.owns(id_) for id_ in RULES)
    assert daemons.kept[0].standings == [Standing((0,), 1, 0), Standing((0,), 1, 1)]
    assert daemons.kept[1].standings == [Standing((), 1, 1)]


def test_who_leaves_is_followed_at_once(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    first.release()
    assert first.held() == ()
    assert wait(lambda: second.held() == (0,), PERIOD) < PERIOD


def test_who_cannot_reach_the_table_is_followed_and_goes_on_until_it_can(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    daemons.lines[0].fault = Unavailable("the network is cut")
    wait(lambda: second.held() == (0,), TAKEN_OVER)
    assert first.held() == (0,), "nothing says that another is there"
    daemons.lines[0].fault = None
    wait(lambda: daemons.held() == [(), (0,)], PERIOD)
    assert [str(error) for error in daemons.kept[0].errors] == ["the network is cut"], "once"


def test_the_dead_are_followed_though_every_call_is_slow(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    daemons.lines[1].takes = 0.4 * PERIOD
    daemons.lines[0].fault = StoreError("dead")
    wait(lambda: second.held() == (0,), 6 * PERIOD)


def test_a_slow_table_makes_nobody_look_dead(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    daemons.lines[0].takes = daemons.lines[1].takes = 0.3 * PERIOD
    time.sleep(6 * PERIOD)
    assert daemons.held() == [(0,), ()]
    assert daemons.kept[1].standings == [Standing((), 1, 1)]


def test_an_outage_for_all_ends_no_watch(daemons: Daemons) -> None:
    for _ in range(2):
        daemons.add(shards=2).begin(RULES)
    wait(lambda: daemons.held() == [(0,), (1,)], PERIOD)
    for line in daemons.lines:
        line.fault = Unavailable("the cluster is away")
    time.sleep(3 * PERIOD)
    assert daemons.held() == [(0,), (1,)]
    for line in daemons.lines:
        line.fault = None
    time.sleep(2 * PERIOD)
    assert sorted(daemons.held()) == [(0,), (1,)], "and nobody takes the other for dead"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_clocks_that_differ_are_no_matter(daemons: Daemons, minutes: int) -> None:
    first, second = daemons.add(ahead=timedelta(minutes=minutes)), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    time.sleep(2 * PERIOD)
    assert daemons.held() == [(0,), ()]
    daemons.lines[0].fault = StoreError("dead")
    wait(lambda: second.held() == (0,), TAKEN_OVER)


def test_three_divide_the_shards_and_close_ranks(daemons: Daemons) -> None:
    for _ in range(3):
        daemons.add(shards=4).begin(RULES)
    wait(lambda: sorted(map(len, daemons.held())) == [1, 1, 2], 4 * PERIOD)
    owners = [[holder.owns(id_) for holder in daemons.holders] for id_ in RULES]
    assert all(sum(owning) == 1 for owning in owners)
    daemons.lines[1].fault = StoreError("dead")
    alive = [daemons.holders[0], daemons.holders[2]]
    wait(lambda: [len(holder.held()) for holder in alive] == [2, 2], TAKEN_OVER)
    assert all(sum(holder.owns(id_) for holder in alive) == 1 for id_ in RULES)


def test_daemons_with_other_rules_run_all_of_their_own(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    first.begin(RULES)
    second.begin(RULES)
    second.divide([*RULES, "new"])
    wait(lambda: second.held() == (0,), PERIOD)
    assert first.held() == (0,)
    first.divide([*RULES, "new"])
    wait(lambda: first.held() == (), PERIOD)
    assert second.held() == (0,)


def test_what_was_saved_counts_though_its_answer_was_lost(daemons: Daemons) -> None:
    """Who is told nothing does not learn either that a busy machine has had it replaced."""
    long = 4 * PERIOD
    first, second = daemons.add(period=long), daemons.add(period=long)
    first.begin(RULES)
    second.begin(RULES)
    daemons.lines[0].answers_are_lost = True
    time.sleep(2 * long)
    assert daemons.held() == [(0,), ()]
    assert not daemons.kept[1].errors


def test_what_is_known_to_be_gone_is_not_waited_for() -> None:
    table = MemoryLeases()
    table.save(Leases((Member("killed", 5, "", (0,)),)))
    holder = Holder(table, Member("me", 0, ""), Kept(), gone=lambda member: member.id == "killed")
    holder.begin(RULES)
    assert holder.held() == (0,)
    assert [member.id for member in table.read().members] == ["me"]
    holder.release()
    assert table.read().members == ()


def test_without_setup_nothing_begins(daemons: Daemons) -> None:
    holder = daemons.add()
    daemons.lines[0].fault = NotSetUp("the state index is missing")
    with pytest.raises(NotSetUp):
        holder.begin(RULES)


@pytest.mark.parametrize("fault", [Unavailable("busy"), ValueError("a fault of our own")])
def test_a_daemon_that_begins_in_an_outage_holds_when_it_is_over(
    daemons: Daemons, fault: Exception
) -> None:
    holder = daemons.add()
    daemons.lines[0].fault = fault
    holder.begin(RULES)
    assert holder.held() == ()
    time.sleep(PERIOD)
    daemons.lines[0].fault = None
    wait(lambda: holder.held() == (0,), PERIOD)
    assert len(daemons.kept[0].errors) == 1


def test_a_holder_that_never_began_leaves_nothing_behind() -> None:
    table, kept = MemoryLeases(), Kept()
    Holder(table, Member("me", 0, ""), kept).release()
    assert not kept.errors
    assert not any(thread.name == "leases" for thread in threading.enumerate())


def test_leases_are_kept_while_a_cycle_takes_long(daemons: Daemons) -> None:
    first, second = daemons.add(), daemons.add()
    rule = make_rule(rule_id=RULES[0])
    daemon = Daemon(Slow(4 * PERIOD), Fixed([rule]), TERMS, KeptReports(), part=first)
    with running(daemon):
        wait(lambda: first.held() == (0,), PERIOD)
        second.begin([rule.rule_id])
        time.sleep(4 * PERIOD)
        assert daemons.held() == [(0,), ()]
    wait(lambda: daemons.held() == [(), (0,)], PERIOD)
