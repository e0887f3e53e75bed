"""The examples of a rule, in its own file and in the one beside it -> `Example`s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detector.errors import DetectorError
from detector.model import Example
from detector.rulefile.keys import ExampleKeys
from detector.rulefile.report import Report
from detector.text import file as textfile
from detector.text.document import Text
from detector.text.faults import Fault, faults

SUFFIX = ".examples"
"""How the stem of an examples file ends."""


def beside(rule_file: Path) -> tuple[Path, str | DetectorError | None]:
    """The examples file of a rule file, and its content; None where there is none."""
    file = rule_file.with_name(rule_file.stem + SUFFIX + ".yaml")
    return file, textfile.content(file) if file.exists() else None


class Beside:
    """The examples in `<rule file>.examples.yaml`: a list, or a mapping from rule id to list."""

    def __init__(self, file: Path, content: str | DetectorError | None, report: Report) -> None:
        self.report = report
        self.text: Text | None = None
        self.used: set[str] = set()
        if content is not None:
            read = report.readable(textfile.documents(file, content))
            self.text = next(iter(read), None)
        if self.text and not isinstance(self.text.data, (list, dict)):
            report.add("examples must be a list, or a mapping from rule ids", self.text.key(()))
            self.text = None

    def of(self, rule_id: str | None) -> list[Example]:
        """The examples of one rule."""
        if self.text is None:
            return []
        if isinstance(self.text.data, list):
            return read(self.text, rule_id, self.report)
        if rule_id is None or rule_id not in self.text.data:
            return []
        self.used.add(rule_id)
        return read(self.text.at((rule_id,), self.text.data[rule_id]), rule_id, self.report)

    def finish(self) -> None:
        """Report examples of no rule: they prove nothing."""
        if self.text is None or not isinstance(self.text.data, dict):
            return
        for rule_id in self.text.data:
            if rule_id not in self.used:
                place = self.text.key((rule_id,))
                self.report.add(f"no rule `{rule_id}` in the file beside", place)


def read(text: Text, rule_id: str | None, report: Report) -> list[Example]:
    """The examples listed in `text`, but for those with a fault."""
    if not isinstance(text.data, list):
        report.add("examples must be a list", text.value(()), rule_id=rule_id)
        return []
    examples = []
    for number, written in enumerate(text.data):
        keys, found = _keys(written)
        report.faults(found, text.at((number,), written), rule_id)
        if keys:
            examples.append(_example(keys, text.key((number,)).line))
    return examples


def _keys(written: Any) -> tuple[ExampleKeys | None, list[Fault]]:
    if not isinstance(written, dict):
        return None, [Fault((), "an example must be a mapping of keys")]
    try:
        keys = ExampleKeys.model_validate(written)
    except ValidationError as error:
        return None, faults(error, ExampleKeys)
    found = [
        Fault((), f"either `{one}` or `{several}` must be given")
        for one, several in (("event", "events"), ("alert", "alerts"))
        if (getattr(keys, one) is None) == (getattr(keys, several) is None)
    ]
    return (None if found else keys), found


def _example(keys: ExampleKeys, line: int) -> Example:
    events = keys.events if keys.event is None else [keys.event]
    alerts = keys.alerts if keys.alert is None else int(keys.alert)
    history, indicators = tuple(keys.history or ()), tuple(keys.indicators or ())
    return Example(keys.name, tuple(events or ()), alerts or 0, line, history, indicators)
