"""Documents in, an index that holds them for a while: for examples and the demo's events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

from detector.errors import Rejected
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored

CHUNK = 1_000

# Types a plain mapping cannot give by itself: text becomes keyword, numbers and booleans are seen.
_MAPPED = frozenset({"date", "ip", "long", "integer", "short", "float", "double", "boolean"})

_TEXTS = frozenset({"keyword", "constant_keyword", "wildcard", "match_only_text", "text"})


@contextmanager
def index(
    store: ElasticStore, name: str, documents: Sequence[Stored], named: Collection[str] = ()
) -> Iterator[None]:
    """The index `name` with `documents`, searchable; it is deleted in the end, whatever happens.

    Those of the ECS fields that are `named` are mapped, though no document has them.
    """
    mapped = mappings(named=named)
    store.call(lambda: store.client.indices.create(index=name, mappings=mapped))
    try:
        fill(store, documents)
        yield
    finally:
        store.call(lambda: store.client.indices.delete(index=name, ignore_unavailable=True))


def template(store: ElasticStore, name: str, patterns: Sequence[str]) -> None:
    """A template that maps events as the integrations do: strings are keywords, the rest ECS's."""
    store.call(
        lambda: store.client.indices.put_index_template(
            name=name,
            index_patterns=list(patterns),
            priority=400,
            template={"mappings": mappings()},
        )
    )


def fill(store: ElasticStore, documents: Sequence[Stored]) -> None:
    """Index documents under their own ids and make them searchable.

    Raises `Rejected` where one is refused.
    """
    for start in range(0, len(documents), CHUNK):
        lines: list[Any] = []
        for document in documents[start : start + CHUNK]:
            target = {"_index": document.index} | ({"_id": document.id} if document.id else {})
            lines += [{"index": target}, document.source]
        response = store.call(lambda lines=lines: store.client.bulk(operations=lines))  # type: ignore[misc]
        if response["errors"]:
            raise Rejected(f"a document was refused: {_first_error(response['items'])}")
    names = ",".join({document.index for document in documents})
    store.call(lambda: store.client.indices.refresh(index=names))


def mappings(lacking: Collection[str] = (), named: Collection[str] = ()) -> dict[str, Any]:
    """A mapping for events of any integration; of texts, only the fields that are `named`."""
    properties: dict[str, Any] = {}
    for name, kind in _ecs():
        if kind in _MAPPED and kind not in lacking:
            _put(properties, name.split("."), {"type": kind})
        elif name in named and kind not in lacking and kind in _TEXTS:
            _put(properties, name.split("."), {"type": "keyword", "ignore_above": 1024})
    return {
        "dynamic_templates": [
            {
                "strings": {
                    "match_mapping_type": "string",
                    "mapping": {"type": "keyword", "ignore_above": 1024},
                }
            }
        ],
        "properties": properties,
    }


def _ecs() -> Iterator[tuple[str, str]]:
    table = resources.files("detector") / "data" / "ecs_fields.tsv"
    for line in table.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition("\t")
        if rest and not line.startswith("#"):
            yield name, rest.split("\t")[0]


def _put(properties: dict[str, Any], path: list[str], field: dict[str, Any]) -> None:
    *parents, last = path
    for part in parents:
        parent = properties.setdefault(part, {})
        if "type" in parent:
            return
        properties = parent.setdefault("properties", {})
    properties.setdefault(last, {}).update(field)


def _first_error(items: Sequence[dict[str, Any]]) -> str:
    errors = (next(iter(item.values())).get("error") for item in items)
    return str(next(error for error in errors if error)["reason"])
