"""Elastic's own rules: all are read, and nearly all leave nothing to a residual."""

from __future__ import annotations

import tomllib
from functools import cache

from detector.language import dsl, eql, evaluate, tree
from detector.language.tree import Node, Query
from tests.language import shared


@cache
def by_id() -> dict[str, tuple[str, Query]]:
    """Every EQL rule of the corpus by its id: the name of its file, and the query read."""
    found: dict[str, tuple[str, Query]] = {}
    for path in sorted(shared.needed("corpus").rglob("*.toml")):
        rule = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
        if rule.get("language") == "eql":
            found[rule["rule_id"]] = (path.name, eql.parse(rule["query"]))
    return found


def queries() -> dict[str, Query]:
    return dict(by_id().values())


def events() -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for name, query in queries().items():
        if isinstance(query, tree.Piped):
            nodes[name] = query.where
        elif not isinstance(query, tree.Sequence | tree.Sample):
            nodes[name] = query
    return nodes


def test_every_rule_is_read() -> None:
    assert len(queries()) == 509


def test_every_rule_survives_rendering() -> None:
    assert [
        name for name, query in queries().items() if eql.parse(eql.render(query)) != query
    ] == []


def test_nearly_every_event_query_is_asked_whole() -> None:
    compiled = {name: dsl.translate(node) for name, node in events().items()}
    whole = [name for name, one in compiled.items() if one.residual is None]
    assert len(whole) / len(compiled) >= 0.97


def test_no_rule_is_asked_in_vain() -> None:
    """No clause is folded away or of a type that its field cannot have."""
    nothing = [name for name, node in events().items() if "match_none" in str(dsl.translate(node))]
    assert nothing == []


def test_every_event_query_can_be_evaluated() -> None:
    document = {"event": {"category": ["process", "file"]}, "process.args": ["-i"]}
    for node in events().values():
        assert evaluate.matches(node, document) in {True, False}
