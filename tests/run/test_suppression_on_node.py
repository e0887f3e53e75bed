"""Suppression on a real Elasticsearch: the alerts of lists, and updates beside other people's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

import pytest
from elasticsearch import Elasticsearch

from detector.errors import Unavailable
from detector.model import Change, Checkpoint, Rule, Suppression, Window
from detector.run import backfill, cycle
from detector.store import scratch
from detector.store.base import Store
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, install, make_rule, shell_event
from tests.run.stepwise import new_terms_rule, threshold_rule

pytestmark = pytest.mark.node
ANY = "any where true"
STATUS, TAGS = "kibana.alert.workflow_status", "kibana.alert.workflow_tags"
SAID = ("start", "end", "docs_count", "terms")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def suppressing(rule: Rule, *by: str, lasts: float = 30, missing: bool = True) -> Rule:
    return replace(rule, suppression=Suppression(by, minutes(lasts), missing))


BASH = 'any where process.name == "bash"'
SEQUENCE = f"sequence by user.name with maxspan=2m [{BASH}] [any where true]"
RULES = [
    suppressing(make_rule(ANY, rule_id="user"), "user.name"),
    suppressing(make_rule(ANY, rule_id="two"), "host.name", "process.pid", lasts=7),
    suppressing(make_rule(ANY, rule_id="missing"), "source.ip"),
    suppressing(make_rule(ANY, rule_id="alone"), "source.ip", missing=False),
    suppressing(make_rule("any where length(process.name) == 4", rule_id="residual"), "user.name"),
    suppressing(make_rule(SEQUENCE, rule_id="sequence"), "user.name"),
    suppressing(replace(threshold_rule(value=3), rule_id="threshold"), "user.name"),
    suppressing(replace(new_terms_rule(), rule_id="new"), "host.name"),
]


def event(number: float, name: Any = "ann", **more: Any) -> Stored:
    time = NOW + minutes(number)
    source = shell_event(time, event_id=f"e{number:g}") | {"user": {"name": name}} | more
    return Stored(INDEX, f"e{number:g}", source)


def events() -> list[Stored]:
    """Three quarters of an hour of people, hosts and addresses, a seventh of it twice."""
    made = []
    for number in range(60):
        process = {"pid": number % 2, "name": "bash" if number % 4 else "python"}
        more = {} if number % 3 else {"source": {"ip": f"10.0.0.{number % 2}"}}
        names = [f"u{number % 3}", "u0"][: 1 + number % 2]
        host = {"name": f"h{number % 2}"}
        made.append(event(number * 0.75, names, process=process, host=host, **more))
    return [*made, *(replace(one, id=f"copy-{one.id}") for one in made[::7])]


@pytest.fixture
def store(es: Elasticsearch) -> Iterator[ElasticStore]:
    store = ElasticStore(es, "default", page_size=20)
    install(store)
    scratch.template(store, "events", ["logs-cloud_defend*"])
    yield store


def documents(store: Store) -> dict[str, dict[str, Any]]:
    """All alerts by id."""
    if isinstance(store, MemoryStore):
        return {one.id: one.document for one in store.alerts.values()}
    assert isinstance(store, ElasticStore)
    store.refresh()
    hits = store.client.search(index=store.names.alerts, size=1_000)["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def said(store: Store) -> dict[str, list[Any]]:
    return {
        id_: [one.get(f"kibana.alert.suppression.{name}") for name in SAID]
        for id_, one in documents(store).items()
        if "kibana.alert.group.index" not in one
    }


def once(store: Store, rules: list[Rule], minute: float) -> cycle.Report:
    now = NOW + minutes(minute)
    return cycle.run(store, rules, now, TERMS, clock=lambda: now)


def test_elasticsearch_makes_the_alerts_of_lists_live_and_in_a_backfill(
    store: ElasticStore,
) -> None:
    lists = MemoryStore(events())
    scratch.fill(store, events())
    for minute in range(0, 60, 5):
        for one in (lists, store):
            report = once(one, RULES, minute)
            assert [run.error for run in report.runs if run.error] == []
    assert said(store) == said(lists)
    before = said(store)
    assert {len(before) > len(RULES), any(one[2] for one in before.values())} == {True}
    window, later = Window(NOW, NOW + minutes(55)), NOW + minutes(60)
    report = backfill.run(store, RULES, window, TERMS, clock=lambda: later)
    assert [run.error for run in report.runs if run.error] == []
    assert said(store) == before, "a backfill over the same time adds nothing"


class Disturbed(ElasticStore):
    """Somebody tags each alert in between its being read and its being written."""

    left = 3

    @classmethod
    def of(cls, store: ElasticStore) -> Self:
        disturbed = cls(store.client, "default")
        bulk = store.client.bulk

        def interfering(**request: Any) -> Any:
            (first, *_) = request["operations"]
            if isinstance(first, dict) and "update" in first and disturbed.left:
                disturbed.left -= 1
                target = {"index": first["update"]["_index"], "id": first["update"]["_id"]}
                store.client.update(**target, doc={TAGS: [f"tag {disturbed.left}"]})
            return bulk(**request)

        disturbed.connection.client.bulk = interfering  # type: ignore[method-assign]
        return disturbed


def test_what_people_do_to_an_alert_at_the_same_time_stays(
    store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = suppressing(make_rule(ANY), "user.name")
    scratch.fill(store, [event(1)])
    once(store, [rule], 5)
    ((id_, alert),) = documents(store).items()
    index = f"{store.names.alerts}-2026.03"
    store.client.update(index=index, id=id_, doc={STATUS: "acknowledged"})
    scratch.fill(store, [event(6), event(7)])
    monkeypatch.setattr(store.client, "bulk", store.client.bulk)
    disturbed = Disturbed.of(store)
    report = once(disturbed, [rule], 10)
    assert ([run.error for run in report.runs], disturbed.left) == ([None], 0)
    after = documents(store)[id_]
    changed = {name for name, value in after.items() if alert.get(name) != value}
    assert changed == {
        "kibana.alert.last_detected",
        "kibana.alert.suppression.docs_count",
        "kibana.alert.suppression.end",
        STATUS,
        TAGS,
    }
    assert (after[STATUS], after[TAGS]) == ("acknowledged", ["tag 0"])
    assert after["kibana.alert.suppression.docs_count"] == 2


def test_a_closed_alert_takes_no_more(store: ElasticStore) -> None:
    rule = suppressing(make_rule(ANY), "user.name")
    scratch.fill(store, [event(1), event(2)])
    once(store, [rule], 5)
    (id_,) = documents(store)
    index = f"{store.names.alerts}-2026.03"
    store.client.update(index=index, id=id_, doc={STATUS: "closed"})
    scratch.fill(store, [event(6), event(7)])
    once(store, [rule], 10)
    assert sorted(one[2] for one in said(store).values()) == [1, 1]
    assert documents(store)[id_][STATUS] == "closed"


class Crash(BaseException):
    pass


class Dying(ElasticStore):
    """It dies after its alerts are written, before the checkpoint is."""

    dies_at = ""

    def change_alerts(self, changes: Sequence[Change]) -> None:
        super().change_alerts(changes)
        if self.dies_at == "change":
            raise Crash

    def save_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
        if self.dies_at == "save":
            raise Crash
        return super().save_checkpoints(checkpoints)


@pytest.mark.parametrize("dies_at", ["change", "save"])
def test_a_crash_before_the_checkpoint_counts_nothing_twice(
    store: ElasticStore, dies_at: str
) -> None:
    rule, dying = suppressing(make_rule(ANY), "user.name"), Dying(store.client, "default")
    scratch.fill(store, [event(1), event(2)])
    once(dying, [rule], 5)
    scratch.fill(store, [event(6), event(7)])
    dying.dies_at = dies_at
    with pytest.raises(Crash):
        once(dying, [rule], 10)
    once(store, [rule], 10)
    once(store, [rule], 15)
    assert [one[2] for one in said(store).values()] == [3]


def test_an_alert_that_is_not_there_is_left_out_and_a_block_is_said(store: ElasticStore) -> None:
    rule = suppressing(make_rule(ANY), "user.name")
    scratch.fill(store, [event(1)])
    once(store, [rule], 5)
    (id_,) = documents(store)
    index = f"{store.names.alerts}-2026.03"
    fields = {
        "kibana.alert.instance.id": "k",
        "kibana.alert.suppression.start": "2026-03-01T12:00:00.000Z",
        "kibana.alert.suppression.end": "2026-03-01T12:00:00.000Z",
        "kibana.alert.suppression.docs_count": 9,
    }
    store.change_alerts([Change("no", index, fields), Change("no", f"{index}x", fields)])
    store.client.indices.put_settings(index=index, settings={"index.blocks.write": True})
    try:
        with pytest.raises(Unavailable):
            store.change_alerts([Change(id_, index, fields)])
    finally:
        store.client.indices.put_settings(index=index, settings={"index.blocks.write": None})
