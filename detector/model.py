"""What the engine is about, as frozen data without behaviour: from the rule to the run record.

Every `datetime` is aware and in UTC. Every duration is a `timedelta`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from detector.errors import StoreError
    from detector.language.tree import Node, Query, Scalar

Source: TypeAlias = Mapping[str, Any]
"""A document's body as JSON decodes it: nested, dotted, or both mixed."""

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
Status: TypeAlias = Literal["succeeded", "partial failure", "failed"]


@dataclass(frozen=True, slots=True)
class Window:
    """The span of time one run of a rule answers for: `start` is inside, `end` is not."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Example:
    """A proof a rule carries: these events make `alerts` alerts.

    Times in an event may be relative to the run (`-30s`); ids may be absent. `history` is what was
    logged before.
    """

    name: str
    events: tuple[Source, ...]
    alerts: int
    line: int = 1
    history: tuple[Source, ...] = ()
    indicators: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A value of an event's `field` is one of an indicator's `value`; `negate`: none is."""

    field: str
    value: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Indicators:
    """What events are compared with: the documents in `index` that satisfy `where`.

    An event meets one where all pairs of one of `groups` hold; each group has a pair that is not
    negated. `path` is where an indicator tells of itself. At most `batch` values are asked at once.
    """

    index: tuple[str, ...]
    where: Node
    groups: tuple[tuple[Pair, ...], ...]
    path: str = "threat.indicator"
    batch: int = 9_000


