"""What every store promises: where events are read, and alerts and run records are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, Self

from detector.model import (
    Alert,
    Answer,
    Backfilled,
    Change,
    Checkpoint,
    Leases,
    Letter,
    Question,
    RunRecord,
    Search,
    Survey,
    Written,
)


class Store(Protocol):
    """Answers searches, keeps alerts, remembers runs. Each call may be repeated without harm."""

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer all `questions` at once, in their order.

        A page holds only documents that satisfy its search exactly (the residual is already
        applied), oldest first, copies with equal times by index and id; buckets count the same
        documents. What goes wrong with one question is its `Failure`; the others are answered all
        the same. Never raises `StoreError`.
        """

    def session(self) -> Self:
        """The same store for another thread: what its searches hold open is its own."""

    def survey(self, searches: Sequence[Search], fields: Sequence[str]) -> Survey:
        """Count what satisfies `searches`, all together, and the most frequent values of `fields`.

        Cheap however many there are: nothing is fetched. Raises `StoreError`.
        """

    def release(self) -> None:
        """Let go of what open searches hold (points in time); their cursors end here."""

    def known(self, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` for which an alert exists, in whatever index of the space.

        Sees every alert written before the last `refresh`. Raises `StoreError`.
        """

    def write_alerts(self, alerts: Sequence[Alert]) -> Written:
        """Create the alerts that do not exist yet; one that exists is never touched.

        An alert refused for good is kept as a dead letter with the reason; one not taken for now is
        held. Raises `StoreError` when the store answers nothing: some may have been written, and
        writing all of them again is right.
        """

    def change_alerts(self, changes: Sequence[Change]) -> None:
        """Let alerts say what they stand for by now; nothing else of them is touched.

        Compare and set, so that what people do to an alert at the same time stays. An alert never
        says less than it has said; one that is not there is left out. Raises `StoreError`.
        """

    def bury(self, letters: Sequence[Letter]) -> None:
        """Keep dead letters; one that is there is not touched. Raises `StoreError`."""

    def buried(self, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` for which a dead letter exists. Raises `StoreError`."""

    def refresh(self) -> None:
        """Make the alerts written so far visible to `known` and to readers."""

    def checkpoints(self, rule_ids: Collection[str]) -> dict[str, Checkpoint]:
        """How far each of these rules has got; a rule that never ran is absent.

        Raises `NotSetUp` where `detector setup` has not been run, and `StoreError`.
        """

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
        """Save those whose `version` is still the latest; return them, by rule, as they are now.

        Of the others, another was quicker.
        """

    def record_runs(self, records: Iterable[RunRecord]) -> None:
        """Remember finished runs. Comes last: a crash before it repeats a run, never skips one."""

    def backfilled(self, rule_ids: Collection[str]) -> dict[str, Backfilled]:
        """How far backfills that have not finished have got; other rules are absent.

        Raises `NotSetUp` as `checkpoints` does, and `StoreError`.
        """

    def save_backfilled(self, progress: Iterable[Backfilled]) -> None:
        """Remember how far a backfill has got; forget it where nothing is covered."""


class LeaseTable(Protocol):
    """Where daemons tell of each other: one table per space, read and written as a whole.

    Never waits longer than a lease is good for.
    """

    def read(self) -> Leases:
        """The table as it is now; empty where no daemon has written yet. Raises `StoreError`."""

    def save(self, leases: Leases) -> bool:
        """Write it if its `version` is still the latest; False where another was quicker.

        Raises `NotSetUp` where the index is missing or older than this detector, and `StoreError`.
        """
