"""What examples came to -> JUnit XML, as CI systems read it: a test case an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from detector.cli import telling
from detector.cli.examples import Outcome
from detector.model import Problem


def write(
    file: Path, suites: Mapping[str, Sequence[Outcome]], problems: Sequence[Problem] = ()
) -> None:
    """A suite for each place the examples ran at; what could not be read is a case with an error.

    Raises OSError.
    """
    root = ET.Element("testsuites", name="detector test")
    for name, outcomes in suites.items():
        failed = sum(not outcome.holds for outcome in outcomes)
        suite = _suite(root, name, tests=len(outcomes), failures=failed)
        for outcome in outcomes:
            _example(suite, outcome)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors:
        suite = _suite(root, "rule files", tests=len(errors), errors=len(errors))
        for problem in errors:
            _error(suite, problem)
    ET.indent(root)
    ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _suite(
    root: ET.Element, name: str, *, tests: int, failures: int = 0, errors: int = 0
) -> ET.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": 0}
    return ET.SubElement(
        root, "testsuite", {"name": name, **{key: str(n) for key, n in counts.items()}}
    )


def _example(suite: ET.Element, outcome: Outcome) -> None:
    rule, example = outcome.rule, outcome.example
    place = {"file": str(rule.file), "line": str(example.line)} if rule.file else {}
    case = _case(suite, rule.name, example.name, place)
    if not outcome.holds:
        said = f"expected {example.alerts} alerts, got {outcome.got}"
        why = telling.plain(outcome.why)
        failure = ET.SubElement(case, "failure", message=said, type="example")
        failure.text = clean(f"{said}\n{why}")


def _error(suite: ET.Element, problem: Problem) -> None:
    place = {"file": problem.file or "", "line": str(problem.line or 1)}
    case = _case(suite, problem.rule_id or "rules", problem.file or "rules", place)
    error = ET.SubElement(case, "error", message=clean(problem.message), type="rule")
    parts = (problem.file, problem.line, problem.column, problem.message)
    error.text = clean(":".join(str(part) for part in parts if part is not None))


def _case(suite: ET.Element, class_: str, name: str, place: Mapping[str, str]) -> ET.Element:
    told = {"classname": class_, "name": name, **place, "time": "0"}
    return ET.SubElement(suite, "testcase", {key: clean(text) for key, text in told.items()})


def clean(text: str) -> str:
    r"""Text with all that XML 1.0 cannot hold, escaped or not, spelled as `\x1b`."""
    return "".join(
        letter if _is_allowed(ord(letter)) else f"\\x{ord(letter):02x}" for letter in text
    )


def _is_allowed(code: int) -> bool:
    """https://www.w3.org/TR/xml/#charsets, without the controls that it discourages."""
    if code < 0xA0:
        return code in {0x9, 0xA} or 0x20 <= code < 0x7F
    return code < 0xD800 or 0xE000 <= code < 0xFDD0 or 0xFDF0 <= code < 0xFFFE or code >= 0x10000
