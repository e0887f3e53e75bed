"""What Kibana's `field: text` asks of an exact field -> the leaves that ask it; names with `*`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from detector.language import pattern, regexp, tree
from detector.language.tree import Node


def exact(leaf: tree.Says) -> Node:
    """Text without wildcards equals a value as the field's type does; with them it fits its text.

    Only KQL's `*` is a wildcard: text that has EQL's in it goes as a regular expression.
    """
    plain = tuple(one.parts[0] for one in leaf.wordings if len(one.parts) == 1)
    wild = [one.parts for one in leaf.wordings if len(one.parts) > 1]
    simple = tuple("*".join(parts) for parts in wild if not _odd(parts))
    odd = tuple(".*".join(map(regexp.quoted, parts)) for parts in wild if _odd(parts))
    asked: list[Node] = []
    if plain:
        one = len(plain) == 1
        asked.append(tree.Equals(leaf.field, plain[0]) if one else tree.OneOf(leaf.field, plain))
    if simple:
        asked.append(tree.Like(leaf.field, simple))
    if odd:
        asked.append(tree.Regex(leaf.field, odd))
    return tree.any_of(asked)


def _odd(parts: tuple[str, ...]) -> bool:
    return any(map(pattern.has_wildcard, parts))


def named(leaf: tree.Says | tree.Exists | tree.Compare, document: Mapping[str, Any]) -> list[Node]:
    """The leaf for each field of the document that its name, with `*` in it, stands for."""
    fits = _fitting(leaf.field)
    return [replace(leaf, field=name) for name in sorted(set(_names(document))) if fits(name)]


def stands_for_several(name: str) -> bool:
    """Whether a name has a wildcard in it."""
    return "*" in name


@lru_cache(maxsize=1024)
def _fitting(name: str) -> pattern.Test:
    return pattern.glob((name,), False)


def _names(document: Mapping[str, Any]) -> Iterator[str]:
    """The dotted names of everything in a document that is no object."""
    rest: list[tuple[str, Any]] = [("", document)]
    while rest:
        above, value = rest.pop()
        if isinstance(value, Mapping):
            rest += [(f"{above}.{key}" if above else key, inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            rest += [(above, inner) for inner in value]
        elif value is not None:
            yield above
