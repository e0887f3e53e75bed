"""Bodies of another shape than what was asked gives are nobody's answer."""

from __future__ import annotations

from typing import Any

import pytest

from detector.store import shapes

SHARDS = {"total": 1, "failed": 0}
PAGE = {"_shards": SHARDS, "hits": {"hits": []}}
FAILED = {"error": {"type": "x"}, "status": 400}
OTHERS: list[Any] = [None, [], {}, "", b"\0", 7, {"took": 1}, [None]]


@pytest.mark.parametrize("body", OTHERS, ids=repr)
def test_nothing_is_read_out_of_what_has_no_shape(body: Any) -> None:
    named = [shapes.responses(1), shapes.items(1), shapes.documents(1), shapes.searched]
    assert not any(shape(body) for shape in [*named, shapes.point])


@pytest.mark.parametrize(
    ("listed", "fits"),
    [
        ([PAGE, FAILED], True),
        ([PAGE], False),
        ([PAGE, None], False),
        ([PAGE, {"took": 1}], False),
        ([PAGE, {"_shards": SHARDS, "hits": {}}], False),
        ([PAGE, {"_shards": SHARDS | {"failures": [None]}, "hits": {"hits": []}}], False),
        ([PAGE, {"error": "no object"}], False),
    ],
)
def test_each_search_has_a_response(listed: list[Any], fits: bool) -> None:
    assert shapes.responses(2)({"responses": listed}) is fits


@pytest.mark.parametrize(
    ("listed", "fits"),
    [
        ([{"create": {"status": 201}}], True),
        ([{"create": {"status": 429, "error": {"type": "x"}}}], True),
        ([], False),
        ([{}], False),
        ([{"create": {}}], False),
        ([{"create": None}], False),
    ],
)
def test_each_operation_has_a_status(listed: list[Any], fits: bool) -> None:
    assert shapes.items(1)({"items": listed}) is fits
