"""What is known of a query of ES|QL, and what is sent of it; Elasticsearch judges the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import rulefile
from detector.errors import LanguageError
from detector.language import esql
from detector.language.esqltokens import tokens
from detector.language.source import Source
from tests.language import shared

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIME = 'TO_DATETIME("2026-03-01T12:00:00.000Z")'
ID = "_detector_id = _id, _detector_index = _index"
KEPT, KEY = "_detector_id, _detector_index", "_detector_key_"
META = "METADATA _id, _index, _version"

INDICES = [
    ("FROM logs-*", ("logs-*",)),
    ('from logs-a.*,-logs-b , "logs-c", """logs-d"""', ("logs-a.*", "-logs-b", "logs-c", "logs-d")),
    ("FROM a:logs-*, b*:x // not: this, one\n | WHERE a", ("a:logs-*", "b*:x")),
    ("FROM logs-* /* a /* b */ , c */ METADATA _id", ("logs-*",)),
    ("FROM <a-{now/d{yyyy|+12:00}}>, b [METADATA _id]", ("<a-{now/d{yyyy|+12:00}}>", "b")),
    ("FROM logs::failures", ("logs::failures",)),
    ("TS metrics-*", ("metrics-*",)),
    ("FROM a, (FROM b | LIMIT 1)", ()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "index"), INDICES)
def test_indices_are_those_of_the_source(query: str, index: tuple[str, ...]) -> None:
    assert esql.read(query).index == index


SENT = [
    # what tells of the document
    ("FROM a", f"FROM a {META} | EVAL {ID}"),
    ("FROM a // b", f"FROM a {META} | EVAL {ID} // b"),
    ("FROM a METADATA _id", f"FROM a METADATA _id, _index, _version | EVAL {ID}"),
    ("FROM a [metadata _version]", f"FROM a [metadata _version, _id, _index] | EVAL {ID}"),
    (f"FROM a {META}", f"FROM a {META} | EVAL {ID}"),
    # before what may change it, and after what full-text functions must follow
    (
        'FROM a | WHERE KQL("x") | SORT b | EVAL c = 1 | KEEP b | DROP _id',
        (
            f'FROM a {META} | WHERE KQL("x") | SORT b | EVAL {ID} | EVAL c = 1'
            f" | KEEP b, {KEPT} | DROP _id"
        ),
    ),
    (
        "FROM a | MV_EXPAND `b` | KEEP d",
        f"FROM a {META} | EVAL {ID} | MV_EXPAND `b` | EVAL {KEY}0 = `b` | KEEP d, {KEPT}, {KEY}0",
    ),
    # what tells groups apart
    ("FROM a | STATS COUNT(*)", "FROM a | STATS COUNT(*)"),
    (
        "FROM a | KEEP b | STATS F(b) BY x.`y`, d = F(c) | KEEP n",
        (
            "FROM a | KEEP b | STATS F(b) BY x.`y`, d = F(c)"
            f" | EVAL {KEY}0 = x.`y`, {KEY}1 = d | KEEP n, {KEY}0, {KEY}1"
        ),
    ),
    (
        "FROM a | STATS F(b) WHERE c == 1 by R( b , 2 ), `Q`",
        (
            "FROM a | STATS F(b) WHERE c == 1 by R( b , 2 ), `Q`"
            f" | EVAL {KEY}0 = `R( b , 2 )`, {KEY}1 = `Q`"
        ),
    ),
    (
        "FROM a | STATS n = F(a) BY b | STATS G(n) BY n | MV_EXPAND m",
        (
            "FROM a | STATS n = F(a) BY b | STATS G(n) BY n"
            f" | EVAL {KEY}0 = n | MV_EXPAND m | EVAL {KEY}1 = m"
        ),
    ),
    # not known: nothing is added
    ("FROM a | STATS MAX(a) BY F(b, // c\n d)", "FROM a | STATS MAX(a) BY F(b, // c\n d)"),
    ("FROM a | FORK (STATS COUNT(*)) (LIMIT 1)", "FROM a | FORK (STATS COUNT(*)) (LIMIT 1)"),
    ("FROM a, (FROM b) | KEEP c", "FROM a, (FROM b) | KEEP c"),
    # the end of the window
    (
        'FROM a | STATS n = MAX(b) | WHERE n > NOW( /* now() */ ) - 1d AND c != "now()" // now()',
        f'FROM a | STATS n = MAX(b) | WHERE n > {TIME} - 1d AND c != "now()" // now()',
    ),
    ("FROM a | STATS now = MAX(`now`) ", "FROM a | STATS now = MAX(`now`)"),
    ("FROM a | STATS F(b) BY know()", f"FROM a | STATS F(b) BY know() | EVAL {KEY}0 = `know()`"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "sent"), SENT)
def test_what_is_sent_tells_what_its_rows_are(query: str, sent: str) -> None:
    assert esql.sent(esql.read(query), NOW, 9) == f"{sent}\n| LIMIT 9"
    assert esql.sent(esql.read(query), NOW, 9).count("\n") == query.count("\n") + 1


KINDS = [
    # aggregates, divisible, stepwise
    ("FROM a | WHERE b | EVAL c = 1 | DISSECT d \"%{e}\" | SORT f", (False, True, False)),
    ("FROM a | where STATS == 1 // | STATS", (False, True, False)),
    ("FROM a | WHERE b > now()", (False, True, True)),
    ("FROM a | LIMIT 3", (False, False, True)),
    ("FROM a | INLINE STATS n = COUNT(*)", (False, False, True)),
    ("FROM a | INLINESTATS n = COUNT(*)", (False, False, True)),
    ("FROM a | LOOKUP JOIN b ON c", (False, True, False)),
    ("FROM a | NEW_COMMAND b", (False, False, True)),
    ("FROM a | stats count(*)", (True, False, True)),
    ("FROM a | FORK (STATS COUNT(*)) (LIMIT 1)", (True, False, True)),
    ("FROM a, (FROM b) | KEEP c", (False, False, True)),
]  # fmt: skip


@pytest.mark.parametrize(("query", "kind"), KINDS)
def test_whether_rows_are_events_and_depend_on_the_window(
    query: str, kind: tuple[bool, bool, bool]
) -> None:
    found = esql.read(query)
    assert (found.aggregates, found.divisible, found.stepwise) == kind


WRONG = [
    ("", 1, 1, "the query is empty"),
    ("  // nothing", 1, 1, "the query is empty"),
    ("ROW a = 1", 1, 1, "ROW asks for no events"),
    ("FROM a\n| | LIMIT 1", 2, 1, "nothing follows this pipe"),
    ("FROM a |", 1, 8, "nothing follows this pipe"),
    ("where a", 1, 1, "does not begin with FROM"),
    ("FROM METADATA _id", 1, 1, "FROM names no index"),
    ('FROM a\n| WHERE b == "c', 2, 14, "string is not closed"),
    ('FROM a | WHERE b == """c', 1, 21, "string is not closed"),
    ("FROM a | KEEP `b", 1, 15, "name is not closed"),
    ("FROM a /* /* */", 1, 8, "comment is not closed"),
    ("FROM a | WHERE (b == 1", 1, 16, r"`\(` is not closed"),
    ("FROM a | WHERE b)", 1, 17, r"`\)` closes nothing"),
    ("FROM a | WHERE b == ?c", 1, 21, "no parameters"),
]