@dataclass(frozen=True, slots=True)
class Suppression:
    """Matches with the same values in the fields `by` share an alert, `duration` long.

    Without `missing`, a match that lacks one of the fields makes an alert of its own.
    """

    by: tuple[str, ...]
    duration: timedelta
    missing: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What a detection engineer wrote, read and checked. Compared and hashed by identity.

    `lookback` is how far a window reaches behind its run (`from: now-6m` is six minutes), `delay`
    how far before it the window ends (`to`, usually nothing). `where` is None exactly when
    `unsupported` says why the rule cannot run. `parameters` holds every key of the rule under
    Elastic's own name, as alerts carry them. `hash` is the same for the same meaning, `commit` the
    git commit its folder is checked out at, or empty. A `stepwise` rule's answer depends on where
    its view begins and ends: it is asked once for each slot of its grid, in their order. `history`
    is how far before the run it looks for what has been there already. `indicators` are what a rule
    of type threat_match compares its events with. The alerts of a `shadow`
    rule are kept apart from all others. `warnings` are said with each of its runs.
    """

    rule_id: str
    name: str
    type: str
    index: tuple[str, ...]
    severity: Severity
    risk_score: float
    interval: timedelta
    lookback: timedelta
    where: Query | None
    parameters: Mapping[str, Any]
    language: str | None = None
    query: str | None = None
    delay: timedelta = timedelta(0)
    max_signals: int = 100
    timestamp_override: str | None = None
    timestamp_fallback: bool = True
    identity: tuple[str, ...] | None = None
    enabled: bool = True
    unsupported: str | None = None
    examples: tuple[Example, ...] = ()
    file: Path | None = None
    hash: str = ""
    commit: str = ""
    stepwise: bool = False
    history: timedelta = timedelta(0)
    shadow: bool = False
    warnings: tuple[str, ...] = ()
    indicators: Indicators | None = None
    suppression: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file or a setting, for people: shown, counted, never raised."""

    message: str
    level: Literal["error", "warning"] = "error"
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    rule_id: str | None = None
    text: str | None = None
    width: int = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a search goes on: inside the point in time `point`, after the sort values `after`."""

    point: str
    after: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A question to the store: the documents in `index` that satisfy `where` inside `window`.

    The window is asked of `time_field`; with `without`, only of documents that lack that field.
    `fields` are returned as the index holds them, beside the source. Documents come oldest first;
    with a `limit` only so many, and no page follows.
    `among` has to hold as well; it is kept apart because it is asked for this once, whereas stores
    remember what they have made of `where`.
    """

    rule_id: str
    index: tuple[str, ...]
    where: Node
    window: Window
    time_field: str
    without: str | None = None
    fields: tuple[str, ...] = ()
    cursor: Cursor | None = None
    among: Node | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Buckets:
    """A question to the store: how many documents there are for each combination of values of `by`.

    A document with several values counts in a bucket for each, one that lacks a field in none;
    without `by` all are one bucket. The window is asked of `time_field`, with `fallback` of
    `@timestamp` where that is missing. Buckets of fewer than `least` documents are left out.
    `among` has to hold as well, as in `Search`; `after` is the store's own mark of where a
    page ended.
    """

    rule_id: str
    index: tuple[str, ...]
    where: Node
    window: Window
    time_field: str
    fallback: bool = False
    by: tuple[str, ...] = ()
    least: int = 1
    among: Node | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A question to the store: the rows that an ES|QL `query` makes, at most `limit` of them.

    For the query there are only the documents inside `window` that satisfy `where`; the window is
    asked as in `Buckets`. `index` is where the query looks, for people. What no query can say of
    `where` is `checked` on the documents by whoever asks, or not at all.
    """

    rule_id: str
    index: tuple[str, ...]
    query: str
    where: Node
    window: Window
    time_field: str
    limit: int
    fallback: bool = False
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """The values all of `count` documents have, as `by` named them; `first` and `last` in time."""

    key: tuple[Scalar, ...]
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Earlier:
    """A question to the store: what alerts of this rule bear one of `keys` and reach into `window`.

    Sees every alert written before it is asked: those of a `shadow` rule or those of all others.
    `after` is the id at which a page ended. With `suppression` the keys and spans are those of
    alerts that matches are suppressed into.
    """

    rule_id: str
    window: Window
    keys: tuple[str, ...]
    after: str | None = None
    shadow: bool = False
    suppression: bool = False


@dataclass(frozen=True, slots=True)
class Alerted:
    """What an alert has said: the events of `key` from `first` to `last`, both inside.

    It lies in `index`, and is `closed` where somebody has dealt with it.
    """

    key: str
    first: datetime
    last: datetime
    id: str
    index: str = ""
    closed: bool = False


Question: TypeAlias = Search | Buckets | Earlier | Rows


@dataclass(frozen=True, slots=True)
class Document:
    """One event as it was logged; `time` is its value of the field the window was asked of."""

    index: str
    id: str
    source: Source
    time: datetime
    fields: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: documents oldest first, residual applied; `next` asks for those that follow.

    `buckets` answer `Buckets`, `earlier` answers `Earlier`, `rows` answer `Rows`: the columns that
    have a value, by name.
    `hits` counts what the store found before the residual. `incomplete` says what part of the
    question was not answered (shards, a remote cluster); `transient` whether asking again may help.
    `timed_out` says that the question was too hard to be answered in the time it was given.
    `unread` are hits of which cannot be said whether they satisfy it, with the reason.
    """

    documents: tuple[Document, ...]
    next: Question | None = None
    hits: int = 0
    took_ms: int = 0
    warning: str | None = None
    incomplete: str | None = None
    transient: bool = True
    unread: tuple[tuple[Document, str], ...] = ()
    timed_out: bool = False
    buckets: tuple[Bucket, ...] = ()
    earlier: tuple[Alerted, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that did not come; ends the run of the rule that asked."""

    error: StoreError


Answer: TypeAlias = Page | Failure


@dataclass(frozen=True, slots=True)
class Group:
    """What the documents of a match have in common: these values in the fields named.

    `key` stands for the terms and is equal for equal ones. There are `count` documents, from
    `first` to `last`, of which the match may hold a sample; `distinct` counts the different values
    of other fields among them.
    """

    key: str
    terms: tuple[tuple[str, Scalar], ...]
    count: int
    first: datetime
    last: datetime
    distinct: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Alike:
    """What stands for matches of the same values: `count` different ones, from `first` to `last`.

    A term's values are all those of its field, in one order; none where it is missing. `key` is
    equal for equal terms.
    """

    key: str
    terms: tuple[tuple[str, tuple[Scalar, ...]], ...]
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """What a query says of a match: columns by name.

    `key` tells it from other rows of the same document.
    """

    columns: Mapping[str, Any]
    key: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """The documents that together make one alert; `time` orders matches inside a window.

    With a `group` they are what shows it; otherwise they are all there is. `alike` are the matches
    it stands for, itself among them. A `row` goes before what the documents say.
    """

    documents: tuple[Document, ...]
    time: datetime
    group: Group | None = None
    alike: Alike | None = None
    row: Row | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """What the alert `id` in `index` stands for by now."""

    id: str
    index: str
    alike: Alike


@dataclass(frozen=True, slots=True)
class Ask:
    """What a detection yields to be sent a `Page` for each of `searches`, in their order."""

    searches: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a detection yields when it has matches: written before the detection goes on.

    `warnings` are said with the run. So many more matches were `suppressed` into alerts; `updates`
    tell of those that were there before. `hole` says why some of the window was not seen, where
    asking again would not help.
    """

    matches: tuple[Match, ...] = ()
    warnings: tuple[str, ...] = ()
    suppressed: int = 0
    updates: tuple[Update, ...] = ()
    hole: str | None = None


Detection: TypeAlias = Generator[Ask | Found, tuple[Page, ...] | None, None]
"""A rule type at work: yields `Ask` and is sent pages, yields `Found` and is sent None."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a rule, as far as its alerts tell of it.

    `late` marks the alerts of events that became searchable after the look-back had passed them.
    `time` becomes the alert's own `@timestamp`, `intended` the nominal time of the run. `identity`
    maps index patterns to the fields that make two documents the same event; the first pattern
    that fits is taken.
    """

    uuid: str
    space: str
    time: datetime
    intended: datetime
    manual: bool = False
    late: bool = False
    identity: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kibana_url: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """The document written to `index` under the deterministic `id`; `time` is its match's.

    `blocks` are the building blocks of a match of several documents: written before it, and not
    counted. `alike` is its match's.
    """

    id: str
    index: str
    document: dict[str, Any]
    time: datetime
    blocks: tuple[Alert, ...] = ()
    alike: Alike | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the alert `id` in `index` has to say: the `fields` of how much it stands for by now."""

    id: str
    index: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of alerts handed to a store, by id.

    `refused` gives the reason of those refused for good, `held` of those not written for now.
    """

    created: frozenset[str]
    existing: frozenset[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: a match that will never become an alert by itself, and why.

    `events` are the index and id of each document; `index` is where the alert would have gone and
    `document` the alert, or without an `index` the event, where it can be kept.
    """

    id: str
    rule_id: str
    reason: str
    time: datetime
    events: tuple[tuple[str, str], ...] = ()
    index: str | None = None
    document: Source | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a rule has got: everything before `end` is covered, but for what is `waiting`.

    `sweeping` is covered and is to be asked again for what became searchable late. `flooded` has
    been given up and is a gap: no look-back goes there. `since` is where the rule's
    first run began, `rule_hash` the content it had when this was saved.
    `version` is the store's own mark of the copy that was read; saving a copy that is no longer the
    latest is refused, so that two daemons cannot forget each other's waiting windows.
    """

    rule_id: str
    end: datetime
    waiting: tuple[Window, ...] = ()
    flooded: tuple[Window, ...] = ()
    sweeping: tuple[Window, ...] = ()
    since: datetime | None = None
    rule_hash: str = ""
    version: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What a backfill that has not finished has covered of a rule, as the rule was then.

    `since` is when it first began. Without `windows` there is nothing to go on with.
    """

    rule_id: str
    rule_hash: str
    since: datetime
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """A span no run has covered, and why."""

    rule_id: str
    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """How many documents satisfy searches, and the values that are most frequent among them.

    `exact` is false where the store counted what a residual would still take out. `top` maps a
    field to its values with their counts, most frequent first.
    """

    count: int
    exact: bool = True
    top: Mapping[str, tuple[tuple[Any, int], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the store remembers of one rule's run over one window.

    `lateness_ms` is how long after its time an event may become searchable and still be found: a
    fill closes no gap that is younger.
    `differing` counts documents that share another's identity but not its content: they made no
    alert of their own, and a warning names one.
    """

    uuid: str
    rule_id: str
    name: str
    window: Window
    started: datetime
    status: Status
    kind: Literal["live", "catch-up", "late", "backfill"]
    matches: int = 0
    alerts_created: int = 0
    alerts_existing: int = 0
    differing: int = 0
    warnings: tuple[str, ...] = ()
    error: str | None = None
    gaps: tuple[Gap, ...] = ()
    search_ms: int = 0
    write_ms: int = 0
    rule_hash: str = ""
    lateness_ms: int = 0
    rule_commit: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A daemon as it last told of itself; `beat` changes each time it does.

    Members of equal `group` divide the same rules among them: each runs those of the `shards` it
    holds. `place` is equal for processes that can see each other. `renewed` is for people alone:
    whether a member lives is never told by a clock of another machine.
    """

    id: str
    beat: int
    group: str
    shards: tuple[int, ...] = ()
    place: str = ""
    renewed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leases:
    """All daemons of a space and what they hold; `version` as in `Checkpoint`."""

    members: tuple[Member, ...] = ()
    version: tuple[int, int] | None = None
