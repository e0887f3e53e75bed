"""Every rule of type esql beside the project is taken by a real Elasticsearch 8.19.0, or why not.

One index maps every field that the queries name. `KQL()` never answers on this node, whose module
for it is not published: it stands for `true` here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector import rulefile
from detector.detect import esql as detecting
from detector.language import esql as language
from detector.language.fields import ECS
from detector.model import Failure, Rule, Window
from detector.store.connection import connect
from detector.store.elastic import ElasticStore
from tests.builders import NOW
from tests.esql.node import WithEsql
from tests.language import shared

pytestmark = pytest.mark.node

INDEX = "corpus"
LATER = (
    "Unknown function [JSON_EXTRACT]",
    "Unknown function [URL_DECODE]",
    "mismatched input 'INLINE'",
    "extraneous input 'first'",
    "mismatched input '{'",
)
"""What the cluster says of what later versions have: FIRST() and COMPLETION WITH are the last."""
NUMBERS = re.compile(r"(pct|bytes|port|count|_code|Status\.code|score|_length|lat|lon)$")
END = ".caseless"
PLAIN = frozenset(
    {"keyword", "date", "ip", "long", "integer", "short", "float", "double", "boolean", "geo_point"}
)


def asked(rules: Iterable[Rule]) -> list[Rule]:
    """The rules, asking the one index."""
    kql = re.compile(r'\bKQL\s*\(\s*(?:"{3}.*?"{3}|"[^"]*")\s*\)', re.DOTALL | re.IGNORECASE)
    return [
        replace(one, index=(INDEX,), query=kql.sub("true", language.moved(one.query or "", INDEX)))
        for one in rules
    ]


def properties(rules: Iterable[Rule]) -> dict[str, Any]:
    """A mapping of every name with a dot, of what ECS knows, and of something below each `x.*`."""
    words = {word for one in rules for word in language.words(one.query or "")}
    names = {
        word for word in words if ECS.type_of(word) or re.fullmatch(r"[A-Za-z][\w./]+\w", word)
    }
    names |= {f"{word}any" for word in words if word.endswith(".")}
    names |= {"@timestamp", "event.ingested", *(name.removesuffix(END) for name in names)}
    leaves = {name for name in names if "." in name or ECS.type_of(name)}
    leaves -= {name for name in leaves for other in leaves if _is_below(other, name)}
    return {name: _field(name) for name in sorted(leaves) if not name.endswith((".text", END))}


def _is_below(name: str, other: str) -> bool:
    return name.startswith(f"{other}.") and not name.endswith((".text", END))


def _field(name: str) -> dict[str, Any]:
    known = ECS.type_of(name)
    if known in PLAIN:
        type_ = str(known)
    elif known is None and NUMBERS.search(name):
        type_ = "long"
    else:
        type_ = "ip" if name.endswith(".ip") else "keyword"
    named = {"text": {"type": "text"}, "caseless": {"type": "keyword"}}
    return {"type": type_, "fields": named} if type_ == "keyword" else {"type": type_}


def test_every_query_is_taken_but_for_what_later_versions_have(
    esql: Elasticsearch, esql_node: WithEsql
) -> None:
    store = ElasticStore(connect(esql_node.url, request_timeout=20), "default")
    loaded = rulefile.load([shared.needed("corpus")]).rules
    rules = asked(rule for rule in loaded if rule.type == "esql")
    esql.indices.create(
        index=INDEX,
        mappings={"properties": properties(rules)},
        settings={"mapping": {"total_fields": {"limit": 5_000}}},
    )
    answers = store.search(
        [detecting.question(one, Window(NOW - timedelta(minutes=9), NOW), NOW) for one in rules]
    )
    store.client.close()
    refused = {
        one.name: told.error.message
        for one, told in zip(rules, answers, strict=True)
        if isinstance(told, Failure)
    }
    assert {name: said for name, said in refused.items() if not said_of_later(said)} == {}
    assert len(refused) == 13, sorted(refused)
    assert len(rules) == 113


def said_of_later(message: str) -> bool:
    return any(said in message for said in LATER)
