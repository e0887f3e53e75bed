"""Verdicts in; lines for people, documents for machines out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from rich.text import Text

from detector.cli import show
from detector.detect.verdict import Condition, Verdict
from detector.language.explain import DECIDED, Answer, Line, as_json, lines

Told: TypeAlias = Line | str
"""A line of an explanation, or something said beside it."""

MOST_TREES = 5
"""Events of an example whose trees are shown."""

STYLES: dict[Answer, str] = {True: "green", False: "red", None: "yellow"}


def told(verdict: Verdict) -> Iterator[Told]:
    """Each condition with its tree; the title only where there are several."""
    several = len(verdict.conditions) > 1
    for condition in verdict.conditions:
        if several:
            yield Line(0, condition.title, condition.held, "; ".join(condition.notes))
        elif condition.notes:
            yield "; ".join(condition.notes)
        yield from lines(condition.explanation, depth=int(several))
    if verdict.needs:
        yield needed(verdict)


def examined(verdicts: Sequence[Verdict], *, missed: bool) -> Iterator[Told]:
    """Why the events of an example made fewer alerts than they were to (`missed`), or more.

    Of several events or conditions the tree is shown where it tells something: where no event fits
    what is needed, or where one fits what was not to match.
    """
    for each in zip(*(one.conditions for one in verdicts), strict=True):
        if len(verdicts) == 1 and len(verdicts[0].conditions) == 1:
            yield from lines(each[0].explanation)
            continue
        fitting = [number for number, one in enumerate(each, start=1) if one.held]
        yield Line(0, each[0].title, bool(fitting), _events(fitting))
        if each[0].absent or bool(fitting) is missed:
            continue
        for number, one in enumerate(each[:MOST_TREES], start=1):
            if one.held is not missed:
                yield Line(1, f"event {number}", one.held, "")
                yield from lines(one.explanation, depth=2)
    if verdicts and verdicts[0].needs:
        yield needed(verdicts[0])


def _events(numbers: Sequence[int]) -> str:
    return f"fits event {', '.join(map(str, numbers))}" if numbers else "fits no event"


def needed(verdict: Verdict) -> str:
    """What else has to be there."""
    if not verdict.conditions:
        return verdict.needs
    return f"an alert needs {verdict.needs}"


def plain(lines: Iterable[Told]) -> str:
    """The same as text, a line each."""
    return "\n".join(map(str, lines))


def painted(line: Told, indent: str = "") -> Text:
    """A line in colours: what was met as it is, the mark and why in green or red."""
    if isinstance(line, str):
        return show.styled(f"{indent}{line}", "dim")
    style = STYLES[line.held] + (" bold" if line.decided else "")
    why = f" {line.why}" if line.why else ""
    return Text.assemble(
        f"{indent}{'  ' * line.depth}{show.clean(line.met)}  ",
        (f"{line.mark}{show.clean(why)}{DECIDED if line.decided else ''}", style),
    )


def document(verdict: Verdict) -> dict[str, Any]:
    """`held`, `needs` and `conditions`; `held` is null where only Elasticsearch can tell."""
    return {
        "held": verdict.held,
        "needs": verdict.needs or None,
        "conditions": [_condition(one) for one in verdict.conditions],
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "title": condition.title,
        "held": condition.held,
        "elasticsearch": condition.found,
        "absent": condition.absent,
        "notes": list(condition.notes),
        "explanation": as_json(condition.explanation),
    }
