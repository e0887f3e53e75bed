"""Searches of many rules as one: the answers are those of each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.language import eql, tree
from detector.model import Answer, Failure, Page, Search, Window
from detector.store import joint, scratch
from detector.store.connection import Patience
from detector.store.elastic import ElasticStore
from tests.builders import NOW, shell_event, stored
from tests.node.listening import Listening

pytestmark = pytest.mark.node

WINDOW = Window(NOW - timedelta(minutes=6), NOW)
MOST = 8
BROKEN = tree.Sent('{"query_string":{"query":"process.name:("}}')
NOISE, FEW = 2 * joint.HITS, 3


def searches(wheres: Sequence[str | tree.Node], **changes: Any) -> list[Search]:
    common: dict[str, Any] = {
        "index": ("logs-cloud_defend*",),
        "window": WINDOW,
        "time_field": "event.ingested",
        "fields": ("event.id",),
    }
    return [
        Search(rule_id=f"rule-{number}", where=condition(where), **common | changes)
        for number, where in enumerate(wheres)
    ]


def condition(where: str | tree.Node) -> tree.Node:
    if not isinstance(where, str):
        return where
    parsed = eql.parse(f"any where {where}")
    assert not isinstance(parsed, tree.Piped | tree.Sequence | tree.Sample)
    return parsed


def named(*names: str) -> list[str]:
    return [f'process.name == "{name}"' for name in names]


QUIET = named(*(f"absent{number}" for number in range(20)))
NOISY = 'process.name : "nois*"'


def at(where: str | tree.Node, *positions: int) -> list[str | tree.Node]:
    """The quiet ones, but for some."""
    return [where if n in positions else quiet for n, quiet in enumerate(QUIET)]


@pytest.fixture
def store(es: Elasticsearch) -> ElasticStore:
    store = joined(es)
    names = ["noise"] * NOISE + ["few"] * FEW
    sources = [
        shell_event(NOW - timedelta(seconds=1 + n % 300), event_id=f"{n:04}")
        | {"process": {"name": name, "args": [name, "-i"]}}
        for n, name in enumerate(names)
    ]
    scratch.template(store, "logs-cloud_defend", ["logs-cloud_defend*"])
    scratch.fill(store, stored(sources))
    return store


def joined(es: Elasticsearch, most: int = MOST) -> ElasticStore:
    patience = Patience(0.01, 0.01, 0.05)
    return ElasticStore(es, "default", rules_per_search=most, patience=patience)


def plain(answers: Sequence[Answer]) -> list[Any]:
    """Without what a search took."""
    return [
        str(one.error) if isinstance(one, Failure) else replace(one, took_ms=0) for one in answers
    ]


CASES = [
    pytest.param(QUIET, {}, [3], [3], id="nobody"),
    pytest.param(QUIET[:1], {}, [1], [1], id="a rule alone"),
    pytest.param(at(named("few")[0], 4), {}, [3, 1], [3, 1], id="one has a match"),
    pytest.param(at(named("few")[0], 1, 9, 19), {}, [3, 3], [3, 3], id="one of each"),
    pytest.param(at(NOISY, 4), {}, [3, 8], [3, 1], id="one has so many that others may be hidden"),
    pytest.param(at(BROKEN, 4), {}, [3, 8], [3, 1], id="one is refused"),
    pytest.param(
        QUIET, {"index": ("logs-cloud_defend*", "logs-none")}, [3], [3], id="two patterns"
    ),
    pytest.param(QUIET, {"index": ("logs-none",)}, [3], [3], id="no index"),
    pytest.param(QUIET, {"without": "event.id"}, [3], [3], id="events without a field"),
    pytest.param(at(NOISY, 4), {"limit": 5}, [20], [20], id="only the first are wanted"),
    pytest.param(QUIET, {"index": ("far:logs-*",)}, [20], [20], id="a remote cluster"),
    pytest.param(
        at('length(process.name) == 3 and process.name : "f*"', 0, 1),
        {},
        [3, 2],
        [3, 2],
        id="what is left to check",
    ),
]


@pytest.mark.parametrize(("wheres", "changes", "first", "then"), CASES)
def test_answers_are_those_of_each_by_itself(  # noqa: PLR0917 - a row of the table
    es: Elasticsearch,
    store: ElasticStore,
    wheres: list[str | tree.Node],
    changes: dict[str, Any],
    first: list[int],
    then: list[int],
) -> None:
    asked = searches(wheres, **changes)
    expected = plain(joined(es, 1).search(asked))
    for counts in (first, then):
        with Listening(es) as heard:
            assert plain(store.search(asked)) == expected
        assert [len(lines) // 2 for lines in heard.sent][: len(counts)] == counts
        store.release()


def test_who_was_asked_apart_is_asked_with_others_again(
    es: Elasticsearch, store: ElasticStore
) -> None:
    asked = searches(at(NOISY, 4))
    counts = []
    for _ in range(joint.ALONE + 2):
        with Listening(es) as heard:
            store.search(asked)
        counts.append(sum(len(lines) // 2 for lines in heard.sent))
        store.release()
    assert counts == [3 + MOST, *[3 + 1] * joint.ALONE, 3 + MOST]


def test_windows_and_indices_are_not_mixed(es: Elasticsearch, store: ElasticStore) -> None:
    other = Window(WINDOW.start - timedelta(minutes=6), WINDOW.start)
    scratch.fill(
        store, stored([shell_event(other.start, event_id="before")], "logs-cloud_defend.x")
    )
    few = searches([*named("few", "bash", "bash", "few"), *QUIET[:4]])
    asked = [replace(one, window=other) if n % 2 else one for n, one in enumerate(few)]
    asked = [replace(one, index=("logs-none",)) if n == 4 else one for n, one in enumerate(asked)]
    answers = store.search(asked)
    assert plain(answers) == plain(joined(es, 1).search(asked))
    assert [len(one.documents) for one in answers[:4] if isinstance(one, Page)] == [FEW, 1, 0, 0]


@pytest.mark.parametrize("order", [1, -1])
def test_each_of_several_searches_of_one_rule_has_its_own_answer(
    es: Elasticsearch, store: ElasticStore, order: int
) -> None:
    """As the steps of a sequence: of two clauses of one name Elasticsearch knows the last alone."""
    steps = searches([*named("few"), *QUIET[:2]])[::order]
    asked = [replace(one, rule_id="sequence") for one in steps]
    answers = store.search(asked)
    assert plain(answers) == plain(joined(es, 1).search(asked))
    assert [one.hits for one in answers if isinstance(one, Page)] == [FEW, 0, 0][::order]


def test_a_name_inside_a_rules_own_filter_hides_nobody(
    es: Elasticsearch, store: ElasticStore
) -> None:
    query = '{"term":{"process.name":{"value":"absent","_name":"rule-0"}}}'
    asked = searches([*named("few"), tree.Sent(query)])
    assert plain(store.search(asked)) == plain(joined(es, 1).search(asked))


def test_hits_that_name_nobody_say_nothing(
    es: Elasticsearch, store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that lets only some keys through."""
    asked, original = searches([*named("few"), *QUIET[:3]]), es.msearch

    def without_names(**request: Any) -> Any:
        answer = original(**request)
        for response in answer["responses"]:
            for hit in response["hits"]["hits"]:
                hit.pop("matched_queries", None)
        return answer

    monkeypatch.setattr(es, "msearch", without_names)
    assert [one.hits for one in store.search(asked) if isinstance(one, Page)] == [FEW, 0, 0, 0]


