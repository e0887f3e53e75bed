"""ES|QL's text in, what has to be known of it out, and the text that is sent.

Only Elasticsearch can answer it. What is known is where it looks, whether its rows are events or
groups of them, and which columns tell one row from another; these are carried through to the rows
under names of our own, whatever the query keeps.
https://www.elastic.co/docs/reference/query-languages/esql/esql-commands
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from detector.language import datemath
from detector.language.esqltokens import Command, Token, commands, tokens
from detector.language.source import Source

METADATA = ("_id", "_index", "_version")
"""What tells of which document a row is."""
ID, INDEX = "_detector_id", "_detector_index"
KEY = "_detector_key_"
"""Columns of ours: the document, and what tells apart rows of one document or slot, numbered."""

EACH_ROW = frozenset(
    {
        "WHERE",
        "EVAL",
        "KEEP",
        "DROP",
        "RENAME",
        "DISSECT",
        "GROK",
        "MV_EXPAND",
        "SORT",
        "ENRICH",
        "LOOKUP JOIN",
        "COMPLETION",
    }
)
"""Commands that look at each row alone: of two halves of a window they say together what they say
of the whole."""

WHOLE = frozenset({"FROM", "TS", "WHERE", "SORT"})
"""Commands after which the columns of a document are as they were. No other may come before `KQL`
and `QSTR`."""

_NO_EVENTS = {"ROW": "it makes its own row", "SHOW": "it tells of the cluster"}


@dataclass(frozen=True, slots=True)
class Edit:
    """Another text for what stands from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Esql:
    """A query, read.

    `index` are the patterns it looks into; none where they stand in queries of their own. It
    `aggregates` where its rows are no events. It is `divisible` where the rows of two halves of a
    window are those of the whole. `keys` are the columns that tell rows apart beside the document;
    None where that is not known. `times` are the places of `now()`. `edits` make it tell what its
    rows are, `sources` is where the patterns stand.
    """

    text: str
    index: tuple[str, ...]
    aggregates: bool
    divisible: bool
    keys: tuple[str, ...] | None
    times: tuple[tuple[int, int], ...]
    edits: tuple[Edit, ...]
    sources: tuple[int, int]

    @property
    def tells_documents(self) -> bool:
        """Whether each row is an event's, and says which."""
        return not self.aggregates and self.keys is not None

    @property
    def stepwise(self) -> bool:
        """Whether its answer depends on where the window begins and ends."""
        return not self.divisible or bool(self.times)


@lru_cache(maxsize=4096)
def read(text: str) -> Esql:
    """What there is to know of a query. Raises `LanguageError`."""
    source = Source(text)
    found = commands(source)
    first = _looks_into_indices(source, found[0])
    _refuse_parameters(source, found)
    aggregates = any(map(_is_aggregation, found))
    sources, metadata = _sources(first)
    nested = any(token.says("(") for token in first.tokens)
    keys = _keys(source, found) if aggregates else None if nested else _expanded(found)
    edits = [] if aggregates or nested else _with_metadata(first, metadata)
    edits += _carried(found, keys or (), document=keys is not None and not aggregates)
    return Esql(
        text,
        () if nested else tuple(map(_pattern, first.parts(sources))),
        aggregates,
        not aggregates and not nested and all(one.name in EACH_ROW for one in found[1:]),
        None if keys is None else tuple(name.strip("`") for _, name in keys),
        tuple(_times(found)),
        tuple(edits),
        (sources[0].start, sources[-1].end),
    )


def sent(query: Esql, now: datetime, limit: int) -> str:
    """The query as it is asked: at most `limit` rows, and `now()` is `now`.

    A literal: whenever it is asked again, it says the same.
    """
    literal = f'TO_DATETIME("{datemath.stamp(now)}")'
    bound = [Edit(start, end, literal) for start, end in query.times]
    return f"{_edited(query.text, [*query.edits, *bound]).rstrip()}\n| LIMIT {limit}"


def moved(text: str, index: str) -> str:
    """The query, looking into another index. Raises `LanguageError`."""
    start, end = read(text).sources
    return _edited(text, [Edit(start, end, f'"{index}"')])


def words(text: str) -> frozenset[str]:
    """Every word and quoted name in a query: the fields among them. Raises `LanguageError`."""
    found = tokens(Source(text))
    return frozenset(_unquoted(one) for one in found if one.kind in {"word", "name"})


def _looks_into_indices(source: Source, first: Command) -> Command:
    width = len(first.name)
    if first.name in _NO_EVENTS:
        message = f"{first.name} asks for no events: {_NO_EVENTS[first.name]}"
        raise source.error(message, first.start, width, hint="begin with FROM and the indices")
    if first.name not in {"FROM", "TS"}:
        hint = "begin with FROM and the indices"
        raise source.error("the query does not begin with FROM", first.start, width, hint=hint)
    if not first.tokens or first.tokens[0].says("METADATA"):
        raise source.error(f"{first.name} names no index", first.start, width)
    return first


