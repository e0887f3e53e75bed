"""A match in, its alert out: of one document that alone, of several with a block for each.

Documents that only show what a group of events has in common make one alert together.
"""

from __future__ import annotations

from dataclasses import replace

from detector.alerts import group, layers, suppression, terms
from detector.model import Alert, Execution, Match, Rule


def build(match: Match, rule: Rule, execution: Execution) -> Alert:
    """The alert for a match; the documents are not changed.

    The values of the events and the rule are shared with the alert, not copied. The same match
    under the same rule and space has the same id and index, whenever it is built; so have the
    `blocks` of a match of several documents.
    """
    alert = _built(match, rule, execution)
    if match.alike is None:
        return alert
    document = alert.document | suppression.fields(match.alike)
    return replace(alert, document=document, alike=match.alike)


def _built(match: Match, rule: Rule, execution: Execution) -> Alert:
    if match.group is not None:
        return terms.build(match, match.group, rule, execution)
    if len(match.documents) > 1:
        return group.build(match, rule, execution)
    return layers.build(match, rule, execution)
