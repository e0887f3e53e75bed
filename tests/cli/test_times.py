"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detector.cli import times
from detector.errors import SettingsError

NOW = datetime(2026, 3, 4, 15, 26, 37, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-7d", datetime(2026, 2, 25, 15, 26, 37, 500_000, tzinfo=UTC)),
        ("now-1d/d", datetime(2026, 3, 3, tzinfo=UTC)),
        ("now/h", datetime(2026, 3, 4, 15, tzinfo=UTC)),
        ("now/w", datetime(2026, 3, 2, tzinfo=UTC)),
        ("now-1M/M", datetime(2026, 2, 1, tzinfo=UTC)),
        ("now+1h-30m/m", datetime(2026, 3, 4, 15, 56, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("1 March 2026 12:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_read(text: str, expected: datetime) -> None:
    assert times.parse(text, NOW, "--from") == expected


@pytest.mark.parametrize("text", ["", "whenever", "now-7", "now-7x", "2026-13-45", "now-999999y"])
def test_what_is_no_time_names_its_option(text: str) -> None:
    with pytest.raises(SettingsError, match="--from"):
        times.parse(text, NOW, "--from")
