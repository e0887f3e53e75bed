"""Rules of the types whose answer depends on the window, and events of people to count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from detector.model import Alert, Rule
from detector.run import cycle
from detector.run.cycle import Report
from detector.store.base import Store
from detector.store.memory import Stored
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event
from tests.run.lab import Lab, Logged


def threshold_rule(
    value: int = 5,
    by: Sequence[str] = ("user.name",),
    *,
    minutes: float = 20,
    distinct: Sequence[tuple[str, int]] = (),
    query: str = "any where true",
    **changes: Any,
) -> Rule:
    """Every five minutes over the last twenty, by event time."""
    cardinality = [{"field": name, "value": least} for name, least in distinct]
    keys = {"threshold": {"field": list(by), "value": value, "cardinality": cardinality}}
    return _rule("threshold", keys, query, lookback=timedelta(minutes=minutes), **changes)


def new_terms_rule(
    by: Sequence[str] = ("user.name",),
    *,
    history: timedelta = timedelta(hours=6),
    query: str = "any where true",
    **changes: Any,
) -> Rule:
    """Every five minutes over the last ten, by event time."""
    keys = {"new_terms_fields": list(by), "history_window_start": "now-6h"}
    given = {"lookback": timedelta(minutes=10), "history": history} | changes
    return _rule("new_terms", keys, query, **given)


def _rule(kind: str, keys: dict[str, Any], query: str, **changes: Any) -> Rule:
    plain = make_rule(query, timestamp_override=None)
    parameters = {**plain.parameters, **keys, "type": kind}
    changed: dict[str, Any] = {"type": kind, "stepwise": True, "parameters": parameters} | changes
    return replace(plain, **changed)


def at(store: Store, rules: Sequence[Rule], now: datetime) -> Report:
    """A cycle that ends at `now`, by its own clock as well."""
    return cycle.run(store, rules, now, TERMS, clock=lambda: now)


class People(Lab):
    """A lab in which people do something at a minute after `NOW`, searchable then or later."""

    def act(
        self, minutes: float | Iterable[float], name: Any = "ann", *, seen: float = 0, **more: Any
    ) -> None:
        """`seen` is how many minutes later the events become searchable."""
        for minute in [minutes] if isinstance(minutes, int | float) else minutes:
            time = NOW + timedelta(minutes=minute)
            id_ = f"e{len(self.events)}"
            source = shell_event(time, event_id=id_) | {"user": {"name": name}} | more
            visible = time + timedelta(minutes=seen)
            self.events.append(Logged(id_, time, visible, Stored(INDEX, id_, source)))

    @property
    def said(self) -> list[Alert]:
        """The alerts in the order of the events they begin with."""
        return sorted(self.alerts.values(), key=lambda a: str(a.document["detector.span.start"]))
