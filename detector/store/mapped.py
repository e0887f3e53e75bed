"""Rules and what `field_caps` says of their indices in, fields that keep a rule blind out. Pure.

A field that no index maps is never there; one of another type than the query was written for is
there and not found: Elasticsearch compares numbers by value, and networks with addresses only. Of
analysed text without its whole values beside it, every event is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from detector.language import fields, tree
from detector.language.fields import ECS, KINDS, Kind, above, kind_of, near
from detector.language.saying import stands_for_several
from detector.model import Problem, Rule
from detector.questions import EVENT_TIME, time_field

Caps = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""`field_caps`: what each type of each field is like, with its indices where types differ."""

NUMBERS = frozenset({Kind.INTEGER, Kind.FLOAT})
NAMES = {
    Kind.STRING: "keyword",
    Kind.INTEGER: "a number",
    Kind.FLOAT: "a number",
    Kind.BOOLEAN: "boolean",
    Kind.IP: "ip",
    Kind.DATE: "date",
}
WHOLE = frozenset({"flattened", "passthrough"})
"""Types of an object whose keys are no fields of their own and can be asked for all the same."""

REMAP = "map it so in the index template; older indices need a reindex"
MISSPELT = "misspelt, or of a source that is not collected; in EQL `?name` says that it may be so"


@dataclass(frozen=True, slots=True)
class Need:
    """A field, how its values must compare, and how the values of other kinds may do as well."""

    name: str
    kind: Kind
    also: frozenset[Kind] = frozenset()

    def suits(self, type_: str) -> bool:
        kind = KINDS.get(type_, Kind.OPAQUE)
        return kind is self.kind or kind in self.also

    def is_read(self, type_: str) -> bool:
        """Whether it is analysed text, whose values are compared when they have been fetched."""
        return self.kind is Kind.STRING and KINDS.get(type_) is Kind.TEXT


def names(rule: Rule) -> set[str]:
    """The fields to ask of, with what is near them."""
    wanted = {field.name for field in _mentions(rule)} | {need.name for need in _needs(rule)}
    return {one for name in wanted for one in near(name)}


def problems(rule: Rule, caps: Caps) -> Iterator[Problem]:
    """What is missing, in one problem, and each field of a type that cannot work out."""
    patterns, file = ", ".join(rule.index), str(rule.file) if rule.file else None
    if missing := _missing(rule, caps):
        said = f"{rule.name}: no index of {patterns} maps {', '.join(missing)}"
        yield Problem(said, "warning", MISSPELT, file, rule_id=rule.rule_id)
    for need in dict.fromkeys(_needs(rule)):
        types = {name: about for name, about in caps.get(need.name, {}).items() if _is_there(name)}
        wrong = {name: about for name, about in types.items() if not need.suits(name)}
        slow = {name: wrong.pop(name) for name in list(wrong) if need.is_read(name)}
        if slow and not _is_whole_beside(need.name, caps):
            said = f"{rule.name}: {need.name} is {_where(slow, patterns)}: every event is fetched"
            yield Problem(said, "warning", REMAP, file, rule_id=rule.rule_id)
        if wrong:
            said = f"{rule.name}: {need.name} is {_where(wrong, patterns)}"
            said += f", where the rule needs {NAMES[need.kind]}"
            level = "error" if len(wrong) == len(types) else "warning"
            yield Problem(said, level, REMAP, file, rule_id=rule.rule_id)  # type: ignore[arg-type]


def _missing(rule: Rule, caps: Caps) -> list[str]:
    wanted = {field.name for field in _mentions(rule) if not field.optional}
    wanted.add(time_field(rule))
    return sorted(name for name in wanted if not _is_mapped(name, caps))


def _is_mapped(name: str, caps: Caps) -> bool:
    if any(_is_there(type_) for type_ in caps.get(name, {})):
        return True
    return any(not WHOLE.isdisjoint(caps.get(parent, {})) for parent in above(name))


def _is_whole_beside(name: str, caps: Caps) -> bool:
    return any(KINDS.get(type_) is Kind.STRING for type_ in caps.get(f"{name}{fields.WHOLE}", {}))


def _is_there(type_: str) -> bool:
    return type_ != "unmapped"


def _where(wrong: Mapping[str, Mapping[str, Any]], patterns: str) -> str:
    return " and ".join(
        f"{type_} in {', '.join(about.get('indices') or (patterns,))}"
        for type_, about in wrong.items()
    )


def _mentions(rule: Rule) -> Iterator[tree.Field]:
    """The fields of the query, but for those that every document has and that stand for others."""
    if rule.where is None:
        return
    for field in tree.mentions(rule.where):
        if not field.name.startswith("_") and not stands_for_several(field.name):
            yield field


def _needs(rule: Rule) -> Iterator[Need]:
    for time in filter(None, (rule.timestamp_override, EVENT_TIME)):
        yield Need(time, Kind.DATE)
    if rule.where is None:
        return
    for leaf in tree.leaves(rule.where):
        need = _need(leaf)
        if need is not None and not stands_for_several(need.name):
            yield need
    if isinstance(rule.where, tree.Sequence | tree.Sample):
        for key in dict.fromkeys(k for step in rule.where.steps for k in rule.where.by + step.by):
            kind = kind_of(key.name, ECS)
            if kind in NAMES:  # partners are looked for by whole values, which text has none of
                yield Need(key.name, kind, frozenset(Kind) - {Kind.TEXT, Kind.OPAQUE})


def _need(leaf: tree.Leaf) -> Need | None:
    """What a leaf needs as its query is translated; None where any type will do."""
    if isinstance(leaf, tree.Everything | tree.Nothing | tree.Exists | tree.Says | tree.Holds):
        return None
    name = cast("str", getattr(leaf, "field", ""))
    known = kind_of(name, ECS)
    if isinstance(leaf, tree.InNetwork):
        return Need(name, Kind.IP)
    if isinstance(leaf, tree.Regex | tree.StartsWith | tree.EndsWith | tree.Contains | tree.Like):
        return Need(name, Kind.STRING) if known in {Kind.STRING, Kind.UNKNOWN} else None
    if not name or known in {Kind.TEXT, Kind.OPAQUE}:
        return None
    if known is Kind.UNKNOWN:
        return _by_value(leaf, name)
    exact = isinstance(leaf, tree.Equals | tree.OneOf)
    text = frozenset({Kind.STRING}) if exact else frozenset()
    return Need(name, known, (NUMBERS if known in NUMBERS else frozenset()) | text)


def _by_value(leaf: tree.Leaf, name: str) -> Need | None:
    """For a field that ECS does not know: equal text wants a keyword, all else works by itself."""
    values = leaf.values if isinstance(leaf, tree.OneOf) else ()
    values = (leaf.value,) if isinstance(leaf, tree.Equals) else values
    if values and all(isinstance(value, str) for value in values):
        return Need(name, Kind.STRING, frozenset(Kind) - {Kind.TEXT, Kind.OPAQUE})
    return None
