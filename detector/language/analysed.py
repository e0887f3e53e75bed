"""What Kibana's `field: text` asks of analysed text -> the queries Kibana sends for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from detector.errors import LanguageError
from detector.language import tree
from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.kuery import ANY
from detector.language.tree import Node

_SPECIAL = re.compile(r"[+\-=&|><!(){}\[\]^\"~*?:\\/]")
_OPERATOR = re.compile(r"\b(AND|OR|NOT)\b")


def asks(leaf: tree.Says, types: FieldTypes) -> bool:
    """Whether an index analyses what the leaf asks for: a text field, or no field in particular.

    Where others hold it whole, each answers in its own way, as it answers Kibana.
    """
    if leaf.field == ANY or kind_of(leaf.field, types) is Kind.TEXT:
        return True
    return bool(types.analysed_in(leaf.field))


def answerable(query: tree.Query, types: FieldTypes) -> bool:
    """Whether all of a query has a meaning that is known here."""
    return all(meaning(one, types) is not None for one in tree.sent(query))


def meaning(sent: tree.Sent, types: FieldTypes) -> Node | None:
    """What a query means that is sent as it was written; None where only Elasticsearch knows.

    Conditions on the words of a text depend on how its index takes it apart.
    """
    if sent.meaning is None or any(_on_words(leaf, types) for leaf in tree.leaves(sent.meaning)):
        return None
    return sent.meaning


def meant(sent: tree.Sent, types: FieldTypes) -> Node:
    """The same. Raises LanguageError where only Elasticsearch knows."""
    known = meaning(sent, types)
    if known is None:
        raise LanguageError(f"only Elasticsearch can answer {sent.query[:200]}")
    return known


def _on_words(leaf: tree.Leaf, types: FieldTypes) -> bool:
    if isinstance(leaf, tree.Everything | tree.Nothing | tree.Holds | tree.Says | tree.Exists):
        return False
    return kind_of(leaf.field, types) is Kind.TEXT


def queries(leaf: tree.Says) -> Iterator[dict[str, Any]]:
    """A query for each wording: `match`, `match_phrase`, or `query_string` for wildcards."""
    for one in leaf.wordings:
        text = one.parts[0]
        if len(one.parts) > 1:
            fields = {} if leaf.field == ANY else {"fields": [leaf.field]}
            yield {"query_string": {**fields, "query": "*".join(map(_escaped, one.parts))}}
        elif leaf.field == ANY:
            kind = "phrase" if one.phrase else "best_fields"
            yield {"multi_match": {"type": kind, "query": text, "lenient": True}}
        else:
            yield {"match_phrase" if one.phrase else "match": {leaf.field: text}}


def nested(path: str, query: dict[str, Any]) -> dict[str, Any]:
    """`query` asked of each of the objects at `path` by itself."""
    return {"nested": {"path": path, "query": query, "score_mode": "none"}}


def _escaped(text: str) -> str:
    """`text` for `query_string`, but for its blanks: they part words there as well."""
    return _OPERATOR.sub(lambda found: found[0].lower(), _SPECIAL.sub(r"\\\g<0>", text))
