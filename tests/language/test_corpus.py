"""Elastic's own rules: all are read, and nearly all leave nothing to a residual."""

from __future__ import annotations

import tomllib
from functools import cache

from detector.language import dsl, eql, evaluate, kuery, tree
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


def kuery_queries() -> dict[str, str]:
    """Every KQL query of the corpus, indicators' included, by file and key."""
    found: dict[str, str] = {}
    for path in sorted(shared.needed("corpus").rglob("*.toml")):
        rule = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
        if rule.get("language") == "kuery":
            keys = [key for key in ("query", "threat_query") if key in rule]
            found |= {f"{path.name} {key}": rule[key] for key in keys}
    return found


def test_every_kuery_rule_is_read_and_asked_whole_but_for_names_with_wildcards() -> None:
    compiled = {name: dsl.translate(kuery.parse(text)) for name, text in kuery_queries().items()}
    assert len(compiled) == 371
    left = [one.residual for one in compiled.values() if one.residual is not None]
    assert len(left) <= 2
    assert all(any("*" in name for name in tree.fields_of(node)) for node in left)
