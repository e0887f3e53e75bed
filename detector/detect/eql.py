"""eql: single events, sequences or samples, whichever the rule's query asks for."""

from __future__ import annotations

from dataclasses import replace

from detector.detect import pipes, query, sample, sequence
from detector.language import tree
from detector.model import Detection, Rule, Search, Window


def searches(rule: Rule, window: Window) -> tuple[Search, ...]:
    """The events of which there are at least as many as matches."""
    match rule.where:
        case tree.Sequence():
            return sequence.searches(rule, window)
        case tree.Sample():
            return sample.searches(rule, window)
        case tree.Piped(where=where):
            return query.searches(replace(rule, where=where), window)
        case _:
            return query.searches(rule, window)


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Matches of one document, or of one for each step that is not `![ ]`."""
    match rule.where:
        case tree.Sequence():
            return sequence.detect(rule, window, fields)
        case tree.Sample():
            return sample.detect(rule, window, fields)
        case tree.Piped(where=where, pipes=cuts):
            return pipes.cut(query.detect(replace(rule, where=where), window, fields), cuts)
        case _:
            return query.detect(rule, window, fields)
