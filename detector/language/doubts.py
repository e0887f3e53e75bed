"""A query and the types of its fields -> what in it can never be, in words for its author."""

from __future__ import annotations

from collections.abc import Iterator

from detector.language import datemath, pattern, tree
from detector.language.fields import ECS, FieldTypes, Kind, kind_of
from detector.language.render import condition, literal
from detector.language.values import bound, cover


def doubts(query: tree.Query, types: FieldTypes = ECS) -> list[str]:
    """One line for each literal that its field's type has no room for: such a clause never holds.

    Elasticsearch would refuse the query; here the clause finds nothing.
    """
    found: dict[str, None] = {}
    for leaf in tree.leaves(query):
        if isinstance(leaf, tree.Everything | tree.Nothing | tree.Holds):
            continue
        for value in _literals(leaf):
            kind, type_ = kind_of(leaf.field, types), types.type_of(leaf.field)
            ordered = isinstance(leaf, tree.Compare | tree.Between)
            fits = bound if ordered else cover
            if ordered and kind is Kind.DATE and datemath.is_math(value):
                continue
            if kind not in {Kind.UNKNOWN, Kind.OPAQUE} and fits(value, kind, type_) is None:
                clause = condition(leaf)
                short = clause if len(clause) <= 60 else f"{leaf.field} ..."
                found[f"`{short}`: {literal(value)} is no {type_}"] = None
    return list(found)


def _literals(leaf: tree.Leaf) -> Iterator[tree.Scalar]:
    """The literals of a leaf that are compared as the field's type compares."""
    match leaf:
        case tree.Equals(value=value) | tree.Compare(value=value):
            yield value
        case tree.OneOf(values=values):
            yield from values
        case tree.Between(bounds=bounds):
            yield from (value for _, value in bounds)
        case tree.Says(wordings=wordings):
            yield from (one.parts[0] for one in wordings if len(one.parts) == 1)
        case tree.Like(patterns=patterns):
            yield from (one for one in patterns if not pattern.has_wildcard(one))
