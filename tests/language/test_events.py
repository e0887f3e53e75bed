"""Events made from the text of Elastic's rules by another tool, asked of every rule."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from detector.language import dsl, evaluate, tree
from detector.language.tree import Node
from tests.language import shared, test_corpus

MISREAD = {
    "execution_forbidden_creation_request.toml": "backquotes taken for a part of the name",
    "privilege_escalation_sensitive_rbac_change_followed_by_workload_modification.toml": "the same",
    "defense_evasion_user_or_group_deletion.toml": "one value where the list has to hold two",
    "privilege_escalation_suspicious_chown_fowner_elevation.toml": "`in` taken to know wildcards",
}
"""Rules that the other tool has read wrongly."""

STAND_INS = {
    "match_only_text": "text",
    "wildcard": "keyword",
    "constant_keyword": "keyword",
    "scaled_float": "double",
}
"""Types that the embedded node lacks."""


def generated() -> list[dict[str, Any]]:
    shared.needed("events")
    return [one for one in shared.lines("events/generated.ndjson") if one["language"] == "eql"]


def steps(query: tree.Query) -> list[Node]:
    """The condition of each event that the tool has made for a query."""
    if isinstance(query, tree.Sequence | tree.Sample):
        return [step.where for step in query.steps for _ in range(step.runs) if not step.absent]
    return list(tree.conditions(query))


def test_the_events_of_a_rule_match_it() -> None:
    missed: set[str] = set()
    rules = test_corpus.by_id()
    for one in generated():
        if one["rule_id"] not in rules:
            continue
        name, query = rules[one["rule_id"]]
        for where, source in zip(steps(query), one["docs"], strict=False):
            if not evaluate.matches(where, source):
                missed.add(name)
    assert missed == set(MISREAD)


def mapping() -> dict[str, Any]:
    """ECS as an index has it, for the fields that hold values."""
    text = (resources.files("detector") / "data" / "ecs_fields.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith(("#", "field"))]
    properties: dict[str, Any] = {}
    for name, type_, _, indexed in rows:
        parent, _, last = name.rpartition(".")
        body: dict[str, Any] = {"type": STAND_INS.get(type_, type_)}
        if type_ in {"object", "nested", "flattened"}:
            continue
        if type_ == "keyword":
            body["ignore_above"] = 1024
        if indexed == "false":
            body |= {"index": False, "doc_values": False}
        if parent in properties:
            properties[parent].setdefault("fields", {})[last] = body
        else:
            properties[name] = body
    return properties


@pytest.mark.node
@pytest.mark.slow
def test_the_node_and_the_evaluator_agree_on_every_rule_and_event(es: Elasticsearch) -> None:
    sources = [source for one in generated() for source in one["docs"]]
    keyword = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    es.indices.create(
        index="events",
        settings={"index.mapping.total_fields.limit": 6000},
        mappings={"dynamic_templates": [{"texts": keyword}], "properties": mapping()},
    )
    actions = [{"_index": "events", "_id": str(n), "_source": s} for n, s in enumerate(sources)]
    helpers.bulk(es, actions, refresh=True)
    nodes = [node for query in test_corpus.queries().values() for node in tree.conditions(query)]
    for node, compiled, found in asked(es, nodes):
        holds = evaluate.predicate(node)
        left = evaluate.predicate(compiled.residual or tree.Everything())
        meant = {number for number, source in enumerate(sources) if holds(source)}
        assert {number for number in found if left(sources[number])} == meant, compiled


def asked(es: Elasticsearch, nodes: list[Node]) -> Iterator[tuple[Node, dsl.Compiled, set[int]]]:
    """Each condition with its translation and the numbers of the documents the node finds."""
    for start in range(0, len(nodes), 50):
        part = nodes[start : start + 50]
        compiled = [dsl.translate(node) for node in part]
        searches: list[dict[str, Any]] = []
        for one in compiled:
            searches += [{"index": "events"}, {"size": 5000, "_source": False, "query": one.query}]
        answers = es.msearch(searches=searches)["responses"]
        for node, one, answer in zip(part, compiled, answers, strict=True):
            assert "error" not in answer, (one, answer)
            yield node, one, {int(hit["_id"]) for hit in answer["hits"]["hits"]}
