"""Which indicators an event meets, and what its alert says of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from detector.detect.comparing import MOST_ENRICHMENTS, Batch, batches
from detector.language import tree
from detector.model import Document, Indicators, Pair, Source

TIME = datetime(2026, 3, 1, tzinfo=UTC)
IP = Pair("source.ip", "threat.indicator.ip")
URL = Pair("url.full", "threat.indicator.url.full")
NOT_USER = Pair("user.name", "threat.indicator.name", negate=True)


def document(id_: str, source: Mapping[str, Any], index: str = "logs-x") -> Document:
    return Document(index, id_, source, TIME)


def asked(*groups: tuple[Pair, ...]) -> Indicators:
    return Indicators(("logs-ti_*",), tree.Everything(), groups)


def met(wanted: Indicators, event: Source, *indicators: Source) -> list[str]:
    """The ids of the indicators that the event's alert tells of."""
    told = []
    for batch in (Batch(wanted, some) for some in batches(wanted, [document("e", event)], 100)):
        batch.take(document(str(n), source, "logs-ti_x") for n, source in enumerate(indicators))
        for one in batch.shown():
            told += [e["matched"]["id"] for e in one.source["threat"]["enrichments"]]
    return told


def indicator(**fields: Any) -> dict[str, Any]:
    return {f"threat.indicator.{name.replace('__', '.')}": value for name, value in fields.items()}


@pytest.mark.parametrize(
    ("groups", "event", "found"),
    [
        ([(IP,)], {"source.ip": "10.0.0.1"}, ["0", "2"]),
        ([(IP,)], {"source.ip": ["10.0.0.9", "::ffff:10.0.0.1"]}, ["0", "2"]),
        ([(IP,)], {"source.ip": "10.0.0.2"}, []),
        ([(IP,)], {"destination.ip": "10.0.0.1"}, []),
        ([(IP, URL)], {"source.ip": "10.0.0.1", "url.full": "http://x/"}, ["2", "2"]),
        ([(IP, URL)], {"source.ip": "10.0.0.1"}, []),
        ([(IP,), (URL,)], {"source.ip": "10.0.0.1", "url.full": "http://x/"}, ["0", "1", "2", "2"]),
        ([(IP,), (URL,)], {"url.full": "HTTP://x/"}, []),
        ([(IP, NOT_USER)], {"source.ip": "10.0.0.1", "user.name": "ann"}, []),
        ([(IP, NOT_USER)], {"source.ip": "10.0.0.1", "user.name": "bob"}, ["2"]),
        ([(IP, NOT_USER)], {"source.ip": "10.0.0.1"}, ["2"]),
    ],
)
def test_an_event_meets_an_indicator_where_all_pairs_of_a_group_hold(
    groups: list[tuple[Pair, ...]], event: Source, found: list[str]
) -> None:
    indicators = (
        indicator(ip="10.0.0.1"),
        indicator(url__full="http://x/"),
        indicator(ip=["10.0.0.1", "10.0.0.3"], url__full="http://x/", name="ann"),
    )
    assert met(asked(*groups), event, *indicators) == found


def enrichments(event: Source, source: Source, path: str = "threat.indicator") -> Any:
    wanted = Indicators(("logs-ti_*",), tree.Everything(), ((IP,),), path)
    (some,) = batches(wanted, [document("e", event)], 100)
    batch = Batch(wanted, some)
    batch.take([document("i", source, "logs-ti_x")])
    (shown,) = batch.shown()
    return shown.source["threat"]["enrichments"]


NESTED = {"threat": {"indicator": {"ip": "10.0.0.1", "type": "ipv4-addr"}, "feed": {"name": "f"}}}


def test_an_alert_tells_of_the_indicator_as_kibana_does() -> None:
    (told,) = enrichments({"source": {"ip": "10.0.0.1"}}, NESTED)
    assert told == {
        "indicator": {"ip": "10.0.0.1", "type": "ipv4-addr"},
        "feed": {"name": "f"},
        "matched": {
            "atomic": "10.0.0.1",
            "field": "source.ip",
            "id": "i",
            "index": "logs-ti_x",
            "type": "indicator_match_rule",
        },
    }


@pytest.mark.parametrize(
    ("source", "path", "told"),
    [
        (NESTED, "threat", NESTED["threat"]),
        (NESTED, "rapid7.tc", {}),
        (indicator(ip="10.0.0.1", type="x"), "threat.indicator", {"ip": "10.0.0.1", "type": "x"}),
        ({"threat": {"indicator": [{"ip": "10.0.0.1"}]}}, "threat.indicator", {"ip": "10.0.0.1"}),
    ],
)
def test_an_indicator_tells_of_itself_at_its_path(source: Source, path: str, told: Any) -> None:
    assert enrichments({"source.ip": "10.0.0.1"}, source, path)[0]["indicator"] == told


@pytest.mark.parametrize(
    ("threat", "before"),
    [
        ({"enrichments": [{"a": 1}], "framework": "x"}, [{"a": 1}]),
        ({"enrichments": {"a": 1}}, [{"a": 1}]),
        ("junk", []),
    ],
)
def test_what_an_event_came_with_is_kept(threat: Any, before: list[Any]) -> None:
    told = enrichments({"source.ip": "10.0.0.1", "threat": threat}, NESTED)
    assert told[:-1] == before
    assert told[-1]["matched"]["id"] == "i"


def test_an_alert_tells_of_no_more_than_so_many_indicators() -> None:
    many = [indicator(ip="10.0.0.1") for _ in range(MOST_ENRICHMENTS + 50)]
    assert len(met(asked((IP,)), {"source.ip": "10.0.0.1"}, *many)) == MOST_ENRICHMENTS


def test_events_are_compared_in_batches_of_so_many_values() -> None:
    events = [
        document(str(n), {"source.ip": [f"10.0.{n}.{m}" for m in range(4)]}) for n in range(9)
    ]
    events += [document("none", {"user.name": "ann"})]
    sizes = [[one.size for one in some] for some in batches(asked((IP,)), events, 10)]
    assert sizes == [[4, 4]] * 4 + [[4]]
    huge = [document("huge", {"source.ip": [f"10.1.0.{m}" for m in range(50)]})]
    assert [len(some) for some in batches(asked((IP,)), [*events[:1], *huge, *events[:1]], 10)] == [
        1,
        1,
        1,
    ]
