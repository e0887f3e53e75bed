"""A rule's queries and filters, as they were written -> the trees that say what it looks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from detector.errors import LanguageError
from detector.language import analysed, doubts, eql, esql, kuery, querydsl, tree
from detector.language.fields import ECS
from detector.language.tree import Node, Query
from detector.rulefile.check import LANGUAGES
from detector.rulefile.report import Report
from detector.text.document import Text
from detector.text.faults import KeyPath

READ = frozenset({"eql", "query", "threshold", "new_terms", "threat_match", "esql"})
"""The types whose query is read here."""

_HEAD = re.compile(
    r'\s*(?:"[^"]*"|`[^`]*`|[\w.-]+)\s+where\b|\s*(?:sequence|sample)\s*(?:\[|\b(?:by|with)\b)'
)
"""How a whole query of EQL begins."""


def read(text: Text, rule_id: str | None, report: Report) -> Query | None:
    """The query narrowed down by the filters; None where it cannot be read, or is of no such type.

    Everything wrong is reported, whatever is wrong with the rule's other keys.
    """
    type_ = text.data.get("type")
    if not isinstance(type_, str) or type_ not in READ:
        return None
    where = _query(text, type_, rule_id, report)
    filters = _filters(text, rule_id, report)
    if where is None or filters is None:
        return None
    if not analysed.answerable(where, ECS):
        message = "only Elasticsearch can answer this query: `test` cannot tell"
        report.add(message, text.value(("query",)), level="warning", rule_id=rule_id)
    narrow = narrowed(where, filters)
    for doubt in doubts.doubts(narrow):
        report.add(doubt, text.value(("query",)), level="warning", rule_id=rule_id)
    return narrow


def indicators(text: Text, rule_id: str | None, report: Report) -> Node | None:
    """Which indicators a rule of type threat_match compares with, as `read` has it."""
    where = _query(text, "threat_match", rule_id, report, "threat_")
    filters = _filters(text, rule_id, report, "threat_")
    if where is None or filters is None:
        return None
    return cast("Node", narrowed(where, filters))


def anomalies(jobs: Sequence[str], least: float) -> Node:
    """The records of anomaly detection jobs that are at least so odd, as Kibana asks for them.

    Interim results may be taken back.
    """
    return tree.all_of(
        (
            tree.Equals("result_type", "record"),
            tree.OneOf("job_id", tuple(jobs)),
            tree.Compare("record_score", ">=", least),
            tree.Not(tree.Equals("is_interim", True)),
        )
    )


def _query(
    text: Text, type_: str, rule_id: str | None, report: Report, prefix: str = ""
) -> Query | None:
    query = text.data.get(f"{prefix}query")
    if query is None and type_ == "query":
        return tree.Everything()  # its filters say what it looks for
    language = text.data.get(f"{prefix}language") or LANGUAGES[type_][0]
    if not isinstance(query, str) or language not in LANGUAGES[type_]:
        return None
    try:
        return _PARSERS[language](query, text.data)
    except LanguageError as error:
        _report(error, text, (f"{prefix}query",), rule_id, report)
        return None


def _filters(text: Text, rule_id: str | None, report: Report, prefix: str = "") -> Node | None:
    given = text.data.get(f"{prefix}filters") or []
    if not isinstance(given, list):
        return None
    nodes: list[Node] = []
    for number, item in enumerate(given):
        path: KeyPath = (f"{prefix}filters", number)
        try:
            node = querydsl.filters([item])
        except LanguageError as error:
            _report(error, text, path, rule_id, report)
            return None
        if not analysed.answerable(node, ECS):
            message = "only Elasticsearch can answer this filter: `test` cannot tell"
            report.add(message, text.value(path), level="warning", rule_id=rule_id)
        nodes.append(node)
    return tree.all_of(nodes)


def condition(query: str, language: str, data: Mapping[str, Any]) -> Node:
    """A condition alone, in the language of the rule with these keys, as exceptions have it.

    EQL's category and `where` may be left out. Raises LanguageError.
    """
    bare = language == "eql" and _HEAD.match(query) is None
    try:
        read = _PARSERS[language](f"any where\n{query}" if bare else query, data)
    except LanguageError as error:
        if bare and error.place is not None:
            error.place = replace(error.place, line=max(1, error.place.line - 1))
        raise
    if isinstance(read, tree.Piped | tree.Sequence | tree.Sample):
        raise LanguageError("an exception asks of one event", hint="a condition without pipes")
    return read


def narrowed(query: Query, filters: Node) -> Query:
    """A filter holds for every event of a sequence or sample."""

    def both(where: Node) -> Node:
        if isinstance(filters, tree.Everything):
            return where
        return filters if isinstance(where, tree.Everything) else tree.all_of((where, filters))

    return tree.altered(query, both)


def _report(
    error: LanguageError, text: Text, path: KeyPath, rule_id: str | None, report: Report
) -> None:
    inside = error.place is not None and path in {("query",), ("threat_query",)}
    place = text.within(path, error.place) if inside and error.place else text.value(path)
    report.add(error.message, place, error.hint, rule_id=rule_id)


def _eql(query: str, data: Mapping[str, Any]) -> Query:
    category = data.get("event_category_override")
    named = category if category and isinstance(category, str) else "event.category"
    return eql.parse(query, category_field=named)


def _lucene(query: str, _: Mapping[str, Any]) -> Query:
    if not query.strip():
        return tree.Everything()  # as Kibana has it; of Elasticsearch it would ask for nothing
    return querydsl.sent({"query_string": {"query": query, "analyze_wildcard": True}})


def _esql(query: str, _: Mapping[str, Any]) -> Query:
    """What the query asks, Elasticsearch alone can answer: all that is left are the filters."""
    esql.read(query)
    return tree.Everything()


_PARSERS: Mapping[str, Callable[[str, Mapping[str, Any]], Query]] = {
    "eql": _eql,
    "esql": _esql,
    "kuery": lambda query, _: kuery.parse(query),
    "lucene": _lucene,
}
