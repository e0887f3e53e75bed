"""A rule's keys as they were written -> checked keys, the parameters alerts carry, and faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import ValidationError

from detector.rulefile.keys import Keys, RuleType
from detector.text.faults import Fault, KeyPath, faults, nearest

SERVER_KEYS = frozenset(
    {
        "id",
        "created_at",
        "created_by",
        "updated_at",
        "updated_by",
        "revision",
        "execution_summary",
        "outcome",
        "alias_target_id",
        "alias_purpose",
        "output_index",
        "throttle",
    }
)
"""What Kibana's export says of its own copy of a rule: neither checked nor kept."""

LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "eql": ("eql",),
    "esql": ("esql",),
    "query": ("kuery", "lucene"),
    "saved_query": ("kuery", "lucene"),
    "threshold": ("kuery", "lucene"),
    "new_terms": ("kuery", "lucene"),
    "threat_match": ("kuery", "lucene"),
}
"""The languages of a type's query; the first is meant where none is given."""

_INDEX = ("index", "data_view_id")
_NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "eql": (("query",), _INDEX),
    "query": (("query", "filters"), _INDEX),
    "saved_query": (("saved_id",),),
    "threshold": (("query",), ("threshold",), _INDEX),
    "new_terms": (
        ("query",),
        ("new_terms_fields", "new_terms"),
        ("history_window_start", "new_terms"),
        _INDEX,
    ),
    "threat_match": (("query",), ("threat_query",), ("threat_mapping",), ("threat_index",), _INDEX),
    "esql": (("query",),),
    "machine_learning": (("anomaly_threshold",), ("machine_learning_job_id",)),
}
"""The keys a type cannot do without: one of each group."""

_OF_TYPES: Mapping[str, frozenset[str]] = {
    "threshold": frozenset({"threshold"}),
    "new_terms": frozenset({"new_terms"}),
    "new_terms_fields": frozenset({"new_terms"}),
    "history_window_start": frozenset({"new_terms"}),
    "saved_id": frozenset({"saved_query", "query"}),
    "anomaly_threshold": frozenset({"machine_learning"}),
    "machine_learning_job_id": frozenset({"machine_learning"}),
    "event_category_override": frozenset({"eql"}),
    "timestamp_field": frozenset({"eql"}),
    "tiebreaker_field": frozenset({"eql"}),
    "concurrent_searches": frozenset({"threat_match"}),
    "items_per_search": frozenset({"threat_match"}),
    **{
        name: frozenset({"threat_match"})
        for name in Keys.model_fields
        if name.startswith("threat_")
    },
}
"""The keys that mean something to some types only."""

_OURS = frozenset({"examples", "exceptions", "identity", "mode"})
_DEFAULTS: Mapping[str, Any] = {
    field.alias or name: field.default
    for name, field in Keys.model_fields.items()
    if not field.is_required() and field.default is not None
} | {"rule_source": {"type": "internal"}}


@dataclass(frozen=True, slots=True)
class Checked:
    """`keys` is None when a fault is an error."""

    keys: Keys | None
    parameters: Mapping[str, Any]
    faults: tuple[Fault, ...]


def check(written: Mapping[str, Any]) -> Checked:
    """Everything that is wrong with a rule's keys, and the keys where nothing is.

    Keys that nobody knows are left out of the parameters and reported as warnings.
    """
    data = {key: value for key, value in written.items() if value is not None}
    data = {key: value for key, value in data.items() if key not in SERVER_KEYS}
    found = _faults(data)
    for fault in found:
        if fault.unknown:
            data = _without(data, fault.path)
    found += _misfits(data)
    if any(fault.level == "error" for fault in found):
        return Checked(None, {}, tuple(found))
    return Checked(Keys.model_validate(data), _parameters(data), tuple(found))


def _faults(data: Mapping[str, Any]) -> list[Fault]:
    try:
        Keys.model_validate(data)
    except ValidationError as error:
        found = faults(error, Keys)
        return [replace(fault, level="warning") if fault.unknown else fault for fault in found]
    return []


def _without(data: Any, path: KeyPath) -> Any:
    """A copy that lacks the key at `path`."""
    head, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_without(inner, rest) if i == head else inner for i, inner in enumerate(data)]
    if not rest:
        return {key: inner for key, inner in data.items() if key != head}
    return {key: _without(inner, rest) if key == head else inner for key, inner in data.items()}


def _misfits(data: Mapping[str, Any]) -> Iterator[Fault]:
    """What each key allows and the rule's type does not."""
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in get_args(RuleType):
        return
    for group in _NEEDS[kind]:
        if not any(key in data for key in group):
            yield Fault((), f"{_names(group)} is missing", f"a rule of type `{kind}` needs it")
    for key in data:
        if kind not in _OF_TYPES.get(key, {kind}):
            yield Fault(
                (key,), f"`{key}` means nothing in a rule of type `{kind}`", level="warning"
            )
    yield from _language(data, kind)
    yield from _suppression(data, kind)


def _language(data: Mapping[str, Any], kind: str) -> Iterator[Fault]:
    language, known = data.get("language"), LANGUAGES.get(kind, ())
    if known and isinstance(language, str) and language not in known:
        message = f"`language` must be {_names(known)} in a rule of type `{kind}`"
        yield Fault(("language",), message, nearest(language, known))


def _suppression(data: Mapping[str, Any], kind: str) -> Iterator[Fault]:
    """The alerts of a threshold rule are alike by what it counts; others have to say by what."""
    key, asked = "alert_suppression", data.get("alert_suppression")
    if not isinstance(asked, Mapping):
        return
    if kind != "threshold" and "group_by" not in asked:
        hint = "the one to three fields whose values alerts share"
        yield Fault((key,), "`group_by` is missing", hint)
    if kind == "threshold" and "duration" not in asked:
        yield Fault((key,), "`duration` is missing", "a rule of type `threshold` needs it")
    for name in ("group_by", "missing_fields_strategy"):
        if kind == "threshold" and name in asked:
            hint = "its alerts are suppressed by the fields of `threshold`"
            message = f"`{name}` means nothing in a rule of type `threshold`"
            yield Fault((key, name), message, hint)


def _names(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _parameters(data: Mapping[str, Any]) -> dict[str, Any]:
    """What Kibana would keep of the rule: its keys and the defaults of its type."""
    kind = data["type"]
    filled = {**_DEFAULTS, **_toml_forms(data)}
    if kind in LANGUAGES:
        filled.setdefault("language", LANGUAGES[kind][0])
    if kind in {"esql", "machine_learning"}:
        filled.pop("filters", None)
    return {
        key: value
        for key, value in filled.items()
        if key not in _OURS and (key in data or kind in _OF_TYPES.get(key, {kind}))
    }


def _toml_forms(data: Mapping[str, Any]) -> dict[str, Any]:
    """The forms that elastic/detection-rules and older rules use, in Kibana's words."""
    plain = {key: value for key, value in data.items() if key != "new_terms"}
    if "new_terms" in data:
        plain["new_terms_fields"] = data["new_terms"]["value"]
        plain["history_window_start"] = data["new_terms"]["history_window_start"][0]["value"]
    if "threshold" in data:
        plain["threshold"] = {**data["threshold"], "field": _listed(data["threshold"]["field"])}
    if "machine_learning_job_id" in data:
        plain["machine_learning_job_id"] = _listed(data["machine_learning_job_id"])
    return plain


def _listed(value: Any) -> Any:
    """A list, where one name or none may stand for it."""
    return [value] * (value != "") if isinstance(value, str) else value
