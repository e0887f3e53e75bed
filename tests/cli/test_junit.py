"""`detector test --junit FILE`: what a CI system reads."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from detector import cli, packaged
from detector.cli import junit
from tests.cli.test_commands import broken_rule, wrong_example

RULES = packaged.find("rules")


def report(*arguments: str, code: int) -> ET.Element:
    result = CliRunner().invoke(cli.app, ["test", "--junit", "report.xml", *arguments])
    assert result.exit_code == code, result.output
    return ET.parse("report.xml").getroot()  # noqa: S314 - our own


def test_every_example_is_a_case_that_passes() -> None:
    root = report("--rules", str(RULES), code=0)
    (suite,) = root
    cases = suite.findall("testcase")
    assert (suite.get("name"), suite.get("failures")) == ("in memory", "0")
    assert len(cases) == int(suite.get("tests", "0")) >= 60
    assert all(len(case) == 0 for case in cases)
    assert {"classname", "name", "file", "line", "time"} == set(cases[0].keys())


def test_a_failing_example_carries_its_explanation_and_a_broken_file_is_an_error(
    elsewhere: Path,
) -> None:
    wrong_example(elsewhere)
    broken_rule(elsewhere)
    root = report("--rules", str(elsewhere), code=1)
    assert [suite.get("name") for suite in root] == ["in memory", "rule files"]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "expected 1 alerts, got 0"
    assert failure.text is not None
    assert "✗" in failure.text
    assert "← decided" in failure.text
    (error,) = root.iter("error")
    assert "unknown function `lenght`" in error.get("message", "")
    assert "broken.yaml:10:17" in (error.text or "")


def test_what_xml_cannot_hold_is_spelled_out(elsewhere: Path) -> None:
    text = wrong_example(elsewhere).read_text()
    evil = r'name: "</testcase>]]>&\e[2J\0\uFFFE\x9b\u2028 end"'
    first = next(line for line in text.split("\nexamples:", 1)[1].splitlines() if "- name:" in line)
    head, tail = text.split("\nexamples:", 1)
    changed = f"{head}\nexamples:{tail.replace(first, f'  - {evil}', 1)}"
    (elsewhere / "wrong.yaml").write_text(changed)
    names = [case.get("name") for case in report("--rules", "wrong.yaml", code=1).iter("testcase")]
    assert "</testcase>]]>&\\x1b[2J\\x00\\xfffe\\x9b\u2028 end" in names


@given(st.text(st.characters(), max_size=20))
def test_any_text_can_be_read_back(text: str) -> None:
    element = ET.Element("case", name=junit.clean(text))
    element.text = junit.clean(text)
    read = ET.fromstring(ET.tostring(element, encoding="utf-8"))  # noqa: S314 - our own
    assert (read.get("name"), read.text or "") == (junit.clean(text), junit.clean(text))


def test_a_file_that_cannot_be_written_ends_with_2() -> None:
    result = CliRunner().invoke(
        cli.app, ["test", "--rules", str(RULES), "--junit", "nowhere/report.xml"]
    )
    assert result.exit_code == 2
    assert "cannot use nowhere/report.xml" in result.output
