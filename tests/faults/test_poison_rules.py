"""Rules made to break an engine, among fifty good ones: only they fail, and never for good."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.errors import TimedOut
from detector.language import functions, tree
from detector.language.functions import Function
from detector.model import Answer, Checkpoint, Failure, Question, Rule, RunRecord, Search
from detector.run import cycle
from detector.run.backoff import LONGEST, Backoff
from detector.store import connection, scratch
from detector.store.base import Store
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore
from tests.builders import INDEX, SHELL, TERMS, make_rule, shell_event, stored
from tests.faults import proxy
from tests.faults.proxy import Fault, Proxy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TURN = timedelta(minutes=5)
GOOD = [make_rule(rule_id=f"good-{n}") for n in range(50)]
EVENTS = 3
ALERTS = "alerts-detector-default"


def many(clauses: int) -> str:
    return "process where " + " or ".join(f'process.name : "{n}*"' for n in range(clauses))


def raising(values: Sequence[functions.Value], _any_case: bool) -> functions.Value:
    if values[0] == "cursed":
        raise RuntimeError("this cannot be computed")
    return True


CURSED = tree.Holds(tree.Call("cursed", (tree.Field("process.name"),)))
BAD = {
    "no such query": make_rule(rule_id="no such query", where=tree.Sent('{"no_such":{}}')),
    "too complex": make_rule('process where process.name regex ".*b.{20}"', rule_id="too complex"),
    "too many clauses": make_rule(many(12_000), rule_id="too many clauses"),
    "residual raises": make_rule(rule_id="residual raises", where=CURSED, index=("logs-cursed",)),
    "no such function": make_rule(
        rule_id="no such function", where=tree.Holds(tree.Call("never heard of", ()))
    ),
    "no such type": make_rule(rule_id="no such type", type="never heard of"),
}
"""The first makes Elasticsearch refuse a request as a whole, whatever else is asked in it."""

LONG = make_rule(many(2_682), rule_id="long")
SLOW = make_rule(f"{SHELL} and process.pid != 4711", rule_id="slow")


@pytest.fixture
def ready(es: Elasticsearch, installed: ElasticStore) -> Elasticsearch:
    scratch.fill(installed, stored(some_events()))
    cursed = [event | {"process": {"name": "cursed"}} for event in some_events(30)]
    scratch.fill(installed, stored(cursed, "logs-cursed"))
    return es


@pytest.fixture(autouse=True)
def cursed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the language that cannot be computed for one value."""
    function = Function("cursed", 1, 1, raising, condition=True)
    monkeypatch.setitem(functions.BY_NAME, "cursed", function)


def some_events(count: int = EVENTS) -> list[dict[str, Any]]:
    return [shell_event(NOW - timedelta(seconds=n + 1)) for n in range(count)]


def engine(url: str, limit: float = 30, **options: Any) -> ElasticStore:
    client = connection.connect(url, request_timeout=limit)
    return ElasticStore(client, "default", patience=Patience(0.01, 0.1, 1.0), **options)


@dataclass(slots=True)
class Daemon:
    """What a daemon keeps between its cycles, without its clock and threads."""

    store: Store
    rules: Sequence[Rule]
    turns: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    begun: dict[str, Checkpoint] = field(default_factory=dict)

    def cycle(self) -> dict[str, RunRecord]:
        """One cycle, five minutes after the last one; the last run of each rule, in their order."""
        now = NOW + self.turns * TURN
        self.turns += 1
        report = cycle.run(
            self.store,
            self.rules,
            now,
            TERMS,
            clock=lambda: now,
            begun=self.begun,
            backoff=self.backoff,
        )
        return {record.rule_id: record for record in report.runs}


def ids(rules: Iterable[Rule]) -> list[str]:
    return [rule.rule_id for rule in rules]


def alerted(es: Elasticsearch, rule_id: str) -> int:
    es.indices.refresh(index=ALERTS)
    query = {"term": {"kibana.alert.rule.rule_id": rule_id}}
    return int(es.count(index=ALERTS, query=query)["count"])


