from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from scripts.benchmarks import corpus, lab, report
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured, interleaved

RATIO = Measured("cycle", "2 rules", (3.0, 2.0, 10.0), (1.0, 2.0, 4.0), reach=1.5)
ALONE = Measured("idle", "2 rules <b>", (80.0,), unit="MB", reach=50)


def test_a_figure_is_the_ratio_of_medians_or_the_median_itself() -> None:
    assert (RATIO.figure, RATIO.reached) == (1.5, True)
    assert (ALONE.figure, ALONE.reached) == (80, False)


@pytest.mark.parametrize(
    ("recorded", "behind"),
    [
        ({}, False),
        ({RATIO.name: 1.5}, False),
        ({RATIO.name: 1.2}, False),
        ({RATIO.name: 1.1}, True),
    ],
)
def test_a_ratio_may_be_a_third_worse_than_recorded(
    recorded: dict[str, float], *, behind: bool
) -> None:
    assert RATIO.fell_behind(recorded) == behind
    assert not ALONE.fell_behind({ALONE.name: 1})


def test_samples_are_taken_in_turn_and_the_first_are_left_out() -> None:
    asked: list[str] = []

    def work(name: str, number: int) -> float:
        asked.append(name)
        return number

    found = interleaved(2, lambda n: work("engine", n), lambda n: work("floor", n))
    assert found == ((1, 2), (1, 2))
    assert asked == ["engine", "floor"] * 3


def test_the_page_is_whole_and_needs_nothing(tmp_path: Path) -> None:
    report.write(tmp_path, [RATIO, ALONE], report.machine())
    page = (tmp_path / "report.html").read_text()
    drawing = page[page.index("<svg") : page.index("</svg>") + 6]
    assert len(ET.fromstring(drawing).findall("rect")) == 2  # noqa: S314 - our own
    assert "http" not in page
    assert "<b>" not in page
    (first, _) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert first["ratio"] == 1.5


def test_events_are_the_same_for_the_same_day() -> None:
    size = lab.Size(3, 2, 2, 4, 1, (1,), 0)
    end = datetime(2026, 3, 1, tzinfo=UTC)
    events = list(lab.events(size, end))
    assert events == list(lab.events(size, end))
    assert len({event["event"]["id"] for event in events}) == 3 + 2 * 2 + 4
    times = [datetime.fromisoformat(event["@timestamp"]) for event in events]
    assert end - timedelta(days=1) <= min(times) < max(times) < end


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    """Without a node, for scenarios that need none."""
    return Lab("", lab.Size(0, 0, 0, 0, 1, (1,), 50), datetime(2026, 3, 1, tzinfo=UTC), tmp_path)


def test_a_corpus_is_scanned_whole_and_by_a_hundred_files(
    empty: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "FOLDER", empty.rule_files(120, "absent{}"))
    found = {one.case: one for one in corpus.measure(empty)}
    assert list(found) == [
        "50 events, 100 rules",
        "50 events, 100 rules: memory",
        "50 events, 120 rules",
        "50 events, 120 rules: memory",
        "time per rule, 120 beside 100",
    ]
    few, memory, whole, _, growth = found.values()
    assert memory.unit == "MB"
    assert 20 < memory.figure < corpus.MEMORY
    assert growth.figure == pytest.approx(whole.figure / few.figure / 1.2)


def test_without_a_corpus_that_is_said_and_nothing_measured(
    empty: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus, "FOLDER", empty.folder / "none")
    assert list(corpus.measure(empty)) == []
    assert "no ../shared/corpus" in capsys.readouterr().err
