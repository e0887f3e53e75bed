"""One contract, every store that signs it: lists in memory and a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

import pytest
from elasticsearch import Elasticsearch

from detector import alerts
from detector.alerts import suppression
from detector.detect import query
from detector.language.tree import Equals, Node
from detector.model import (
    Alert,
    Alike,
    Backfilled,
    Bucket,
    Buckets,
    Change,
    Checkpoint,
    Document,
    Earlier,
    Match,
    Page,
    RunRecord,
    Search,
    Window,
)
from detector.store import scratch
from detector.store.base import Store
from detector.store.elastic import ElasticStore
from detector.store.memory import MemoryStore, Stored
from tests.builders import INDEX, NOW, TERMS, install, iso, make_rule, shell_event

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
        install(self.store)

    def add(self, documents: Iterable[Stored]) -> None:
        lines: list[Any] = []
        for document in documents:
            lines += [{"index": {"_index": document.index, "_id": document.id}}, document.source]
        assert not self._es.bulk(operations=lines, refresh=True)["errors"]


@pytest.fixture(params=["memory", pytest.param("elasticsearch", marks=pytest.mark.node)])
def signatory(request: pytest.FixtureRequest) -> Signatory:
    if request.param == "memory":
        return InMemory()
    es: Elasticsearch = request.getfixturevalue("es")
    on_elasticsearch = OnElasticsearch(es)
    scratch.template(on_elasticsearch.store, "events", ["logs-*"])
    return on_elasticsearch


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
        following = cast("Search | None", answer.next)
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
    saved = store.save_checkpoints([Checkpoint("r", NOW, waiting)])
    assert store.save_checkpoints([Checkpoint("r", NOW)]) == {}, "created by someone else"
    assert saved == store.checkpoints(["r"])
    read_back = store.checkpoints(["r", "never-ran"])
    assert set(read_back) == {"r"}
    assert (read_back["r"].end, read_back["r"].waiting) == (NOW, waiting)
    later = replace(read_back["r"], end=NOW + timedelta(minutes=5))
    saved = store.save_checkpoints([later])
    assert store.save_checkpoints([later]) == {}, "its version is spent"
    assert saved == store.checkpoints(["r"])


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
    assert isinstance(first.next, Search)
    assert len(read(other, ask())) == 3 * PAGE
    other.release()
    assert len(read(one, first.next)) == 2 * PAGE


def buckets(store: Store, question: Buckets) -> list[tuple[tuple[Any, ...], int]]:
    """Every page of buckets, as key and count."""
    found: list[tuple[tuple[Any, ...], int]] = []
    following: Buckets | None = question
    while following:
        (answer,) = store.search([following])
        assert isinstance(answer, Page), answer
        found += [(bucket.key, bucket.count) for bucket in answer.buckets]
        following = cast("Buckets | None", answer.next)
    store.release()
    return sorted(found, key=str)


def count_by(*by: str, query: str = "any where true", **changes: Any) -> Buckets:
    where = make_rule(query).where
    plain = Buckets("r", ("logs-*",), cast("Node", where), WINDOW, "event.ingested", by=by)
    return replace(plain, **{"fallback": True} | changes)


def people(*documents: dict[str, Any]) -> list[Stored]:
    """Documents a second apart, the first five seconds before the end."""
    return [
        Stored(INDEX, str(number), shell_event(at(seconds=5 - number * 0.5)) | one)
        for number, one in enumerate(documents)
    ]


CONDITIONS = [
    pytest.param("any where true", id="the store can say it all"),
    pytest.param("any where length(process.name) == 4", id="a residual is left"),
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_documents_are_counted_by_the_values_they_have(
    signatory: Signatory, condition: str
) -> None:
    signatory.add(
        people(
            {"user": {"name": "ann"}, "host": {"name": "a"}},
            {"user": {"name": ["ann", "bob"]}, "host": {"name": ["a", "b"]}},
            {"user": {"name": ["ann", "ann"]}, "host": {"name": "b"}},
            {"user": {"name": "bob"}, "host": {}},
            {"user": {}, "host": {"name": "a"}},
        )
    )
    store = signatory.store
    by_user = [(("ann",), 3), (("bob",), 2)]
    assert buckets(store, count_by("user.name", query=condition)) == by_user
    assert buckets(store, count_by("user.name", query=condition, least=3)) == by_user[:1]
    both = [(("ann", "a"), 2), (("ann", "b"), 2), (("bob", "a"), 1), (("bob", "b"), 1)]
    assert buckets(store, count_by("user.name", "host.name", query=condition)) == both
    assert buckets(store, count_by(query=condition)) == [((), 5)]
    assert buckets(store, count_by(query=condition, least=6)) == []
    only = Equals("host.name", "b")
    assert buckets(store, count_by("user.name", query=condition, among=only)) == [
        (("ann",), 2),
        (("bob",), 1),
    ]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_buckets_tell_their_first_and_last_time_by_whatever_field_has_it(
    signatory: Signatory, condition: str
) -> None:
    early = shell_event(at(minutes=4))
    del early["event"]["ingested"]
    outside = shell_event(at(minutes=7), ingested=at(minutes=1)) | {"host": {"name": "h"}}
    lying = shell_event(at(minutes=1), ingested=at(minutes=9))
    signatory.add([Stored(INDEX, str(n), one) for n, one in enumerate((early, outside, lying))])
    (answer,) = signatory.store.search([count_by(query=condition)])
    assert isinstance(answer, Page)
    assert answer.buckets == (Bucket((), 2, at(minutes=4), at(minutes=1)),)
    (answer,) = signatory.store.search([count_by("process.name", query=condition)])
    assert isinstance(answer, Page)
    assert answer.buckets == (Bucket(("bash",), 2, at(minutes=4), at(minutes=1)),)
    without = count_by(query=condition, fallback=False)
    assert buckets(signatory.store, without) == [((), 1)]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_many_buckets_come_in_pages(signatory: Signatory, condition: str) -> None:
    many = 25 * PAGE
    signatory.add(
        Stored(INDEX, str(n), shell_event(at(seconds=n + 1)) | {"user": {"name": f"u{n}"}})
        for n in range(many)
    )
    found = buckets(signatory.store, count_by("user.name", query=condition))
    assert len(found) == many
    assert {count for _, count in found} == {1}


@pytest.mark.parametrize(
    ("name", "values", "keys"),
    [
        ("source.ip", ["10.0.0.1", "::1"], ["10.0.0.1", "::1"]),
        ("process.pid", [12, "13"], [12, 13]),
        ("process.interactive", [True, "false"], [False, True]),
        ("user.name", ["x", "y" * 1025], ["x"]),
        ("process.start", ["2026-03-01T11:00:00Z"], ["2026-03-01T11:00:00.000Z"]),
    ],
)
def test_keys_are_told_alike_whatever_their_type(
    signatory: Signatory, name: str, values: list[Any], keys: list[Any]
) -> None:
    signatory.add(people({name: values}))
    found = [key for (key,), _ in buckets(signatory.store, count_by(name))]
    assert found == keys
    for key in found:
        assert buckets(signatory.store, count_by(among=Equals(name, key))) == [((), 1)]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("limit", [1, 3, 2 * PAGE, 100])
def test_a_limit_gives_the_oldest_and_no_more(
    signatory: Signatory, condition: str, limit: int
) -> None:
    events = [shell_event(at(seconds=100 - n)) for n in range(40)]
    for event in events[: PAGE + 5] if "length" in condition else ():
        event["process"]["name"] = "longer"
    signatory.add(Stored(INDEX, f"{n:02}", event) for n, event in enumerate(events))
    search = replace(query.searches(make_rule(condition), WINDOW)[0], limit=limit)
    (answer,) = signatory.store.search([search])
    signatory.store.release()
    assert isinstance(answer, Page)
    assert answer.next is None
    matching = [f"{n:02}" for n in range(40) if events[n]["process"]["name"] == "bash"]
    assert [document.id for document in answer.documents] == matching[:limit]


def test_what_alerts_have_said_is_told_by_key_and_span(signatory: Signatory) -> None:
    store = signatory.store
    said = [grouped_alert("k1", 5, 4), grouped_alert("k2", 3, 3), grouped_alert("k1", 9, 8)]
    store.write_alerts([*said, make_alert("no key")])
    asked = Earlier(make_rule().rule_id, WINDOW, ("k1", "k3"))
    assert told(store, asked) == {said[0].id: ("k1", at(minutes=5), at(minutes=4))}
    assert told(store, replace(asked, keys=("k1", "k2"))).keys() == {said[0].id, said[1].id}
    assert told(store, replace(asked, window=Window(at(minutes=4), NOW))).keys() == {said[0].id}
    assert told(store, replace(asked, window=Window(at(minutes=8), at(minutes=5)))).keys() == {
        said[2].id
    }, "the last moment of a span is inside it, the end of a window is not"
    assert told(store, replace(asked, rule_id="another")) == {}


def test_nothing_is_said_before_the_first_alert(signatory: Signatory) -> None:
    assert told(signatory.store, Earlier("r", WINDOW, ("k",))) == {}


def test_an_alert_says_what_it_stands_for_and_never_less(signatory: Signatory) -> None:
    store = signatory.store
    alert = suppressing_alert("k1", count=3, first=5, last=4)
    store.write_alerts([alert, make_alert("alone")])
    asked = Earlier(make_rule().rule_id, WINDOW, ("k1",), suppression=True)
    for count, first, last in [(7, 5, 2), (6, 5.5, 3), (7, 5, 2)]:
        store.change_alerts([change(alert, count, first, last), change(make_alert("no"), 1, 1, 1)])
    assert told(store, asked) == {alert.id: ("k1", at(minutes=5.5), at(minutes=2))}
    assert store.known([make_alert("no").id]) == frozenset()
    assert told(store, replace(asked, suppression=False)) == {}


def suppressing_alert(key: str, count: int, first: float, last: float) -> Alert:
    plain = make_alert(f"suppressing {key}")
    alike = Alike(key, (("host.name", ("a",)),), count, at(minutes=first), at(minutes=last))
    return replace(plain, document=plain.document | suppression.fields(alike), alike=alike)


def change(alert: Alert, count: int, first: float, last: float) -> Change:
    key = alert.alike.key if alert.alike else "k"
    alike = Alike(key, (("host.name", ("a",)),), count, at(minutes=first), at(minutes=last))
    return Change(alert.id, alert.index, suppression.changed(alike, NOW))


def told(store: Store, question: Earlier) -> dict[str, tuple[str, datetime, datetime]]:
    (answer,) = store.search([question])
    assert isinstance(answer, Page), answer
    return {one.id: (one.key, one.first, one.last) for one in answer.earlier}


def grouped_alert(key: str, first: float, last: float) -> Alert:
    plain = make_alert(f"{key} {first}")
    span = {"start": iso(at(minutes=first)), "end": iso(at(minutes=last))}
    group = {"detector.key": key, **{f"detector.span.{end}": t for end, t in span.items()}}
    return replace(plain, document=plain.document | group)