@pytest.mark.node
@pytest.mark.usefixtures("ready")
def test_rules_that_cannot_run_fail_alone(node_url: str) -> None:
    rules = [*GOOD[:25], *BAD.values(), LONG, *GOOD[25:]]
    records = Daemon(engine(node_url), rules).cycle()
    failed = {id_: record for id_, record in records.items() if record.status == "failed"}
    assert failed.keys() == BAD.keys()
    assert {records[id_].alerts_created for id_ in ids(GOOD)} == {EVENTS}
    assert "no_such" in str(failed["no such query"].error)
    assert "this cannot be computed" in str(failed["residual raises"].error)
    for record in failed.values():
        assert any("not asked again for 1 turn" in warning for warning in record.warnings)


@pytest.mark.node
def test_rules_that_cannot_run_are_asked_again_after_growing_pauses_and_never_given_up(
    ready: Elasticsearch, node_url: str
) -> None:
    bad = BAD["no such query"]
    daemon = Daemon(engine(node_url), [bad, *GOOD[:3]])
    asked = [bad.rule_id in daemon.cycle() for _ in range(8)]
    assert asked == [True, False, True, False, False, True, False, False]
    mended = make_rule(rule_id=bad.rule_id, hash="another")
    daemon.rules = [mended, *GOOD[:3]]
    daemon.cycle()
    assert alerted(ready, bad.rule_id) == EVENTS, "its window began where it was last recorded"
    assert alerted(ready, GOOD[0].rule_id) == EVENTS


@pytest.mark.node
def test_a_rule_the_cluster_is_never_done_with_holds_the_others_up_once(
    ready: Elasticsearch, between: Proxy
) -> None:
    """Every request that asks for it is left without an answer, as when no query can be ended."""
    hang = Fault("_msearch", proxy.hang(3), 1_000, body=lambda sent: b"4711" in sent)
    between.inject(hang)
    rules = [*GOOD[:5], SLOW, *GOOD[5:10]]
    daemon = Daemon(engine(between.url, limit=2), rules)
    first = daemon.cycle()
    assert first["slow"].status == "failed"
    assert "did not answer in time" in str(first["slow"].error)
    assert {first[id_].alerts_created for id_ in ids(GOOD[:10])} == {EVENTS}
    assert "slow" not in daemon.cycle()
    hits = hang.hits
    third = daemon.cycle()
    assert list(third)[-1] == "slow", "it is asked when the others are done"
    assert hang.hits - hits == 1
    between.heal()
    later = [daemon.cycle() for _ in range(4)]
    assert later[-1]["slow"].status == "succeeded"
    assert alerted(ready, "slow") == EVENTS


@pytest.mark.node
@pytest.mark.usefixtures("ready")
def test_a_slow_search_is_ended_by_the_cluster_and_only_its_own_window_is_open(
    node_url: str,
) -> None:
    chance = Random(7)
    events = [event | {"process": {"name": word(chance, 40)}} for event in some_events(300)]
    for event in events:
        event["process"]["args"] = [word(chance, 40) for _ in range(60)]
    scratch.fill(engine(node_url), stored(events, "logs-cloud_defend.slow-default"))
    clauses = (f'process.args : "*{word(chance, 1)}*{word(chance, 1)}*{n}"' for n in range(800))
    slow = make_rule(f"process where {' or '.join(clauses)}", rule_id="slow")
    daemon = Daemon(engine(node_url, search_timeout=0.2), [slow, *GOOD[:5]])
    began = time.monotonic()
    records = daemon.cycle()
    assert records["slow"].error == "the search timed out before it was finished"
    assert {records[id_].alerts_created for id_ in ids(GOOD[:5])} == {EVENTS}
    assert "slow" not in daemon.cycle()
    assert time.monotonic() - began < 20


@pytest.mark.node
@pytest.mark.usefixtures("ready")
def test_a_cluster_that_answers_nobody_in_time_is_no_rules_fault(
    between: Proxy,
) -> None:
    between.inject(Fault("_msearch", proxy.hang(3), 1_000))
    daemon = Daemon(engine(between.url, limit=2), GOOD[:2])
    assert {record.status for record in daemon.cycle().values()} == {"failed"}
    between.heal()
    assert {record.alerts_created for record in daemon.cycle().values()} == {EVENTS}


