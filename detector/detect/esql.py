"""esql: each row of a rule's query is a match, of an event or of a group of them.

An event that a row tells of is fetched, and goes by its own identity as in any other rule. Rows of
an aggregation are groups: of equal keys in one slot of the grid there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from detector import questions
from detector.detect import grouping
from detector.detect.grouping import Inquiry, Terms
from detector.language import esql, tree
from detector.language.esql import Esql
from detector.model import (
    Detection,
    Document,
    Found,
    Group,
    Match,
    Page,
    Row,
    Rows,
    Rule,
    Search,
    Window,
)
from detector.windows import on_grid

EVENTS, GROUPS = 1_000, 10_000
"""Rows that are asked for at once; of groups as many as a cluster gives."""
OURS = "_detector_"

Columns = Mapping[str, Any]


def question(rule: Rule, window: Window, now: datetime) -> Rows:
    """What is asked of a window, as of `now`."""
    query = _query(rule)
    limit = EVENTS if query.tells_documents else GROUPS
    return Rows(
        rule_id=rule.rule_id,
        index=rule.index,
        query=esql.sent(query, now, limit),
        where=cast("tree.Node", rule.where),
        window=window,
        time_field=questions.time_field(rule),
        limit=limit,
        fallback=questions.falls_back(rule),
        checked=query.tells_documents,
    )


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """Matches in the order of their time: slot by slot where the answer depends on the window."""
    query = _query(rule)
    views = grouping.views(rule, window) if query.stepwise else [(window, window)]
    for slot, view in views:
        if query.tells_documents:
            yield from _events(rule, view, fields)
        else:
            yield from _groups(rule, slot, view)


def _query(rule: Rule) -> Esql:
    return esql.read(cast("str", rule.query))


def _groups(rule: Rule, slot: Window, view: Window) -> Detection:
    """A match of each row; the id of its alert is the same in all of the grid's slot."""
    query = _query(rule)
    (page,) = yield from grouping.ask(question(rule, view, view.end))
    first = on_grid(slot.start, rule.interval)
    span = first, max(first, view.end - grouping.MILLISECOND)
    matches = []
    for terms, row in _told_apart(query, page.rows):
        group = Group(grouping.key(terms), terms, 1, *span)
        matches.append(Match((), slot.start, group, row=Row(_said(row))))
    hole = f"more than {GROUPS:,} rows in one window" if len(page.rows) >= GROUPS else None
    if matches or hole:
        yield Found(tuple(matches), _warnings(query), hole=hole)


def _warnings(query: Esql) -> tuple[str, ...]:
    if query.keys is not None:
        return ()
    return ("rows go by all they say, as it cannot be known what they are of: simplify the query",)


def _told_apart(query: Esql, rows: Sequence[Columns]) -> Iterator[tuple[Terms, Columns]]:
    """Each row with what it is of; where that is the same, or not known, by all that it says."""
    seen: dict[Terms, list[Columns]] = {}
    for row in rows:
        keys = enumerate(query.keys or ())
        terms: Terms = tuple((name, row.get(f"{esql.KEY}{number}", "")) for number, name in keys)
        seen.setdefault(terms, []).append(row)
    for terms, alike in seen.items():
        if len(alike) == 1 and query.keys is not None:
            yield terms, alike[0]
        else:
            yield from ((((*terms, ("row", _text(row)))), row) for row in alike)


def _events(rule: Rule, view: Window, fields: tuple[str, ...]) -> Detection:
    """Windows with more rows than are asked for at once are halved."""
    left = [view]
    while left:
        window = left.pop()
        (page,) = yield from grouping.ask(question(rule, window, view.end))
        full = len(page.rows) >= EVENTS
        if full and (halves := _halves(_query(rule), window)):
            left += halves[::-1]
            continue
        hole = f"more than {EVENTS:,} rows in one window" if full else None
        matches = yield from _matches(rule, window, page.rows, fields)
        if matches or hole:
            yield Found(tuple(matches), hole=hole)


def _halves(query: Esql, window: Window) -> tuple[Window, ...]:
    """None where a part would not say the same of its events, or there is no part."""
    milliseconds = (window.end - window.start) // grouping.MILLISECOND
    if not query.divisible or milliseconds < 2:
        return ()
    middle = window.start + timedelta(milliseconds=milliseconds // 2)
    return Window(window.start, middle), Window(middle, window.end)


def _matches(
    rule: Rule, window: Window, rows: Sequence[Columns], fields: tuple[str, ...]
) -> Inquiry[list[Match]]:
    """A match of each row's document, as it is stored; of rows with one key the least is taken.

    A document that is not found has been muted by what no query can say, or deleted.
    """
    documents = yield from _documents(rule, window, {row[esql.ID] for row in rows}, fields)
    found: dict[tuple[str, ...], Match] = {}
    for row in sorted(rows, key=_text):
        place = row[esql.INDEX], row[esql.ID]
        if document := documents.get(place):
            key = [row.get(f"{esql.KEY}{n}") for n in range(len(_query(rule).keys or ()))]
            match = Match((document,), document.time, row=Row(_said(row), tuple(key)))
            found.setdefault((*place, _text(key)), match)
    return [one for _, one in sorted(found.items(), key=lambda item: (item[1].time, item[0]))]


def _documents(
    rule: Rule, window: Window, ids: Iterable[str], fields: tuple[str, ...]
) -> Inquiry[dict[tuple[str, str], Document]]:
    found: dict[tuple[str, str], Document] = {}

    def take(_: int, page: Page) -> None:
        found.update(((one.index, one.id), one) for one in page.documents)

    searches: list[Search] = []
    for some in grouping.batches(sorted(ids), grouping.BATCH):
        search = Search(
            rule_id=rule.rule_id,
            index=rule.index,
            where=cast("tree.Node", rule.where),
            window=window,
            time_field=questions.time_field(rule),
            fields=fields,
            among=tree.Sent(json.dumps({"ids": {"values": some}})),
        )
        searches += questions.by_either_time(search, fallback=questions.falls_back(rule))
    yield from grouping.ask_all(searches, take)
    return found


def _said(row: Columns) -> Columns:
    """Without the columns of ours."""
    return {name: value for name, value in row.items() if not name.startswith(OURS)}


def _text(told: Any) -> str:
    """Equal for what is equal, and in one order."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), default=str)
