"""A rule and one event in, each condition the rule puts to an event and what became of it out.

A rule that needs several events is asked what part this one could have in a match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from detector.detect import threshold
from detector.language import evaluate, tree
from detector.language.explain import Answer, Explanation, explain
from detector.language.fields import ECS, FieldTypes
from detector.language.tree import Node
from detector.model import Rule, Source


@dataclass(frozen=True, slots=True)
class Question:
    """What a rule asks of an event: a condition, with what it has beside that no event can tell.

    An `absent` one ends a match instead of being a part of it.
    """

    title: str
    where: Node
    notes: tuple[str, ...] = ()
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A question answered; `title` says what of the rule it is.

    `found` is what Elasticsearch answered where the event lies, if it was asked.
    """

    title: str
    explanation: Explanation
    notes: tuple[str, ...] = ()
    absent: bool = False
    found: Answer = None

    @property
    def held(self) -> Answer:
        return self.found if self.explanation.held is None else self.explanation.held

    @property
    def disputed(self) -> bool:
        """Whether Elasticsearch answers otherwise: it may map a field in another way."""
        return self.found not in {None, self.held}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the event is a match or could be a part of one; None where only Elasticsearch knows.

    `needs` says what else the rule waits for, and is empty where one event makes an alert.
    """

    held: Answer
    conditions: tuple[Condition, ...] = ()
    needs: str = ""


def verdict(
    rule: Rule, source: Source, types: FieldTypes = ECS, found: Sequence[Answer] = ()
) -> Verdict:
    """Every condition of the rule against one event; `found` is what Elasticsearch says to each."""
    conditions = tuple(
        Condition(one.title, explain(one.where, source, types), one.notes, one.absent, answer)
        for one, answer in zip_longest(questions(rule), found)
    )
    answers = [one.held for one in conditions if not one.absent]
    held = True if True in answers else None if None in answers or not answers else False
    notes = {name: evaluate.values(source, name) for name in _grouping(rule) if held is not False}
    return Verdict(held, conditions, _needs(rule, notes))


def questions(rule: Rule) -> Iterator[Question]:
    """What the rule asks of an event, a step of a sequence at a time; nothing where none can tell.

    What a rule type wants to be there beside its query is a part of the condition.
    """
    where = None if rule.type == "esql" else rule.where
    match where:
        case None:
            return
        case tree.Sequence() | tree.Sample():
            yield from _steps(where)
        case tree.Piped(inner, pipes):
            cuts = " | ".join(f"{pipe.kind} {pipe.count}" for pipe in pipes)
            yield Question("query", inner, (f"of those that hold: {cuts}",))
        case _:
            yield Question("query", _all((where, *_there(rule))))


def fields(rule: Rule) -> frozenset[str]:
    """The names of all fields the rule goes by: of its conditions, keys, groups and identity."""
    asked = {name for one in questions(rule) for name in tree.fields_of(one.where)}
    keys = {key.name for key in tree.mentions(rule.where)} if rule.where is not None else set()
    alike = rule.suppression.by if rule.suppression else ()
    return frozenset({*asked, *keys, *alike, *_grouping(rule), *(rule.identity or ())})


def _steps(query: tree.Sequence | tree.Sample) -> Iterator[Question]:
    kind = "sequence" if isinstance(query, tree.Sequence) else "sample"
    until = query.until if isinstance(query, tree.Sequence) else None
    for number, step in enumerate(query.steps, start=1):
        title = f"step {number} of {len(query.steps)} of the {kind}"
        yield _step(query, step, f"{title} (absent)" if step.absent else title)
    if until is not None:
        yield _step(query, until, "until", absent=True)


def _step(
    query: tree.Sequence | tree.Sample, step: tree.Step, title: str, *, absent: bool = False
) -> Question:
    """An event that lacks a key takes no part, unless the key is optional."""
    keys = tree.keys_of(query, step)
    there = [tree.Exists(key.name) for key in keys if not key.optional]
    notes = []
    if optional := [key.name for key in keys if key.optional]:
        notes.append(f"joined by {', '.join(optional)} as well, which may be missing")
    if step.runs > 1:
        notes.append(f"{step.runs} times in a row")
    absent = absent or step.absent
    return Question(title, _all((step.where, *there)), tuple(notes), absent)


def _there(rule: Rule) -> list[Node]:
    """The fields that an event must have to be counted or compared."""
    if rule.type == "threat_match":
        groups = rule.parameters.get("threat_mapping") or ()
        each = [
            _all([tree.Exists(e["field"]) for e in group["entries"] if not e.get("negate")])
            for group in groups
        ]
        return [tree.any_of(each)] if each else []
    return [tree.Exists(name) for name in _grouping(rule)]


def _grouping(rule: Rule) -> list[str]:
    """The fields whose values decide together with those of other events."""
    match rule.type:
        case "threshold":
            return list(threshold.limits(rule).by)
        case "new_terms":
            return list(rule.parameters.get("new_terms_fields") or ())
        case "threat_match":
            groups = rule.parameters.get("threat_mapping") or ()
            names = [entry["field"] for group in groups for entry in group["entries"]]
            return list(dict.fromkeys(names))
        case _:
            return []


def _needs(rule: Rule, values: Mapping[str, list[Any]]) -> str:
    match rule.type:
        case "threshold":
            limits = threshold.limits(rule)
            several = "".join(
                f", with {least} different values of {name}" for name, least in limits.distinct
            )
            such = f"{limits.least} such event{'s' if limits.least > 1 else ''}"
            return f"{such}{_alike(values)}{several}"
        case "new_terms":
            since = rule.parameters.get("history_window_start", "the history window")
            return f"no such event since {since}{_alike(values)}"
        case "threat_match":
            listed = ", ".join(rule.parameters.get("threat_index") or ())
            return f"an indicator in {listed} with the same values{_alike(values)}"
        case "esql":
            return "only Elasticsearch can answer ES|QL"
        case _:
            return _of_query(rule)


def _of_query(rule: Rule) -> str:
    match rule.where:
        case tree.Sequence(max_span=span):
            soon = "" if span is None else f" within {span.total_seconds():g} s"
            return f"an event for each step in this order{soon}, joined by their keys"
        case tree.Sample():
            return "an event for each step, joined by their keys"
        case _:
            return rule.unsupported or "" if rule.where is None else ""


def _alike(values: Mapping[str, list[Any]]) -> str:
    shown = [
        f"{name} = {', '.join(map(str, found[:5]))}" for name, found in values.items() if found
    ]
    return f" of {', '.join(shown)}" if shown else ""


def _all(nodes: tuple[Node, ...] | list[Node]) -> Node:
    """What has to hold, without what always does or is asked for already."""
    whole = tree.all_of(node for node in nodes if not isinstance(node, tree.Everything))
    return tree.all_of(dict.fromkeys(whole.items)) if isinstance(whole, tree.And) else whole