class Unanswering(MemoryStore):
    """Lists whose search of `logs-slow` never ends; `asked` are the indices of each request."""

    def __init__(self) -> None:
        super().__init__(stored(some_events()))
        self.asked: list[set[str]] = []
        self.slow = True

    def search(self, questions: Sequence[Question]) -> list[Answer]:
        indices = [one.index[0] for one in questions if isinstance(one, Search)]
        self.asked += [set(indices)] if indices else []
        answers = super().search(questions)
        late = Failure(TimedOut("no answer came in time"))
        slow = [self.slow and index == "logs-slow" for index in indices]
        return [late if ends else one for ends, one in zip(slow, answers, strict=True)]


def test_a_suspected_rule_is_asked_when_the_others_are_done_until_it_succeeds() -> None:
    store, slow = Unanswering(), make_rule(rule_id="slow", index=("logs-slow",))
    good = GOOD[0].index[0]
    daemon = Daemon(store, [slow, *GOOD[:2]])
    for asked in ([{"logs-slow", good}], [{good}], [{good}, {"logs-slow"}]):
        store.asked.clear()
        records = daemon.cycle()
        assert store.asked == asked
        assert {records[id_].status for id_ in ids(GOOD[:2])} == {"succeeded"}
    store.slow = False
    while "slow" not in daemon.cycle():
        assert daemon.turns < 10
    store.asked.clear()
    daemon.cycle()
    assert store.asked[0] == {"logs-slow", good}, "what was is forgotten"


def test_a_document_the_condition_cannot_be_evaluated_for_is_a_dead_letter() -> None:
    events = some_events()
    events[1]["process"]["name"] = "cursed"
    store = MemoryStore(stored(events))
    daemon = Daemon(store, [make_rule(where=CURSED)])
    for _ in range(2):
        (record,) = daemon.cycle().values()
        assert record.status == "partial failure"
        assert "1 matches are kept as dead letters" in record.warnings[0]
        (letter,) = store.letters.values()
    assert "cannot be computed" in letter.reason
    assert letter.events == ((INDEX, "doc-1"),)
    assert len(store.alerts) == EVENTS - 1


def test_a_document_no_alert_can_be_made_of_is_a_dead_letter() -> None:
    class Cursed(dict[str, Any]):
        def items(self) -> Any:
            raise ArithmeticError("this cannot be copied")

    events = some_events()
    events[1]["host"] = Cursed(events[1]["host"])
    store = MemoryStore(stored(events))
    daemon = Daemon(store, GOOD[:1])
    assert daemon.cycle()["good-0"].alerts_created == EVENTS - 1
    daemon.cycle()
    (letter,) = store.letters.values()
    assert "cannot be copied" in letter.reason
    assert letter.document == events[1]


def test_a_rule_no_alerts_can_be_made_of_fails_when_it_is_not_the_documents() -> None:
    store = MemoryStore(stored(some_events(150)))
    rule = make_rule(risk_score=float("nan"), max_signals=1_000)
    daemon = Daemon(store, [rule, *GOOD[:1]])
    records = daemon.cycle()
    assert records[rule.rule_id].status == "failed"
    assert "too many matches cannot be made alerts" in str(records[rule.rule_id].error)
    assert records["good-0"].alerts_created == 100
    assert rule.rule_id not in daemon.cycle()


def test_pauses_grow_to_a_limit_and_end_with_a_success() -> None:
    rule, backoff = make_rule(), Backoff()
    pauses = [backoff.failed(rule) for _ in range(6)]
    assert pauses == [1, 2, 4, 8, LONGEST, LONGEST]
    assert [len(backoff.due([rule])) for _ in range(LONGEST + 1)] == [0] * LONGEST + [1]
    assert backoff.suspected(rule)
    backoff.succeeded(rule)
    assert not backoff.suspected(rule)
    assert backoff.failed(rule) == 1


def test_a_rule_that_was_changed_is_asked_at_once() -> None:
    backoff = Backoff()
    backoff.failed(make_rule(hash="old"))
    changed = make_rule(hash="new")
    assert backoff.due([changed]) == [changed]


def word(chance: Random, length: int) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=length))
