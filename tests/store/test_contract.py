"""One contract, every store that signs it: lists in memory and a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.detect import query
from detector.model import (
    Alert,
    Backfilled,
    Checkpoint,
    Document,
    Match,
    Page,
    RunRecord,
    Search,
    Window,
)
from detector.store import installation
from detector.store.base import Store
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, make_rule, shell_event

WINDOW = Window(NOW - timedelta(minutes=6), NOW)
PAGE = 10


class Signatory(Protocol):
    """A store under test, and a way to put documents into it."""

    @property
    def store(self) -> Store: ...

    def add(self, documents: Iterable[Stored]) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.store = MemoryStore(page_size=PAGE)

    def add(self, documents: Iterable[Stored]) -> None:
        self.store.documents += documents


class OnElasticsearch:
    def __init__(self, es: Elasticsearch) -> None:
        self._es = es
        self.store = ElasticStore(es, "contract", page_size=PAGE)
        installation.install(self.store, alerts_template)

    def add(self, documents: Iterable[Stored]) -> None:
        lines: list[Any] = []
        for document in documents:
            lines += [{"index": {"_index": document.index, "_id": document.id}}, document.source]
        assert not self._es.bulk(operations=lines, refresh=True)["errors"]


def alerts_template(lacking: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    return alerts.template("contract", missing_types=set(lacking))


@pytest.fixture(params=["memory", pytest.param("elasticsearch", marks=pytest.mark.node)])
def signatory(request: pytest.FixtureRequest) -> Signatory:
    if request.param == "memory":
        return InMemory()
    es: Elasticsearch = request.getfixturevalue("es")
    es.indices.put_index_template(
        name="cloud-defend",
        index_patterns=["logs-*"],
        template={
            "mappings": {
                "dynamic_templates": [
                    {"text": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}
                ],
                "properties": {
                    "@timestamp": {"type": "date"},
                    "event": {"properties": {"ingested": {"type": "date"}}},
                },
            }
        },
    )
    return OnElasticsearch(es)


def ask(*, lacking: bool = False) -> Search:
    return query.searches(make_rule(), WINDOW)[1 if lacking else 0]


def read(store: Store, search: Search) -> list[Document]:
    """Every page of a search."""
    documents: list[Document] = []
    following: Search | None = search
    while following:
        (answer,) = store.search([following])
        assert isinstance(answer, Page), answer
        documents += answer.documents
        following = answer.next
    store.release()
    return documents


def at(**before: float) -> datetime:
    return NOW - timedelta(**before)


def test_documents_come_oldest_first_over_all_pages(signatory: Signatory) -> None:
    signatory.add(
        Stored(INDEX, f"d{n}", shell_event(at(seconds=(n * 7) % 11 + 1))) for n in range(41)
    )
    documents = read(signatory.store, ask())
    assert len({document.id for document in documents}) == 41
    assert [d.time for d in documents] == sorted(d.time for d in documents)


def test_a_window_includes_its_start_and_not_its_end(signatory: Signatory) -> None:
    ms = timedelta(milliseconds=1)
    times = {"before": WINDOW.start - ms, "start": WINDOW.start, "last": NOW - ms, "end": NOW}
    signatory.add(Stored(INDEX, name, shell_event(time)) for name, time in times.items())
    assert [d.id for d in read(signatory.store, ask())] == ["start", "last"]


def test_a_search_without_a_field_sees_only_documents_that_lack_it(signatory: Signatory) -> None:
    lacking = shell_event(at(minutes=1))
    del lacking["event"]["ingested"]
    signatory.add(
        [Stored(INDEX, "has", shell_event(at(minutes=2))), Stored(INDEX, "lacks", lacking)]
    )
    assert [d.id for d in read(signatory.store, ask())] == ["has"]
    assert [d.id for d in read(signatory.store, ask(lacking=True))] == ["lacks"]


def test_a_residual_is_applied_before_the_page_is_handed_out(signatory: Signatory) -> None:
    rule = make_rule('process where length(process.name) == 4 and event.id != "x"')
    long = shell_event(at(minutes=1)) | {"process": {"name": "sleeper"}}
    signatory.add(
        [Stored(INDEX, "bash", shell_event(at(minutes=2))), Stored(INDEX, "sleeper", long)]
    )
    search = query.searches(rule, WINDOW)[0]
    assert [d.id for d in read(signatory.store, search)] == ["bash"]


def test_patterns_that_match_nothing_are_no_failure(signatory: Signatory) -> None:
    search = replace(ask(), index=("nothing-here-*",))
    (answer,) = signatory.store.search([search])
    assert isinstance(answer, Page)
    assert answer.documents == ()


def test_asked_fields_come_beside_the_source(signatory: Signatory) -> None:
    signatory.add([Stored(INDEX, "a", shell_event(at(minutes=1), event_id="e-1"))])
    search = replace(ask(), fields=("event.id", "host.name"))
    (document,) = read(signatory.store, search)
    assert document.fields["event.id"] == ["e-1"]
    assert document.fields["host.name"] == ["node-1"]


def make_alert(event_id: str) -> Alert:
    event = shell_event(at(minutes=1), event_id=event_id)
    match = Match((Document(INDEX, event_id, event, at(minutes=1)),), at(minutes=1))
    execution = replace(TERMS, space="contract").execution(NOW, NOW)
    return alerts.build(match, make_rule(), execution)


def test_an_alert_is_created_once_and_known_after_a_refresh(signatory: Signatory) -> None:
    first, second = make_alert("a"), make_alert("b")
    assert signatory.store.write_alerts([first]).created == {first.id}
    written = signatory.store.write_alerts([first, second])
    assert written.created == {second.id}
    assert written.existing == {first.id}
    signatory.store.refresh()
    assert signatory.store.known([first.id, second.id, "other"]) == {first.id, second.id}


def test_nothing_is_known_before_the_first_alert(signatory: Signatory) -> None:
    assert signatory.store.known(["a"]) == frozenset()


def test_a_checkpoint_that_is_no_longer_the_latest_is_refused(signatory: Signatory) -> None:
    store = signatory.store
    waiting = (Window(at(hours=2), at(hours=1)),)
    assert store.save_checkpoints([Checkpoint("r", NOW, waiting)]) == set()
    assert store.save_checkpoints([Checkpoint("r", NOW)]) == {"r"}, "created by someone else"
    read_back = store.checkpoints(["r", "never-ran"])
    assert set(read_back) == {"r"}
    assert (read_back["r"].end, read_back["r"].waiting) == (NOW, waiting)
    later = replace(read_back["r"], end=NOW + timedelta(minutes=5))
    assert store.save_checkpoints([later]) == set()
    assert store.save_checkpoints([later]) == {"r"}, "its version is spent"


def test_a_run_may_be_recorded_twice(signatory: Signatory) -> None:
    record = RunRecord("u", "r", "name", WINDOW, NOW, "succeeded", "live", matches=3)
    signatory.store.record_runs([record])
    signatory.store.record_runs([record])


def test_how_far_a_backfill_got_is_beside_the_checkpoint_and_can_be_forgotten(
    signatory: Signatory,
) -> None:
    store = signatory.store
    store.save_checkpoints([Checkpoint("r", NOW)])
    progress = Backfilled("r", "1a2b", NOW, (WINDOW, Window(NOW, at(minutes=-1))))
    store.save_backfilled([progress, replace(progress, rule_id="other")])
    assert store.backfilled(["r", "never"]) == {"r": progress}
    assert store.checkpoints(["r", "other"]).keys() == {"r"}
    store.save_backfilled([replace(progress, windows=())])
    store.save_backfilled([replace(progress, rule_id="never", windows=())])
    assert store.backfilled(["r", "never"]) == {}


def test_what_one_session_lets_go_of_another_still_holds(signatory: Signatory) -> None:
    signatory.add(
        Stored(INDEX, str(n), shell_event(at(minutes=1, seconds=n))) for n in range(3 * PAGE)
    )
    one, other = signatory.store.session(), signatory.store.session()
    (first,) = one.search([ask()])
    assert isinstance(first, Page)
    assert first.next
    assert len(read(other, ask())) == 3 * PAGE
    other.release()
    assert len(read(one, first.next)) == 2 * PAGE
