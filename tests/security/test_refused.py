"""Credentials that are refused, at the start and in the middle: said, not stormed, made up for."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.errors import Forbidden
from detector.model import Rule
from detector.run import cycle
from detector.run.cycle import Report
from detector.store import privileges
from detector.store.connection import Patience, connect
from detector.store.elastic import ElasticStore
from tests.builders import TERMS, install, make_rule, shell_event
from tests.security.node import Secured

pytestmark = pytest.mark.node
SPACE = "refused"
REQUESTS = logging.getLogger("elastic_transport.transport")


@dataclass(frozen=True, slots=True)
class Place:
    """A rule and an index of events of its own, with an event that alerts."""

    node: Secured
    admin: Elasticsearch
    space: str
    rule: Rule

    def key(self, without: str | None = None) -> tuple[str, str]:
        """Id and secret of a key of the least role, or of one that lacks a privilege."""
        names = ElasticStore(self.admin, self.space).names
        body = privileges.api_key(names, [self.rule])
        for grant in body["role_descriptors"][body["name"]]["indices"]:
            held = [
                name for name in grant["privileges"] if f"{name} {grant['names'][0]}" != without
            ]
            grant["privileges"] = held or ["none"]
        made = self.admin.security.create_api_key(**body)
        return made["id"], made["encoded"]

    def revoke(self, id_: str) -> None:
        self.admin.security.invalidate_api_key(ids=[id_])

    def store(self, key: str) -> ElasticStore:
        client = connect(self.node.url, ca_certs=str(self.node.ca), api_key=key)
        return ElasticStore(client, self.space, patience=Patience(budget=5))

    def alerts(self) -> int:
        index = f"alerts-detector-{self.space}"
        self.admin.indices.refresh(index=index)
        mine = {"term": {"kibana.alert.rule.rule_id": self.rule.rule_id}}
        return int(self.admin.count(index=index, query=mine)["count"])


@pytest.fixture(scope="module")
def admin(secured: Secured) -> Elasticsearch:
    client = secured.client()
    store = ElasticStore(client, SPACE)
    install(store)
    return client


@pytest.fixture
def place(secured: Secured, admin: Elasticsearch) -> Place:
    name = f"s{uuid.uuid4().hex[:8]}"
    index = f"events-{name}"
    keyword = [{"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}]
    admin.indices.create(index=index, mappings={"dynamic_templates": keyword})
    admin.index(index=index, document=shell_event(now() - timedelta(seconds=9)), refresh=True)
    return Place(secured, admin, SPACE, make_rule(rule_id=name, index=(index,)))


def now() -> datetime:
    return datetime.now(UTC)


def run(place: Place, store: ElasticStore, clock: Callable[[], datetime] | None = None) -> Report:
    terms = replace(TERMS, space=place.space)
    return cycle.run(store, [place.rule], now(), terms, clock=clock or now)


@pytest.fixture
def requests(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The requests that the client has made: what it logs of each."""
    with caplog.at_level(logging.INFO, REQUESTS.name):
        yield lambda: [r.getMessage() for r in caplog.records if r.name == REQUESTS.name]


def test_a_revoked_key_is_said_with_one_request_and_its_successor_goes_on(
    place: Place, requests: Callable[[], list[str]]
) -> None:
    id_, key = place.key()
    store = place.store(key)
    assert run(place, store).alerts_created == 1
    place.revoke(id_)
    before = len(requests())
    with pytest.raises(Forbidden, match="401") as raised:
        run(place, store)
    assert "SIGHUP" in str(raised.value.hint)
    assert key not in f"{raised.value} {raised.value.hint}"
    mine = [said for said in requests()[before:] if "status:401" in said]
    assert len(mine) == len(requests()[before:]) == 1
    place.admin.index(index=place.rule.index[0], document=shell_event(datetime.now(UTC)))
    place.admin.indices.refresh(index=place.rule.index[0])
    _, successor = place.key()
    store.connection.renew(ca_certs=str(place.node.ca), api_key=successor)
    report = run(place, store)
    assert (report.alerts_created, report.failed) == (1, False)
    assert place.alerts() == 2


@pytest.mark.parametrize("after", range(1, 4))
def test_a_key_that_is_revoked_during_a_cycle_holds_the_checkpoint(
    place: Place, requests: Callable[[], list[str]], after: int
) -> None:
    """The clock is asked after each step: the key is revoked there."""
    id_, key = place.key()
    store, asked = place.store(key), iter(range(100))

    def clock() -> datetime:
        if next(asked) == after:
            place.revoke(id_)
        return datetime.now(UTC)

    before = len(requests())
    report = run(place, store, clock)
    refused = [said for said in requests()[before:] if "status:401" in said]
    if report.failed:
        (record,) = report.runs
        assert "401" in str(record.error)
        assert 1 <= len(refused) <= 4
    _, successor = place.key()
    store.connection.renew(ca_certs=str(place.node.ca), api_key=successor)
    run(place, store)
    assert place.alerts() == 1


LACKING = [
    ("read events", "may not be read", "read {index}"),
    ("write alerts", "an alert was refused (403)", "create_doc alerts-detector-{space}"),
    ("create the month's index", "403", "auto_configure alerts-detector-{space}"),
    ("save state", "403", "index detector-state-{space}"),
]


@pytest.mark.parametrize(("_", "message", "without"), LACKING, ids=[row[0] for row in LACKING])
def test_a_missing_privilege_fails_the_run_and_a_better_key_makes_up_for_it(
    place: Place, requests: Callable[[], list[str]], _: str, message: str, without: str
) -> None:
    for index in place.admin.indices.get(index=f"alerts-detector-{SPACE}-*"):
        place.admin.indices.delete(index=index)  # so that the month's is to be made
    lacking = without.format(index=place.rule.index[0], space=place.space)
    store = place.store(place.key(without=lacking)[1])
    before = len(requests())
    report = run(place, store)
    assert report.failed
    assert message in str(report.runs[0].error)
    assert len(requests()) - before < 15
    letters = place.admin.count(index=f"detector-deadletter-{place.space}")["count"]
    assert letters == 0, "nothing is wrong with the alert"
    again = run(place, place.store(place.key()[1]))
    assert not again.failed
    assert place.alerts() == 1


def test_state_that_may_not_be_read_is_not_taken_for_missing(place: Place) -> None:
    store = place.store(place.key(without=f"read detector-state-{place.space}")[1])
    with pytest.raises(Forbidden, match="unauthorized"):
        run(place, store)


def test_other_rules_go_on_where_one_may_not_read_its_index(place: Place) -> None:
    """An item of a `_msearch` is refused alone."""
    place.admin.index(index=f"secret-{place.space}", document={"x": 1}, refresh=True)
    blind = replace(place.rule, rule_id="blind", index=(f"secret-{place.space}",))
    store = place.store(place.key()[1])
    terms = replace(TERMS, space=place.space)
    report = cycle.run(store, [place.rule, blind], now(), terms, clock=now)
    errors = {record.rule_id: record.error for record in report.runs}
    assert errors[place.rule.rule_id] is None
    assert "may not be read" in str(errors["blind"])
    assert report.alerts_created == 1


def test_one_of_several_patterns_that_may_not_be_read_is_a_warning_each_time(place: Place) -> None:
    _, key = place.key()
    index = (*place.rule.index, "elsewhere-*")
    both = replace(place, rule=make_rule(rule_id=place.rule.rule_id, index=index))
    for _ in range(2):
        (record,) = run(both, place.store(key)).runs
        assert record.status == "partial failure"
        assert any("elsewhere-* may not be read" in said for said in record.warnings)
    assert place.alerts() == 1
