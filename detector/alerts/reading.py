"""A source and a field's name -> the values there, however dots and objects spell the name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from detector.model import Source


def found(source: Source, name: str) -> list[Any]:
    """What stands at `name` as it was written, lists as lists; several where both spellings do."""
    hits: list[Any] = []
    _descend(source, name, hits)
    return hits


def values(source: Source, name: str) -> list[Any]:
    """The scalars at `name`; arrays are flattened, nulls and objects left out."""
    return [value for hit in found(source, name) for value in _scalars(hit)]


def first(source: Source, name: str) -> Any:
    """The first scalar at `name`, or None."""
    return next(iter(values(source, name)), None)


def leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Names and values of everything below an object; what is no object is a leaf, arrays too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}")
    else:
        yield prefix, value


def below(source: Source, name: str) -> Iterator[tuple[str, Any]]:
    """The leaves below the top-level object `name`, in both spellings."""
    if name in source:
        value = source[name]
        if isinstance(value, Mapping):
            yield from leaves(value, name)
    prefix = f"{name}."
    for key, value in source.items():
        if key.startswith(prefix):
            yield from leaves(value, key)


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
        _put(whole, name, content[0] if len(content) == 1 else content)
    return whole


def _descend(source: Source, name: str, hits: list[Any]) -> None:
    for head, rest in _splits(name):
        if head not in source:
            continue
        value = source[head]
        if not rest:
            hits.append(value)
        elif isinstance(value, Mapping):
            _descend(value, rest, hits)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    _descend(item, rest, hits)


@lru_cache(maxsize=4096)
def _splits(name: str) -> tuple[tuple[str, str], ...]:
    """Every way to spell a name as a key and what is below it: `a.b` is `a` and `b`, or `a.b`."""
    parts = name.split(".")
    return tuple(
        (".".join(parts[:count]), ".".join(parts[count:])) for count in range(1, len(parts) + 1)
    )


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _scalars(item)
    elif value is not None and not isinstance(value, Mapping):
        yield value


def _put(whole: dict[str, Any], name: str, content: Any) -> None:
    """Set a nested name, copying each level on the way; where a level is no object, with dots."""
    head, _, rest = name.partition(".")
    level = whole.get(head, {})
    if not rest or not isinstance(level, Mapping):
        whole[name] = content
        return
    copy = dict(level)
    _put(copy, rest, content)
    whole[head] = copy
