"""Field tables in, the alerts' index template out: Kibana's alert fields over those of ECS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from detector import __version__
from detector.alerts import placement

SCHEMA = 1
PRIORITY = 300

REPLACEMENTS: Mapping[str, Mapping[str, Any]] = {
    "constant_keyword": {"type": "keyword", "ignore_above": 1024},
    "date_range": {"type": "object", "enabled": False},
    "flattened": {"type": "object", "enabled": False},
    "geo_point": {"type": "object", "enabled": False},
    "match_only_text": {"type": "text"},
    "scaled_float": {"type": "double"},
    "unsigned_long": {"type": "double"},
    "version": {"type": "keyword", "ignore_above": 1024},
    "wildcard": {"type": "keyword", "ignore_above": 8191},
}
"""What stands in for a type that the cluster does not have."""

# A term has at most 32,766 bytes, and a character up to four: what is longer refuses the document.
_TERM = 8191
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "keyword": {"ignore_above": 1024},  # as ECS and the integrations have it
    "wildcard": {"ignore_above": _TERM},
    "flattened": {"ignore_above": 4096},
    "scaled_float": {"scaling_factor": 1000},
}
_UNINDEXED = frozenset({"alias", "unmapped"})


def template(space: str, *, missing_types: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The body of the template for every month of a space, and what was replaced in it.

    `missing_types` are field types the cluster does not know. What an event has and no table names
    is kept in the source and not indexed.
    """
    alias = placement.alias(space)
    properties, replaced = _properties(missing_types)
    body = {
        "index_patterns": [f"{alias}-*"],
        "priority": PRIORITY,
        "template": {
            "aliases": {alias: {}},
            "settings": {
                "index.number_of_shards": 1,
                "index.auto_expand_replicas": "0-1",
                "index.mapping.total_fields.limit": 4000,
                "index.mapping.ignore_malformed": True,
            },
            "mappings": {
                "dynamic": False,
                "_meta": {"schema": SCHEMA},
                "properties": properties,
            },
        },
    }
    return body | {"_meta": _meta(body)}, list(replaced)


@cache
def types() -> Mapping[str, str]:
    """Every field an alert may have -> its type; `unmapped` for those that are not indexed."""
    return {name: type_ for name, type_, _ in _rows()}


def _meta(body: Mapping[str, Any]) -> dict[str, Any]:
    """Equal for equal templates, so that a second setup changes nothing."""
    content = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return {
        "managed_by": "detector",
        "schema": SCHEMA,
        "version": __version__,
        "digest": hashlib.sha256(content.encode()).hexdigest()[:16],
    }


def _properties(missing: Collection[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    tree: dict[str, Any] = {}
    replaced = set()
    # Parents come first, so that what is below a leaf is known to be its multi-field.
    for name, type_, indexed in sorted(_rows()):
        if type_ in _UNINDEXED:
            continue
        _put(tree, name.split("."), _field(name, type_, missing, indexed=indexed))
        if type_ in missing:
            replaced.add(f"{type_} -> {_replacement(type_)['type']}")
    return tree, tuple(sorted(replaced))


def _field(name: str, type_: str, missing: Collection[str], *, indexed: bool) -> dict[str, Any]:
    if type_ in missing:
        return dict(_replacement(type_))
    field = {"type": type_, **_OPTIONS.get(type_, {})}
    if type_ == "keyword" and name.startswith("kibana."):
        field["ignore_above"] = _TERM  # reasons, notes and descriptions are long
    if not indexed:
        field |= {"index": False, "doc_values": False}
    return field


def _replacement(type_: str) -> Mapping[str, Any]:
    return REPLACEMENTS.get(type_, {"type": "object", "enabled": False})


def _put(tree: dict[str, Any], path: list[str], field: dict[str, Any]) -> None:
    """Set a field below its parents: in an object's `properties`, or in the `fields` of a leaf."""
    *parents, last = path
    level = tree
    for part in parents:
        parent = level.setdefault(part, {})
        leaf = parent.get("type", "object") not in {"object", "nested"}
        level = parent.setdefault("fields" if leaf else "properties", {})
    level.setdefault(last, {}).update(field)


def _rows() -> Iterator[tuple[str, str, bool]]:
    """Name, type and whether it is indexed, each name once: the alert's fields win."""
    own = {row[0]: row for row in _table("alert_fields.tsv")}
    for name, type_ in own.values():
        yield name, type_, True
    for row in _table("ecs_fields.tsv"):
        if row[0] not in own:
            yield row[0], row[1], row[3] != "false"


def _table(name: str) -> list[list[str]]:
    text = (resources.files("detector") / "data" / name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return rows[1:]
