"""A cluster in, the same cluster with detector's templates and state indices out: `setup`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from detector.errors import Rejected
from detector.store import lifecycle
from detector.store.elastic import ElasticStore

Template = Callable[[Collection[str]], tuple[dict[str, Any], list[str]]]
"""Types a cluster lacks in; a template's body and what was replaced in it out."""

Done = Literal["created", "updated", "unchanged", "skipped"]
MONTH = timedelta(days=30)

UNKNOWN_TYPE = re.compile(r"(?:No handler for type|Unknown field type|The mapper type) \[(\w+)\]")


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of one piece, `why` if it was skipped; `replaced` are types the cluster lacks."""

    piece: str
    name: str
    done: Done
    replaced: tuple[str, ...] = ()
    why: str = ""


def install(
    store: ElasticStore,
    alerts_template: Template,
    *,
    shadow_template: Template | None = None,
    keep_runs: timedelta = MONTH,
) -> list[Installed]:
    """Put templates and state indices where they are missing or differ, and say what was done.

    A second run changes nothing. A field type the cluster does not know is replaced by the nearest
    one it does and reported. Where there is lifecycle management, run records are deleted when they
    are older than `keep_runs`. Raises `Forbidden` and other `StoreError`s.
    """
    names = store.names
    done = [_with_known_types(store, names.alerts, alerts_template)]
    if shadow_template is not None:
        done.append(_with_known_types(store, names.shadow, shadow_template))
    policy = _lifecycle(store, keep_runs)
    done.append(policy)
    for name, body in names.templates().items():
        managed = name == policy.name and policy.done != "skipped"
        template = lifecycle.applied(body, policy.name) if managed else body
        done.append(_template(store, name, template, ()))
    done += [_index(store, name) for name in (names.state, names.deadletter)]
    return done + [Installed("index", name, "updated") for name in _renew(store)]


def _lifecycle(store: ElasticStore, keep: timedelta) -> Installed:
    piece, name = "lifecycle policy", f"detector-runs-{store.names.space}"
    why = lifecycle.lacking(store)
    if why:
        return Installed(piece, name, "skipped", why=why)
    return Installed(piece, name, lifecycle.put(store, name, keep))


def outdated(store: ElasticStore) -> dict[str, dict[str, Any]]:
    """Indices of state whose mapping is older than this detector, and the mapping they are to have.

    An index keeps the mapping it was made with, and a strict one refuses a field that is new.
    """
    found: dict[str, dict[str, Any]] = {}
    for body in store.names.templates().values():
        wanted = body["template"]["mappings"]
        current = store.call(
            lambda pattern=body["index_patterns"][0]: store.client.indices.get_mapping(  # type: ignore[misc]
                index=pattern, expand_wildcards="all", ignore_unavailable=True
            )
        )
        for index, said in current.items():
            if said["mappings"].get("_meta", {}).get("schema", 0) < wanted["_meta"]["schema"]:
                found[index] = wanted
    return found


def _renew(store: ElasticStore) -> list[str]:
    """Add what is new to the mappings of indices that were there already; their names."""
    renewed = outdated(store)
    for index, mapping in renewed.items():
        store.call(
            lambda index=index, mapping=mapping: store.client.indices.put_mapping(  # type: ignore[misc]
                index=index, meta=mapping["_meta"], properties=mapping["properties"]
            )
        )
    return sorted(renewed)


def _with_known_types(store: ElasticStore, name: str, template: Template) -> Installed:
    lacking: set[str] = set()
    while True:
        body, replaced = template(lacking)
        body["_meta"] = body.get("_meta", {}) | {"replaced": sorted(replaced)}
        try:
            return _template(store, name, body, tuple(replaced))
        except Rejected as error:
            unknown = set(UNKNOWN_TYPE.findall(error.message))
            if not unknown - lacking:
                raise
            lacking |= unknown


def _template(
    store: ElasticStore, name: str, body: dict[str, Any], replaced: tuple[str, ...]
) -> Installed:
    current = _current(store, name)
    if current is not None and current == body.get("_meta"):
        return Installed("index template", name, "unchanged", replaced)
    store.call(lambda: store.client.indices.put_index_template(name=name, **_arguments(body)))
    return Installed(
        "index template", name, "updated" if current is not None else "created", replaced
    )


def _current(store: ElasticStore, name: str) -> dict[str, Any] | None:
    """The `_meta` of a template: it names schema and version, so equal means the same template."""
    found = store.call(
        lambda: store.client.options(ignore_status=404).indices.get_index_template(name=name)
    )
    for entry in found.get("index_templates", ()):
        return dict(entry["index_template"].get("_meta", {}))
    return None


def _arguments(body: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("_"): value for key, value in body.items()}


def _index(store: ElasticStore, name: str) -> Installed:
    if store.call(lambda: store.client.indices.exists(index=name)):
        return Installed("index", name, "unchanged")
    try:
        store.call(lambda: store.client.indices.create(index=name))
    except Rejected as error:
        if "resource_already_exists" not in error.message:
            raise
        return Installed("index", name, "unchanged")
    return Installed("index", name, "created")