@pytest.mark.parametrize(("query", "line", "column", "said"), WRONG)
def test_what_is_plainly_wrong_is_said_with_its_place(
    query: str, line: int, column: int, said: str
) -> None:
    with pytest.raises(LanguageError, match=said) as raised:
        esql.read(query)
    place = raised.value.place
    assert place is not None
    assert (place.line, place.column) == (line, column)


def test_another_index_takes_the_place_of_all() -> None:
    query = "FROM logs-*, b // c\n METADATA _id | STATS n = COUNT(*)"
    assert esql.moved(query, "x") == 'FROM "x" // c\n METADATA _id | STATS n = COUNT(*)'


@given(
    st.lists(
        st.sampled_from(['"', '"""', "`", "//", "/*", "*/", "\n", "|", "(", ")", "a", " ", "\\"])
    )
)
def test_every_character_is_in_a_token_or_blank_or_said_to_be_wrong(parts: list[str]) -> None:
    source = Source("".join(parts))
    try:
        found = list(tokens(source))
    except LanguageError:
        return
    ends = 0
    for one in found:
        assert one.start >= ends
        assert source.text[one.start : one.end] == one.text
        ends = one.end


@pytest.mark.slow
def test_every_query_of_the_corpus_is_known_by_what_its_rows_are() -> None:
    rules = [rule for rule in rulefile.load([shared.needed("corpus")]).rules if rule.type == "esql"]
    queries = [esql.read(rule.query or "") for rule in rules]
    assert len(queries) == 113
    assert all(query.index and query.keys is not None for query in queries)
    assert sum(query.aggregates for query in queries) == 86
    assert sum(not query.stepwise for query in queries) == 24
    assert all(rule.index == query.index for rule, query in zip(rules, queries, strict=True))
