"""A source in, the same without what the alerts' mapping would refuse the whole document for.

Events come from indices with mappings of their own: a text where ECS has an object (`host: web-1`),
an object where it has a value. Kibana leaves such values out as well. A value of the wrong kind (a
bad address or date) is no reason: the mapping is told to ignore malformed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from detector.alerts import mapping
from detector.model import Source

Shape: TypeAlias = "Mapping[str, Shape | bool]"
"""An object's known fields: objects below it, True for a value, False for what may be either."""


class Flattened(dict[str, "Shape | bool"]):
    """An object of any fields that is indexed as one."""


# A flattened field refuses keys with a NUL, more levels than these and terms beyond 32,766 bytes;
# values too long for a term are ignored by the mapping.
_LEVELS = 20
_PATH = 4096
_EITHER = frozenset({"geo_point", "date_range"})
_PLAIN = frozenset({str, int, float, bool, type(None)})
_MISFIT = object()


def fitted(source: Source) -> Source:
    """`source` itself when all of it fits, else a copy of the levels that change."""
    return _object(source, _shape())


@cache
def _shape() -> Shape:
    body, _ = mapping.template("default", missing_types=())
    return _shaped(body["template"]["mappings"]["properties"])


def _shaped(properties: Mapping[str, Any]) -> Shape:
    return {name: _part(field) for name, field in properties.items()}


def _part(field: Mapping[str, Any]) -> Shape | bool:
    type_ = field.get("type", "object")
    if type_ in _EITHER:
        return False
    if type_ in {"object", "nested"}:
        return _shaped(field.get("properties", {}))
    return Flattened() if type_ == "flattened" else True


def _object(source: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in source.items():
        part = shape.get(key)
        if part is True:
            kind = value.__class__
            if kind in _PLAIN or (kind is list and _PLAIN.issuperset(map(type, value))):
                continue
            fits = _value(value, part)
        elif value.__class__ is dict and part.__class__ is dict:
            fits = _object(value, part)
        else:
            fits = _unknown(key, value, shape) if part is None else _value(value, part)
        if fits is not value:
            changed[key] = fits
    if not changed:
        return source
    kept = {**source, **changed}
    return {key: value for key, value in kept.items() if value is not _MISFIT}


def _unknown(key: str, value: Any, shape: Shape) -> Any:
    """A value whose key names several levels, or that no table knows."""
    head, dot, rest = key.partition(".")
    if not head.strip() or (dot and not rest):
        return _MISFIT  # no name for a field, but for one inside an object that is not indexed
    part = shape.get(head)
    if not dot or part is False:
        return value
    if part is None:
        return value if all(name.strip() for name in rest.split(".")) else _MISFIT
    if part is True:
        return _MISFIT
    if part.__class__ is Flattened:
        return value if _flattens_below(rest, value, _LEVELS, _PATH) else _MISFIT
    return _unknown(rest, value, part) if rest not in part else _value(value, part[rest])


def _value(value: Any, part: Shape | bool) -> Any:
    if part is False or value is None:
        return value
    if part.__class__ is Flattened and not _flattens(value, _LEVELS, _PATH):
        return _MISFIT
    if isinstance(value, dict):
        return _MISFIT if part is True else _object(value, part)
    if isinstance(value, list):
        return _list(value, part)
    return value if part is True else _MISFIT


def _flattens(value: Any, levels: int, path: int) -> bool:
    """Whether a flattened field takes all that is below an object."""
    if isinstance(value, list):
        return levels > 0 and all(_flattens(item, levels - 1, path) for item in value)
    if not isinstance(value, dict):
        return True
    return levels > 0 and all(_flattens_below(*item, levels, path) for item in value.items())


def _flattens_below(key: str, value: Any, levels: int, path: int) -> bool:
    """The same for what is below a key, in which each dot is a level."""
    left = path - len(key) - 1
    return "\0" not in key and left > 0 and _flattens(value, levels - 1 - key.count("."), left)


def _list(values: list[Any], part: Shape | bool) -> Any:
    fits = [_value(value, part) for value in values]
    if all(new is old for new, old in zip(fits, values, strict=True)):
        return values
    return [value for value in fits if value is not _MISFIT] or _MISFIT