def _refuse_parameters(source: Source, found: Iterable[Command]) -> None:
    for one in found:
        for token in one.tokens:
            if token.says("?"):
                hint = "write the value; `now()` is the end of the window"
                raise source.error("a rule has no parameters to give", token.start, hint=hint)


def _is_aggregation(command: Command) -> bool:
    """As Kibana has it; in branches as well."""
    inside = command.name == "FORK" and any(token.says("STATS") for token in command.tokens)
    return command.name == "STATS" or inside


def _sources(first: Command) -> tuple[Sequence[Token], Sequence[Token]]:
    """The tokens of the indices, and of the metadata columns."""
    at = next((i for i, token in enumerate(first.tokens) if token.says("METADATA")), None)
    if at is None:
        return first.tokens, ()
    named = [token for token in first.tokens[at + 1 :] if token.kind in {"word", "name"}]
    bracket = 1 if first.tokens[at - 1].says("[") else 0
    return first.tokens[: at - bracket], named


def _pattern(part: Sequence[Token]) -> str:
    return "".join(token.text for token in part).strip('"')


def _with_metadata(first: Command, named: Sequence[Token]) -> list[Edit]:
    lacking = [name for name in METADATA if name not in {_unquoted(token) for token in named}]
    if not lacking:
        return []
    if named:
        end = named[-1].end
        return [Edit(end, end, "".join(f", {name}" for name in lacking))]
    return [Edit(first.end, first.end, f" METADATA {', '.join(lacking)}")]


def _carried(
    found: Sequence[Command], keys: Sequence[tuple[int, str]], *, document: bool
) -> Iterator[Edit]:
    """Columns of ours where their values stand, and in every later KEEP."""
    named: list[tuple[int, str, str]] = []
    if document:
        whole = next((i for i, one in enumerate(found) if one.name not in WHOLE), len(found)) - 1
        named = [(whole, ID, "_id"), (whole, INDEX, "_index")]
    named += [(at, f"{KEY}{n}", column) for n, (at, column) in enumerate(keys)]
    for number, command in enumerate(found):
        before = [name for at, name, _ in named if at < number]
        if command.name == "KEEP" and before:
            yield Edit(command.end, command.end, "".join(f", {name}" for name in before))
        here = [f"{name} = {column}" for at, name, column in named if at == number]
        if here:
            yield Edit(command.end, command.end, f" | EVAL {', '.join(here)}")


def _keys(source: Source, found: Sequence[Command]) -> list[tuple[int, str]] | None:
    """What tells rows of an aggregation apart, with the command after which it stands there.

    None where that, or a column's name, cannot be known.
    """
    last = max((i for i, one in enumerate(found) if one.name == "STATS"), default=None)
    if last is None:
        return None
    stats, columns = found[last], []
    at = next((i for i, one in enumerate(stats.tokens) if one.says("BY") and not one.depth), None)
    for part in stats.parts(stats.tokens[at + 1 :]) if at is not None else ():
        column = _column(source, part)
        if column is None:
            return None
        columns.append((last, column))
    return columns + [one for one in _expanded(found) if one[0] > last]


def _expanded(found: Sequence[Command]) -> list[tuple[int, str]]:
    """Columns whose values have become rows of their own."""
    return [
        (number, "".join(token.text for token in command.tokens))
        for number, command in enumerate(found)
        if command.name == "MV_EXPAND"
    ]


def _column(source: Source, part: Sequence[Token]) -> str | None:
    """The column that a part of BY makes, as the query can name it.

    An expression without a name is named by its own text.
    """
    sign = next((i for i, one in enumerate(part) if one.says("=") and not one.depth), None)
    named = part if sign is None else part[:sign]
    if all(one.kind in {"word", "name"} or one.says(".") for one in named):
        return "".join(one.text for one in named)
    text = source.text[part[0].start : part[-1].end]
    if "\n" in text or "//" in text or "/*" in text:
        return None
    return f"`{text.replace('`', '``')}`"


def _times(found: Iterable[Command]) -> Iterator[tuple[int, int]]:
    for command in found:
        for one, two, three in zip(
            command.tokens, command.tokens[1:], command.tokens[2:], strict=False
        ):
            if one.says("NOW") and two.says("(") and three.says(")"):
                yield one.start, three.end


def _unquoted(token: Token) -> str:
    return token.text.strip("`") if token.kind == "name" else token.text


def _edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; those of one place in their order."""
    for edit in sorted(edits, key=lambda one: one.start)[::-1]:
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
