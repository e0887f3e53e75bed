"""Checked keys -> what a rule looks at that is no event: indicators, records of anomalies."""

from __future__ import annotations

from dataclasses import replace

from detector.language import tree
from detector.model import Indicators, Pair, Rule
from detector.rulefile import queries
from detector.rulefile.keys import Keys

ANOMALIES = ("timestamp", (".ml-anomalies-*",))
"""The time of a record of an anomaly detection job, and where records are."""
MOST_VALUES = 9_000
"""Kibana's `items_per_search`; more values are no query for any search (`dsl.MOST_VALUES`)."""


def of_anomalies(rule: Rule, keys: Keys) -> tuple[Rule, tree.Node]:
    """Records have a time of their own, and no rule says where they are."""
    time, index = ANOMALIES
    where = queries.anomalies(keys.machine_learning_job_id or (), keys.anomaly_threshold or 0)
    found = replace(
        rule,
        index=rule.index or index,
        timestamp_override=time,
        timestamp_fallback=False,
    )
    return found, where


def indicators(keys: Keys, where: tree.Node | None) -> Indicators | None:
    """What a rule of type threat_match compares with; `where` is its query, None if unreadable."""
    if keys.type != "threat_match" or where is None:
        return None
    return Indicators(
        index=tuple(keys.threat_index or ()),
        where=where,
        groups=tuple(
            tuple(Pair(one.field, one.value, one.negate) for one in group.entries)
            for group in keys.threat_mapping or ()
        ),
        path=keys.threat_indicator_path or "threat.indicator",
        batch=min(keys.items_per_search or MOST_VALUES, MOST_VALUES),
    )
