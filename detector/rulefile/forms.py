"""The forms of elastic/detection-rules (TOML) and of Kibana's export (NDJSON) -> plain rules."""

from __future__ import annotations

import json
import re
from typing import Any

from detector.rulefile.report import Report
from detector.text.document import Text

_EXPORT_WARNINGS = {
    "connector": "connectors are not read",
}


def plain(texts: list[Text], suffix: str, report: Report) -> list[Text]:
    """The rules in the documents of a file, whose suffix names the form."""
    match suffix:
        case ".toml":
            rules = (_toml_rule(text, report) for text in texts)
            return [text for text in rules if text]
        case ".ndjson":
            return _exported(texts, report)
        case _:
            return texts


def _toml_rule(text: Text, report: Report) -> Text | None:
    data = text.data.get("rule")
    if not isinstance(data, dict):
        report.add("no `[rule]` table", text.key(()))
        return None
    return text.at(("rule",), _with_plugins(data, text.data.get("transform")))


def _exported(texts: list[Text], report: Report) -> list[Text]:
    """The lines of an export that are rules; its summary says nothing that counts here."""
    kinds = [(_export_kind(text.data), text) for text in texts]
    for kind, message in _EXPORT_WARNINGS.items():
        others = [text for found, text in kinds if found == kind]
        if others:
            count = f"{message}: {len(others)} line(s) left out"
            report.add(count, others[0].key(()), level="warning")
    return [text for kind, text in kinds if kind == "rule"]


def _export_kind(data: Any) -> str:
    if not isinstance(data, dict) or "rule_id" in data:
        return "rule"
    if "list_id" in data:
        return "exceptions"
    if "attributes" in data or data.get("type") == "action":
        return "connector"
    return "summary" if any(key.startswith("exported_") for key in data) else "rule"


def _with_plugins(data: dict[str, Any], transform: Any) -> dict[str, Any]:
    """The rule with the plugins of `[transform]` in its note.

    elastic/detection-rules writes `$osquery_0` and `$investigate_0` for them.
    """
    note = data.get("note")
    if not isinstance(note, str) or not isinstance(transform, dict):
        return data

    def plugin(found: re.Match[str]) -> str:
        items, number = transform.get(found[1]), int(found[2])
        if not isinstance(items, list) or number >= len(items):
            return found[0]
        return f"!{{{found[1]}{json.dumps(items[number], default=str)}}}"

    return {**data, "note": re.sub(r"\$(osquery|investigate)_(\d{1,4})", plugin, note)}
