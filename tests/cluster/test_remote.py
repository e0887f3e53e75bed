"""Rules over two clusters: while a remote is away the others alert, and its events do later."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

import pytest
from elasticsearch import ApiError, Elasticsearch

from detector.model import RunRecord
from detector.run import cycle
from detector.store import connection, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, NOW, TERMS, install, make_rule, shell_event, stored
from tests.cluster import nodes
from tests.cluster.nodes import Node

pytestmark = pytest.mark.node

EVERYWHERE = ("a:logs-*", "logs-*")
PAGE = 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A cluster and the remote `a` that it knows."""
    with nodes.alone(tmp_path_factory.mktemp("remote"), "local", "a") as (local, remote):
        yield local, remote


@pytest.fixture(params=[True, False], ids=["skipped when away", "not to be skipped"])
def local(request: pytest.FixtureRequest, pair: tuple[Node, Node]) -> Iterator[ElasticStore]:
    """Give a store on the local cluster, set up; what tests write is gone afterwards."""
    here, remote = pair
    with here.client() as client, remote.client() as far:
        knows = {"seeds": [remote.seed], "skip_unavailable": request.param}
        settings = {f"cluster.remote.a.{key}": value for key, value in knows.items()}
        client.cluster.put_settings(persistent=settings)
        store = ElasticStore(
            connection.connect(here.url, request_timeout=10),
            "default",
            page_size=PAGE,
            patience=Patience(0.05, 0.2, 1),
        )
        install(store)
        for side in (client, far):
            scratch.template(ElasticStore(side, "default"), "events", ["logs-*"])
        yield store
        back(pair)
        for side in (client, far):
            for name in side.indices.get_alias(index="*", expand_wildcards="all"):
                side.indices.delete(index=name)


def back(pair: tuple[Node, Node]) -> None:
    """Start the remote, and wait until the other one has noticed."""
    here, remote = pair
    if remote.process is None:
        remote.start()
        nodes.wait_for(remote, nodes=1)
    deadline = time.monotonic() + nodes.LIMIT
    with here.client() as client:
        while time.monotonic() < deadline:
            with suppress(ApiError):
                if not client.search(index=["a:*", "*"], size=0)["_clusters"]["skipped"]:
                    return
            time.sleep(0.2)
    raise AssertionError("the clusters do not find each other")


def log(node: Node, *names: str) -> None:
    """Events of these ids, minutes before now."""
    events = [
        shell_event(NOW - timedelta(minutes=1, seconds=n), event_id=name)
        for n, name in enumerate(names)
    ]
    with node.client() as client:
        scratch.fill(ElasticStore(client, "default"), stored(events, INDEX))


def run(
    store: ElasticStore, patterns: Mapping[str, tuple[str, ...]], minutes: int = 0
) -> dict[str, RunRecord]:
    """A cycle of rules called by these names over these patterns; the live runs by name."""
    now = NOW + timedelta(minutes=minutes)
    rules = [make_rule(rule_id=name, index=index) for name, index in patterns.items()]
    runs = cycle.run(store, rules, now, TERMS, clock=lambda: now).runs
    return {record.rule_id: record for record in reversed(runs)}


def alerted(store: ElasticStore) -> dict[str, list[str]]:
    """The events that have alerted, by rule, each as often as it has."""
    client: Elasticsearch = store.client
    client.indices.refresh(index="alerts-detector-default", ignore_unavailable=True)
    found = client.search(index="alerts-detector-default", size=1_000, ignore_unavailable=True)
    by_rule: dict[str, list[str]] = {}
    for hit in found["hits"]["hits"]:
        source = hit["_source"]
        by_rule.setdefault(source["kibana.alert.rule.rule_id"], []).append(source["event"]["id"])
    return {rule: sorted(events) for rule, events in by_rule.items()}


def test_events_of_both_clusters_alert(local: ElasticStore, pair: tuple[Node, Node]) -> None:
    log(pair[0], "here-1", "here-2")
    log(pair[1], "there-1", "there-2")
    assert run(local, {"rule": EVERYWHERE})["rule"].status == "succeeded"
    assert alerted(local) == {"rule": ["here-1", "here-2", "there-1", "there-2"]}


def test_while_a_remote_is_away_the_others_alert_and_it_is_covered_later(
    local: ElasticStore, pair: tuple[Node, Node]
) -> None:
    patterns = {
        "named": EVERYWHERE,
        "any": ("*:logs-*", "logs-*"),
        "far": ("a:logs-*",),
        "near": ("logs-*",),
    }
    here, there = [[f"{at}-{n}" for n in range(PAGE + 2)] for at in ("here", "there")]
    log(pair[0], *here)
    log(pair[1], *there)
    run(local, patterns, -30)  # so that there are checkpoints to hold
    pair[1].kill()
    records = run(local, patterns)
    assert records["near"].status == "succeeded"
    for name in ("named", "any", "far"):
        assert records[name].error, records[name]
    assert alerted(local) == {"named": here, "any": here, "near": here}
    back(pair)
    records = run(local, patterns, 30)
    assert not any(record.error for record in records.values())
    both = here + there
    assert alerted(local) == {"named": both, "any": both, "far": there, "near": here}


def test_a_remote_nobody_has_configured_is_a_gap_and_no_silence(
    local: ElasticStore, pair: tuple[Node, Node]
) -> None:
    log(pair[0], "here")
    record = run(local, {"rule": ("nobody:logs-*", "logs-*")})["rule"]
    assert record.status == "partial failure"
    assert [gap.reason for gap in record.gaps] == ["no such remote cluster: nobody"]
    assert alerted(local) == {"rule": ["here"]}


def test_a_remote_that_hangs_does_not_hold_up_rules_that_never_ask_it(
    local: ElasticStore, pair: tuple[Node, Node]
) -> None:
    patterns = {"near": ("logs-*",), "far": ("a:logs-*",)}
    log(pair[0], "here")
    log(pair[1], "there")
    run(local, patterns, -30)
    hasty = ElasticStore(
        connection.connect(pair[0].url, request_timeout=2), "default", patience=Patience(0.1, 1, 1)
    )
    pair[1].pause()
    try:
        records = run(hasty, patterns)
    finally:
        pair[1].wake()
    assert (records["near"].status, records["far"].status) == ("succeeded", "failed")
    assert alerted(local) == {"near": ["here"]}
    assert not any(record.error for record in run(local, patterns, 30).values())
    assert alerted(local) == {"near": ["here"], "far": ["there"]}
