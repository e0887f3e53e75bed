"""A time range in, the alerts of all rules for it out: no cap, no checkpoint moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from detector.errors import DetectorError
from detector.model import Rule, Window
from detector.run import lockstep
from detector.run.cycle import Report, Terms, runnable
from detector.run.lockstep import Budget, Run
from detector.run.progress import Progress, Silent
from detector.store.base import Store


def run(
    store: Store,
    rules: Sequence[Rule],
    window: Window,
    terms: Terms,
    *,
    clock: Callable[[], datetime],
    dry: bool = False,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Ask every rule for the whole range at once: an event rule's answer depends on no cut.

    Repeating it adds nothing. With `dry`, alerts are counted and nothing is written. Raises
    `NotSetUp` and `StoreError` before anything has been asked.
    """
    began = time.monotonic()
    shown = progress or Silent()
    able = runnable(rules)
    store.checkpoints([rule.rule_id for rule in able])  # refuses to begin where setup is missing
    now = clock()
    runs = [
        lockstep.begin(
            rule,
            window,
            "backfill",
            terms.execution(now, window.end, kind="backfill"),
            Budget(None),
        )
        for rule in able
    ]

    def watch(runs: Sequence[Run]) -> None:
        share = sum(_share(run) for run in runs) / len(runs)
        found = sum(run.created + run.existing for run in runs)
        shown.advance(share, f"{found:,} alerts")

    lockstep.drive(store, runs, dry=dry, watch=watch, stopping=stopping)
    if not dry:
        _record(store, runs)
    records = tuple(run.record() for run in runs)
    for record in records:
        shown.finished(record)
    return Report(now, len(able), records, int((time.monotonic() - began) * 1000))


def _share(run: Run) -> float:
    """How far through its window a run has got, by the time of its latest match."""
    if run.done:
        return 1.0
    if run.reached is None:
        return 0.0
    return (run.reached - run.window.start) / (run.window.end - run.window.start)


def _record(store: Store, runs: Sequence[Run]) -> None:
    try:
        store.refresh()
        store.record_runs([run.record() for run in runs])
    except DetectorError as error:
        for run in runs:
            run.warn(f"the run record could not be written: {error.message}")