def test_each_condition_bears_its_rules_id(es: Elasticsearch, store: ElasticStore) -> None:
    with Listening(es) as heard:
        store.search(searches(QUIET[:2]))
    ((_, body),) = heard.sent
    (_, any_of) = body["query"]["bool"]["filter"]
    names = [one["bool"]["_name"] for one in any_of["bool"]["should"]]
    assert [name.split()[0] for name in names] == ["rule-0", "rule-1"]


LEAVES = st.sampled_from(
    [
        *named("few", "absent"),
        *(f'event.id == "{n:04}"' for n in (0, 1, 199, 200)),
        'event.id < "0003"',
        'event.id : "00*1"',
        "process.name == null",
        'length(process.name) == 3 and process.args : "-i"',
    ]
)


def conditions() -> st.SearchStrategy[str]:
    return st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            inner.map("not ({})".format),
        ),
        max_leaves=4,
    )


@pytest.mark.usefixtures("store")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(LEAVES, conditions()), min_size=2, max_size=12), st.booleans())
def test_whatever_is_asked_together_is_found(
    es: Elasticsearch, wheres: list[str], one_rule: bool
) -> None:
    asked = searches(wheres)
    if one_rule:
        asked = [replace(one, rule_id="one") for one in asked]
    fresh = joined(es)
    assert plain(fresh.search(asked)) == plain(joined(es, 1).search(asked))
    fresh.release()
