"""Spans to backfill in, pieces out; run records of pieces in, what they come to together. Pure.

An event rule's answer does not depend on where time is cut: a piece is what is asked, recorded and,
after a crash, not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from detector.model import Gap, Rule, RunRecord, Window
from detector.run import lockstep
from detector.run.schedule import coarse
from detector.windows import cut, merged, told_once, without

AT_MOST = 32
"""Pieces of a span: every rule is asked once a piece, and every piece is a write of its own."""

STEPS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360, 720, 1_440, 4_320, 10_080))
WORST = ("succeeded", "partial failure", "failed")


@dataclass(frozen=True, slots=True)
class Piece:
    """A span between two marks of the grid, and what of it each rule has still to be asked for.

    `begun` says that something of it is covered already.
    """

    window: Window
    asks: tuple[tuple[Rule, Window], ...]
    begun: bool = False

    @property
    def done(self) -> bool:
        return not self.asks

    @property
    def stepwise(self) -> bool:
        """Whether it has to wait for the one before it: its answer depends on what that found."""
        return any(rule.stepwise for rule, _ in self.asks)


def step(window: Window) -> timedelta:
    """The grid on which `window` is cut: not finer than a minute, not coarser than a week."""
    length = window.end - window.start
    return next((one for one in STEPS if length / one <= AT_MOST), STEPS[-1])


def plan(
    wanted: Mapping[Rule, Iterable[Window]],
    covered: Mapping[Rule, Sequence[Window]],
    *,
    dry: bool = False,
) -> list[Piece]:
    """All pieces of the wanted spans, oldest first, less what is covered already.

    Stepwise rules have pieces of their own, cut where their slots end; where nothing is written
    they have one, since what it would have written cannot be asked for.
    """
    whole: dict[tuple[Window, bool], list[Rule]] = {}
    for rule, spans in wanted.items():
        for span in merged(spans):
            whole_span = dry and rule.stepwise
            for window in [span] if whole_span else cut(span, coarse(step(span), rule)):
                whole.setdefault((window, rule.stepwise), []).append(rule)
    oldest = sorted(whole, key=lambda one: (one[0].start, one[0].end, one[1]))
    return [_piece(one[0], whole[one], covered) for one in oldest]


def _piece(
    window: Window, rules: Iterable[Rule], covered: Mapping[Rule, Sequence[Window]]
) -> Piece:
    left = {rule: without([window], covered.get(rule, ())) for rule in rules}
    return Piece(
        window,
        tuple((rule, part) for rule, parts in left.items() for part in parts),
        begun=any(parts != (window,) for parts in left.values()),
    )


def joined(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Records of one rule whose windows touch and that ended alike, as one; oldest first.

    It keeps the id of the earliest begun, so that recording it again replaces what was recorded.
    """
    found: list[RunRecord] = []
    for record in sorted(records, key=lambda record: (record.rule_id, record.window.start)):
        if found and _alike(found[-1], record):
            found[-1] = _both(found[-1], record)
        else:
            found.append(record)
    return found


def _alike(one: RunRecord, other: RunRecord) -> bool:
    return (
        one.rule_id == other.rule_id
        and one.window.end == other.window.start
        and one.error == other.error
        and {gap.reason for gap in one.gaps} == {gap.reason for gap in other.gaps}
    )


def _both(one: RunRecord, other: RunRecord) -> RunRecord:
    first = min(one, other, key=lambda record: record.started)
    return replace(
        first,
        window=Window(one.window.start, other.window.end),
        status=max(one.status, other.status, key=WORST.index),
        matches=one.matches + other.matches,
        alerts_created=one.alerts_created + other.alerts_created,
        alerts_existing=one.alerts_existing + other.alerts_existing,
        differing=one.differing + other.differing,
        warnings=tuple(dict.fromkeys((*one.warnings, *other.warnings)))[: lockstep.SAID],
        gaps=told_once((*one.gaps, *other.gaps)),
        search_ms=one.search_ms + other.search_ms,
        write_ms=one.write_ms + other.write_ms,
    )


def warned(record: RunRecord, said: str) -> RunRecord:
    """The record, saying one thing more."""
    status = max(record.status, "partial failure", key=WORST.index)
    return replace(record, status=status, warnings=(*record.warnings, said))


def uncovered(records: Iterable[RunRecord], unasked: Iterable[Gap] = ()) -> tuple[Gap, ...]:
    """What was not covered and why, from the records and from pieces that were never asked."""
    found = list(unasked)
    for record in records:
        if record.error is not None:
            found.append(Gap(record.rule_id, record.window, record.error))
        else:
            found += record.gaps
    return told_once(found)
