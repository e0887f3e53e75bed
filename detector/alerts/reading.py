"""A source and a field's name -> the values there, however dots and objects spell the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from detector.model import Source

Splits: TypeAlias = "tuple[tuple[str, Splits], ...]"


def found(source: Source, name: str) -> list[Any]:
    """What stands at `name` as it was written, lists as lists; several where both spellings do."""
    hits: list[Any] = []
    _descend(source, _splits(name), hits)
    return hits


def values(source: Source, name: str) -> list[Any]:
    """The scalars at `name`; arrays are flattened, nulls and objects left out."""
    hits = found(source, name)
    if len(hits) == 1 and isinstance(hits[0], str):
        return hits
    flat: list[Any] = []
    _flatten(hits, flat)
    return flat


def first(source: Source, name: str) -> Any:
    """The first scalar at `name`, or None."""
    return next(iter(values(source, name)), None)


def leaves(value: Any, prefix: str) -> dict[str, Any]:
    """Names and values of all that is below an object; what is no object is a leaf, arrays too."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            found |= leaves(inner, f"{prefix}.{key}")
        else:
            found[f"{prefix}.{key}"] = inner
    return found


def filled(source: Source, held: Mapping[str, list[Any]], names: Sequence[str]) -> Source:
    """`source` with those of `names` that only the index holds: constants, runtime fields, aliases.

    Kibana's `missingFields`: what the source has is left as it is; a single value is unboxed.
    """
    if not held:
        return source
    lacking = [name for name in names if held.get(name) and not found(source, name)]
    if not lacking:
        return source
    whole = dict(source)
    for name in lacking:
        content = held[name]
        put(whole, name, content[0] if len(content) == 1 else content)
    return whole


def put(whole: dict[str, Any], name: str, content: Any) -> None:
    """Set a nested name, copying each level below `whole`; where one is no object, with dots."""
    head, _, rest = name.partition(".")
    level = whole.get(head, {})
    if not rest or not isinstance(level, dict):
        whole[name] = content
        return
    copy = dict(level)
    put(copy, rest, content)
    whole[head] = copy


def _descend(source: Source, splits: Splits, hits: list[Any]) -> None:
    for head, rest in splits:
        if head not in source:
            continue
        value = source[head]
        if not rest:
            hits.append(value)
        elif isinstance(value, dict):
            _descend(value, rest, hits)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    _descend(item, rest, hits)


@lru_cache(maxsize=4096)
def _splits(name: str) -> Splits:
    """Every way to spell a name as a key and what is below it: `a.b` is `a` and `b`, or `a.b`."""
    parts = name.split(".")
    heads = [(".".join(parts[:count]), ".".join(parts[count:])) for count in range(1, len(parts))]
    return (*((head, _splits(rest)) for head, rest in heads), (name, ()))


def _flatten(values: list[Any], flat: list[Any]) -> None:
    for value in values:
        if isinstance(value, list):
            _flatten(value, flat)
        elif value is not None and not isinstance(value, dict):
            flat.append(value)
