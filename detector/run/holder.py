"""A table of daemons in, whether a rule is this daemon's to run out: a thread that keeps leases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from detector.errors import NotSetUp, StoreError
from detector.model import Leases, Member
from detector.run import lease
from detector.store.base import LeaseTable

T = TypeVar("T")

CONFLICTS = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """What this daemon runs, and with how many others it divides the rules."""

    shards: tuple[int, ...]
    of: int
    others: int = 0


class Observer(Protocol):
    """Told when what a daemon holds has changed."""

    def standing_changed(self, standing: Standing) -> None: ...

    def leases_failed(self, error: Exception) -> None:
        """Said once, until a lease has been renewed again."""


class Holder:
    """Holds shards of the rules as `me`, by telling the table again and again that it lives.

    Who is silent for `period` is followed by others; `gone` says of a member that it certainly
    lives no more, where that can be seen sooner. A daemon that cannot reach the table goes on with
    what it held until the table says otherwise: a cluster that is too slow for leases must not end
    the watch, and rules that two daemons run are no harm. Ids see to that; leases save the work.
    """

    def __init__(
        self,
        table: LeaseTable,
        me: Member,
        observer: Observer,
        *,
        shards: int = 1,
        period: timedelta = timedelta(seconds=5),
        gone: Callable[[Member], bool] = lambda _: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._me = me
        self._group = me.group
        self._observer = observer
        self._period = period.total_seconds()
        self._gone = gone
        self._clock = clock
        self._steady = steady
        self._watch = lease.Watch(self._period)
        self._began = 0.0
        self._standing = Standing((), shards)
        self._said: Standing | None = None
        self._failing = False
        self._wake = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)

    def begin(self, rule_ids: Collection[str]) -> None:
        """Take what is free, then keep it. Raises `NotSetUp`."""
        self.divide(rule_ids)
        self._look(first=True)
        self._thread.start()

    def divide(self, rule_ids: Collection[str]) -> None:
        """These are the rules now: divide them with daemons that have the same."""
        self._group = lease.group(rule_ids, self._standing.of)
        self._wake.set()

    def owns(self, rule_id: str) -> bool:
        """Whether the rule is to be run here, as far as is known."""
        return lease.shard(rule_id, self._standing.of) in self.held()

    def held(self) -> tuple[int, ...]:
        return self._standing.shards

    def release(self) -> None:
        """Keep nothing; others need not wait. What cannot be told is found out by them."""
        self._leaving.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(2 * self._period)
        self._standing = Standing((), self._standing.of)
        try:
            self._change(lambda leases: lease.without(leases, self._me.id))
        except StoreError as error:
            self._tell(self._observer.leases_failed, error)

    def _keep(self) -> None:
        while not self._leaving.is_set():
            self._wake.wait(self._period / lease.LOOKS)
            self._wake.clear()
            if not self._leaving.is_set():
                self._look()

    def _look(self, *, first: bool = False) -> None:
        """Renew, and tell what has changed by it."""
        self._began = self._steady()
        try:
            self._renew()
            self._failing = False
            self._watch = self._watch.rested(self._began, self._steady())
        except Exception as error:
            if first and isinstance(error, NotSetUp):
                raise
            if not self._failing:
                self._tell(self._observer.leases_failed, error)
            self._failing = True
        if self._standing != self._said:
            self._said = self._standing
            self._tell(self._observer.standing_changed, self._standing)

    @staticmethod
    def _tell(told: Callable[[T], None], what: T) -> None:
        """Who is told may fail; the leases are kept all the same."""
        with suppress(Exception):
            told(what)

    def _renew(self) -> None:
        table = self._change(self._renewed)
        mine = next(member for member in table.members if member.id == self._me.id)
        peers = sum(member.group == mine.group for member in table.members)
        self._standing = Standing(mine.shards, self._standing.of, peers - 1)

    def _renewed(self, leases: Leases) -> Leases:
        now = self._steady()
        self._watch = self._watch.seeing(leases, now, self._began)
        gone = self._watch.silent(now) | {m.id for m in leases.members if self._gone(m)}
        beat = self._me.beat + 1
        self._me = replace(self._me, beat=beat, group=self._group, renewed=self._clock())
        return lease.renewed(leases, self._me, gone, self._standing.of)

    def _change(self, change: Callable[[Leases], Leases]) -> Leases:
        """Read, change and save; again where another daemon was quicker."""
        for _ in range(CONFLICTS):
            changed = change(self._table.read())
            if self._table.save(changed):
                return changed
        raise StoreError("other daemons keep changing the leases")
