"""The table of daemons: one contract in memory and on a real node; a state index from before it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from elasticsearch import Elasticsearch

from detector.errors import NotSetUp
from detector.model import Checkpoint, Leases, Member
from detector.store import indices, inspection, installation
from detector.store.base import LeaseTable
from detector.store.elastic import ElasticStore
from detector.store.leases import ElasticLeases
from detector.store.memory import MemoryLeases
from tests.builders import NOW, install

SECOND = timedelta(seconds=1)
ONE = Member("host:1:a", 7, "2:abc", (0, 1), "here", NOW)


def installed(es: Elasticsearch) -> ElasticStore:
    store = ElasticStore(es, "leases")
    install(store)
    return store


@pytest.fixture(params=["memory", pytest.param("elastic", marks=pytest.mark.node)])
def table(request: pytest.FixtureRequest) -> LeaseTable:
    if request.param == "memory":
        return MemoryLeases()
    return ElasticLeases(installed(request.getfixturevalue("es")), 5 * SECOND)


def test_nobody_has_written_yet(table: LeaseTable) -> None:
    assert table.read() == Leases()


def test_what_is_saved_is_read_back(table: LeaseTable) -> None:
    assert table.save(Leases((ONE, replace(ONE, id="b", shards=(), renewed=None))))
    read = table.read()
    assert read.members == (ONE, replace(ONE, id="b", shards=(), renewed=None))
    assert table.save(replace(read, members=()))
    assert table.read().members == ()


def test_whoever_is_quicker_wins_and_the_other_is_told(table: LeaseTable) -> None:
    assert table.save(Leases((ONE,)))
    assert not table.save(Leases((ONE,))), "the first one, once more"
    read = table.read()
    assert table.save(read)
    assert not table.save(replace(read, members=()))
    assert table.read().members == (ONE,)


def test_of_many_that_save_at_once_one_wins_each_time(table: LeaseTable) -> None:
    won: list[int] = []

    def compete() -> None:
        for _ in range(10):
            read = table.read()
            beats = replace(ONE, beat=len(won))
            if table.save(replace(read, members=(*read.members, beats))):
                won.append(1)

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert won
    assert len(table.read().members) == len(won), "nobody's change is lost"


@pytest.mark.node
def test_the_table_is_no_checkpoint(es: Elasticsearch) -> None:
    store = installed(es)
    assert ElasticLeases(store, SECOND).save(Leases((ONE,)))
    assert store.save_checkpoints([Checkpoint("r", NOW)])
    assert set(store.checkpoints(["r", "other"])) == {"r"}
    assert ElasticLeases(store, SECOND).read().members == (ONE,)


FIRST_STATE = {
    "rule_id": {"type": "keyword"},
    "end": {"type": "date"},
    "waiting": {"properties": {"start": {"type": "date"}, "end": {"type": "date"}}},
    "updated": {"type": "date"},
}
"""What the first version made."""


@pytest.mark.node
@pytest.mark.parametrize(
    "write",
    [
        lambda store: ElasticLeases(store, SECOND).save(Leases((ONE,))),
        lambda store: store.save_checkpoints([Checkpoint("r", NOW)]),
    ],
    ids=["leases", "checkpoints"],
)
def test_an_older_state_index_is_said_and_renewed_by_setup(
    es: Elasticsearch, write: Callable[[ElasticStore], object]
) -> None:
    store = ElasticStore(es, "leases")
    mappings = {"dynamic": "strict", "_meta": {"schema": 1}, "properties": FIRST_STATE}
    es.indices.create(index=store.names.state, mappings=mappings)
    old = {"rule_id": "old", "end": "2026-03-01T11:00:00Z", "waiting": []}
    es.index(index=store.names.state, id="old", document=old)
    with pytest.raises(NotSetUp, match="older than this detector") as raised:
        write(store)
    assert "detector setup" in (raised.value.hint or "")
    said = [problem.message for problem in inspection.inspect(store, [])]
    assert f"the index {store.names.state} is older than this detector" in said
    done = install(store)
    assert ("index", store.names.state, "updated") in {(d.piece, d.name, d.done) for d in done}
    write(store)
    assert set(store.checkpoints(["old"])) == {"old"}
    again = install(store)
    assert {one.done for one in again} == {"unchanged", "skipped"}
    assert not installation.outdated(store)
    assert not [p for p in inspection.inspect(store, []) if "older" in p.message]


def test_times_of_members_are_written_in_utc() -> None:
    document = indices.leases(Leases((ONE,)), NOW)
    assert document["members"][0]["renewed"] == "2026-03-01T12:00:00.000000Z"
    assert indices.read_leases(document) == Leases((ONE,))
