"""An event's times to its alert's index."""

from __future__ import annotations

from typing import Any

import pytest

from detector.alerts import placement
from detector.store.indices import Names


@pytest.mark.parametrize(
    ("time", "ingested", "month"),
    [
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z", "2026.03"),
        ("2026-02-28T23:59:59.999Z", "2026-03-01T00:00:01Z", "2026.02"),
        ("2026-03-01T01:00:00+02:00", None, "2026.02"),
        (1772323200000, None, "2026.03"),
        ("1772323200000", None, "2026.03"),
        (["2026-03-01T00:00:00Z"], None, "2026.03"),
        (None, "2026-03-01T00:00:00Z", "undated"),
        ("yesterday", "2026-03-01T00:00:00Z", "undated"),
        ("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z", "2026.03"),
        ("2026-03-02T00:00:00.001Z", "2026-03-01T00:00:00Z", "undated"),
        ("2025-01-25T00:00:00Z", "2026-03-01T00:00:00Z", "2025.01"),
        ("2025-01-24T23:59:59Z", "2026-03-01T00:00:00Z", "undated"),
        ("2025-01-24T23:59:59Z", "no time", "2025.01"),
        ("2025-01-24T23:59:59Z", None, "2025.01"),
        ("2000-01-01T00:00:00Z", None, "2000.01"),
        ("1999-12-31T23:59:59Z", None, "undated"),
        ("2100-12-31T23:59:59Z", None, "2100.12"),
        ("2101-01-01T00:00:00Z", None, "undated"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "undated"),
        (10**17, None, "undated"),
        (float("inf"), None, "undated"),
        ({"not": "a time"}, None, "undated"),
    ],
)
def test_the_month_is_that_of_the_event_if_it_can_be_believed(
    time: Any, ingested: Any, month: str
) -> None:
    source = {"@timestamp": time, "event": {"ingested": ingested}}
    assert placement.index("default", source) == f"alerts-detector-default-{month}"


def test_a_document_without_times_is_undated() -> None:
    assert placement.index("default", {}) == "alerts-detector-default-undated"


def test_an_alert_on_an_alert_stands_where_the_first_one_does() -> None:
    hit = {
        "@timestamp": "2026-03-01T12:00:00Z",
        "kibana.alert.original_time": "2025-11-03T12:00:00Z",
        "event": {"ingested": "2025-11-03T12:00:10Z"},
    }
    assert placement.index("default", hit) == "alerts-detector-default-undated"
    hit["kibana.alert.uuid"] = "first"
    assert placement.index("default", hit) == "alerts-detector-default-2025.11"


def test_what_is_written_can_be_read_under_the_stores_name() -> None:
    assert placement.alias("soc_1") == Names("soc_1").alerts
