"""A clause and whether it held -> why, in a few words: `none of -i, -it`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from detector.language import evaluate, tree
from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.pattern import has_wildcard
from detector.language.render import condition, literal, wording
from detector.language.tree import Leaf, Node
from detector.language.values import reader

MOST = 12
"""Values of a list that are named; a list may have a hundred thousand."""

_PLAIN = re.compile(r"[^\s,\"'()]{1,80}")


def reason(leaf: Leaf, held: bool, types: FieldTypes) -> str:
    """What a value was, or was not."""
    match leaf:
        case tree.Everything():
            return "always holds"
        case tree.Nothing():
            return "never holds"
        case tree.Holds():
            return _cut(condition(leaf) if held else f"not {condition(leaf)}")
        case tree.Exists():
            return "is there" if held else "must be there"
        case tree.Equals(value=value):
            return _said(("is", "is not"), held, [_plain(value)])
        case tree.OneOf(values=values, any_case=any_case):
            return _listed(map(_plain, values), held) + _case(any_case)
        case tree.Like(patterns=patterns, any_case=any_case):
            return _like(patterns, held) + _case(any_case)
        case tree.Regex(patterns=patterns, any_case=any_case):
            shown = [f"/{one}/" for one in patterns]
            return _said(("fits", "does not fit"), held, shown) + _case(any_case)
        case tree.Says(wordings=wordings):
            if kind_of(leaf.field, types) is Kind.TEXT:
                return _said(("says", "does not say"), held, map(wording, wordings))
            return _listed(map(_worded, wordings), held)
        case _:
            return _compared(leaf, held)


def _compared(
    leaf: tree.StartsWith
    | tree.EndsWith
    | tree.Contains
    | tree.InNetwork
    | tree.Compare
    | tree.Between,
    held: bool,
) -> str:
    match leaf:
        case tree.StartsWith(text=text, any_case=any_case):
            said = ("starts with", "does not start with")
        case tree.EndsWith(text=text, any_case=any_case):
            said = ("ends with", "does not end with")
        case tree.Contains(text=text, any_case=any_case):
            said = ("contains", "does not contain")
        case tree.InNetwork(networks=networks):
            return _said(("in", "not in"), held, networks)
        case tree.Compare(order=order, value=value):
            return _said((order, f"not {order}"), held, [_plain(value)])
        case tree.Between(bounds=bounds):
            ends = " and ".join(f"{order} {_plain(value)}" for order, value in bounds)
            return ends if held else f"not {ends}"
        case _:
            assert_never(leaf)
    return _said(said, held, [_plain(text)]) + _case(any_case)


def remark(leaf: Leaf, document: Mapping[str, Any], types: FieldTypes) -> str | None:
    """What a person may overlook where a clause did not hold."""
    if isinstance(leaf, tree.Everything | tree.Nothing | tree.Holds | tree.Exists):
        return None
    lost = len(evaluate.values(document, leaf.field)) - len(reader(leaf.field, types)(document))
    if lost > 0 and kind_of(leaf.field, types) is not Kind.UNKNOWN:
        what = types.type_of(leaf.field)
        longest = types.ignore_above(leaf.field)
        most = f" of at most {longest:,} characters" if longest else ""
        return f"{lost} of the values cannot be found, being no {what}{most}"
    relaxed = _any_case(leaf)
    if relaxed is not None and evaluate.matches(relaxed, document, types):
        return "only upper and lower case differ"
    return None


def _any_case(leaf: tree.FieldLeaf) -> Node | None:
    """The same whatever the case; None where that is no other question."""
    match leaf:
        case tree.Equals(field, str() as value):
            return tree.OneOf(field, (value,), any_case=True)
        case (
            tree.OneOf()
            | tree.Like()
            | tree.Regex()
            | tree.StartsWith()
            | tree.EndsWith()
            | tree.Contains()
        ) if not leaf.any_case:
            return replace(leaf, any_case=True)
        case _:
            return None


def _like(patterns: Sequence[str], held: bool) -> str:
    if len(patterns) == 1 and has_wildcard(patterns[0]):
        return _said(("like", "not like"), held, map(_plain, patterns))
    return _listed(map(_plain, patterns), held)


def _listed(items: Iterable[str], held: bool) -> str:
    shown = list(items)
    if len(shown) == 1:
        return _said(("is", "is not"), held, shown)
    return f"{'one' if held else 'none'} of {_joined(shown)}"


def _said(words: tuple[str, str], held: bool, items: Iterable[str]) -> str:
    shown = list(items)
    several = " any of" if len(shown) > 1 else ""
    return f"{words[not held]}{several} {_joined(shown)}"


def _joined(items: Sequence[str]) -> str:
    more = f" and {len(items) - MOST:,} more" if len(items) > MOST else ""
    return ", ".join(map(_cut, items[:MOST])) + more


def _plain(value: tree.Scalar) -> str:
    """A value without quotes where they would say nothing."""
    quoted = literal(value)
    bare = isinstance(value, str) and _PLAIN.fullmatch(value) and "\\" not in quoted
    return str(value) if bare else quoted


def _worded(one: tree.Wording) -> str:
    return _plain(one.parts[0]) if len(one.parts) == 1 else wording(one)


def _case(any_case: bool) -> str:
    return " (any case)" if any_case else ""


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}..."
