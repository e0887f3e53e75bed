"""Three nodes, one of which dies while the engine is at work: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from detector.model import Checkpoint, Rule, Window
from detector.run import backfill, cycle
from detector.run.backfill import Manner
from detector.store import connection, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, NOW, TERMS, install, make_rule, shell_event, stored
from tests.cluster import nodes
from tests.cluster.nodes import Node

pytestmark = pytest.mark.node

EVENTS = 1_000
PAGE = 100
TRIES = 5


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, ...]]:
    """Three nodes with events; every index lies on two of them."""
    with nodes.together(tmp_path_factory.mktemp("trio"), "one", "two", "three") as made:
        store = store_on(made)
        install(store)
        scratch.template(store, "events", ["logs-*"])
        events = [
            shell_event(NOW - timedelta(milliseconds=100 * n + 1), event_id=f"event-{n}")
            for n in range(EVENTS)
        ]
        scratch.fill(store, stored(events, INDEX))
        yield made


def store_on(trio: tuple[Node, ...]) -> ElasticStore:
    """A store that knows all three addresses."""
    client = connection.connect(",".join(node.url for node in trio), request_timeout=10)
    return ElasticStore(client, "default", page_size=PAGE, patience=Patience(0.1, 2, 30))


def victim(store: ElasticStore, trio: tuple[Node, ...], role: str) -> Node:
    """The elected master, or a node that only holds data now; all are up and in step before."""
    nodes.wait_for(trio[0], nodes=len(trio), status="green")
    (elected,) = cast("list[dict[str, str]]", store.client.cat.master(format="json").body)
    is_master = {node.name: node.name == elected["node"] for node in trio}
    return next(node for node in trio if is_master[node.name] is (role == "master"))


def killing(node: Node, *, at: int) -> Callable[[], bool]:
    """What is asked between rounds; at the `at`-th the node dies."""
    rounds = 0

    def stopping() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == at:
            node.kill()
        return False

    return stopping


def one_cycle(store: ElasticStore, rule: Rule, dies: Callable[[], bool]) -> None:
    """Cycles until one has covered everything, as the daemon goes on."""
    begun: dict[str, Checkpoint] = {}
    for turn in range(TRIES):
        now = NOW + turn * rule.interval
        clock = partial(lambda time: time, now)
        report = cycle.run(store, [rule], now, TERMS, clock=clock, stopping=dies, begun=begun)
        if not report.failed:
            return
    raise AssertionError(f"no cycle covers its window: {report.runs}")


def one_backfill(store: ElasticStore, rule: Rule, dies: Callable[[], bool]) -> None:
    """A backfill, resumed until it has covered everything."""
    window = Window(NOW - timedelta(hours=1), NOW)
    for _ in range(TRIES):
        manner = Manner(workers=2, stopping=dies)
        report = backfill.run(store, [rule], window, TERMS, clock=lambda: NOW, manner=manner)
        if not report.failed:
            return
    raise AssertionError(f"the backfill does not end: {report.runs}")


def alerted(store: ElasticStore, rule: Rule) -> list[str]:
    store.refresh()
    query = {"term": {"kibana.alert.rule.rule_id": rule.rule_id}}
    found: Any = store.call(
        lambda: store.client.search(
            index="alerts-detector-default", query=query, size=10_000, source_includes=["event.id"]
        )
    )
    return sorted(hit["_source"]["event"]["id"] for hit in found["hits"]["hits"])


@pytest.mark.parametrize("role", ["master", "data node"])
@pytest.mark.parametrize("work", [one_cycle, one_backfill], ids=["cycle", "backfill"])
def test_a_node_that_dies_costs_no_alert_and_doubles_none(
    trio: tuple[Node, ...], work: Callable[..., None], role: str
) -> None:
    store = store_on(trio)
    dying = victim(store, trio, role)
    rule = make_rule(rule_id=f"{work.__name__} {role}", max_signals=10 * EVENTS)
    work(store, rule, killing(dying, at=4))
    assert dying.process is None, "the node did not die in the middle"
    assert alerted(store, rule) == sorted(f"event-{n}" for n in range(EVENTS))
    dying.start()
