"""A rule with far more matches than its cap in, one alert that says so out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detector import alerts, detect
from detector.errors import Unavailable
from detector.run.lockstep import Run
from detector.store.base import Store

REASON = "flood: far more matches than max_signals"


def tell(store: Store, run: Run, held: Sequence[Run]) -> None:
    """Write the alert about what the runs of this turn have `held` back; it is given up then.

    Its id depends on where the run's window starts: a run that is repeated says nothing twice.
    Raises `StoreError`.
    """
    rule = run.rule
    windows = [one.remaining for one in held if one.remaining]
    searches = [search for window in windows for search in detect.searches(rule, window)]
    survey = store.survey(searches, alerts.telling_fields(rule))
    if rule.indicators is not None or rule.type == "esql":  # counted before they are compared
        survey = replace(survey, exact=False)
    alert = alerts.flood(rule, run.execution, survey, run.window, windows)
    written = store.write_alerts([alert])
    for reason in written.held.values():
        raise Unavailable(f"the alert of a flood cannot be written for now: {reason}")
    run.created += len(written.created)
    run.existing += len(written.existing)
    run.warn(
        f"flood: {'' if survey.exact else 'up to '}{survey.count:,} matches wait; they are a gap "
        f"now, and `detector gaps fill` makes alerts of them"
    )
