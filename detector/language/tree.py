"""What a query says, as frozen data: every language is read into this, every output starts here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal as OneOfThese
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
"""A value a field is compared with; a `bool` is never a number."""

Order: TypeAlias = OneOfThese["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a field; `optional` (`?name`) says that no index need know it."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the query; None is `null`."""

    value: Scalar | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator over values.

    `name` is the function's own spelling (`stringContains`), or the operator's (`==`, `and`);
    arithmetic is spelled by its function (`add`). `any_case` is the `~` form.
    """

    name: str
    args: tuple[Expression, ...]
    any_case: bool = False


Expression: TypeAlias = Field | Literal | Call


@dataclass(frozen=True, slots=True)
class Everything:
    """Every document."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No document."""


@dataclass(frozen=True, slots=True)
class And:
    """All of `items`; two or more, none of them an `And`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of `items`; two or more, none of them an `Or`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The documents that `item` leaves out, those without its fields included."""

    item: Node


@dataclass(frozen=True, slots=True)
class Nested:
    """One of the objects at `path` satisfies `item` by itself; names in it are whole."""

    path: str
    item: Node


@dataclass(frozen=True, slots=True)
class Sent:
    """Query DSL that goes to Elasticsearch as it was written, as compact JSON.

    `meaning` is the same as a tree; None where only Elasticsearch can tell.
    """

    query: str
    meaning: Node | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value."""

    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """Some value of the field is `value`, case included."""

    field: str
    value: Scalar
    optional: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Some value of the field is one of `values`, letter by letter, no wildcards."""

    field: str
    values: tuple[Scalar, ...]
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """Some value of the field, whole, fits a pattern: `*` is any text, `?` any one character.

    A backslash is a character like others, so a literal `*` cannot be said.
    """

    field: str
    patterns: tuple[str, ...]
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Regex:
    """Some value of the field, whole, fits one of Lucene's regular expressions."""

    field: str
    patterns: tuple[str, ...]
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class StartsWith:
    """Some value of the field begins with `text`."""

    field: str
    text: str
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EndsWith:
    """Some value of the field ends with `text`."""

    field: str
    text: str
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """Some value of the field has `text` in it; an empty `text` is in none."""

    field: str
    text: str
    any_case: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class InNetwork:
    """Some value of the field is an address in one of `networks` (`10.0.0.0/8`, `::1`)."""

    field: str
    networks: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """Some value of the field stands in this order to `value`; strings go by their UTF-8 bytes."""

    field: str
    order: Order
    value: Scalar
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """Some one value of the field stands in all these orders to these values."""

    field: str
    bounds: tuple[tuple[Order, Scalar], ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Wording:
    """Text as Kibana's language has it: wildcards stand between `parts`; `phrase` was quoted."""

    parts: tuple[str, ...]
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Says:
    """What `field: text` asks in Kibana's language, for one of several `wordings`.

    Some value of an exact field is that text, in the field's own type; some value of an analysed
    one has one of its words, or all of them in this order where they were quoted. A `*` in the name
    stands for any fields that fit.
    """

    field: str
    wordings: tuple[Wording, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Holds:
    """`expression` is true for some combination of its fields' values; null is not true.

    What no query can say: functions of functions, arithmetic, one field against another.
    """

    expression: Call


FieldLeaf: TypeAlias = (
    Exists
    | Equals
    | OneOf
    | Like
    | Regex
    | StartsWith
    | EndsWith
    | Contains
    | InNetwork
    | Compare
    | Between
    | Says
)
Leaf: TypeAlias = Everything | Nothing | FieldLeaf | Holds
Node: TypeAlias = And | Or | Not | Nested | Sent | Leaf


@dataclass(frozen=True, slots=True)
class Pipe:
    """The first (`head`) or the last (`tail`) `count` results."""

    kind: OneOfThese["head", "tail"]
    count: int


@dataclass(frozen=True, slots=True)
class Piped:
    """An event query whose results are cut by `pipes`, one after the other."""

    where: Node
    pipes: tuple[Pipe, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a sequence or sample.

    `by` are the keys written at this step, after those of the whole query (`keys_of`). `runs` says
    how many times in a row it comes; `absent` (`![ ]`) that no such event may come.
    """

    where: Node
    by: tuple[Field, ...] = ()
    runs: int = 1
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """Events in this order, joined by keys, within `max_span` from first to last.

    An `until` event between two of them ends the sequence unfinished.
    """

    steps: tuple[Step, ...]
    by: tuple[Field, ...] = ()
    max_span: timedelta | None = None
    until: Step | None = None
    pipes: tuple[Pipe, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """Events in any order, one for each step, joined by keys."""

    steps: tuple[Step, ...]
    by: tuple[Field, ...] = ()
    pipes: tuple[Pipe, ...] = ()


Query: TypeAlias = Node | Piped | Sequence | Sample


def all_of(items: Iterable[Node]) -> Node:
    """`And` of `items`, nested ones taken apart; of one it is that one, of none `Everything`."""
    flat = tuple(_flat(items, And))
    return flat[0] if len(flat) == 1 else And(flat) if flat else Everything()


def any_of(items: Iterable[Node]) -> Node:
    """`Or` of `items`, nested ones taken apart; of one it is that one, of none `Nothing`."""
    flat = tuple(_flat(items, Or))
    return flat[0] if len(flat) == 1 else Or(flat) if flat else Nothing()


def _flat(items: Iterable[Node], kind: type[And | Or]) -> Iterator[Node]:
    for item in items:
        if isinstance(item, And | Or) and isinstance(item, kind):
            yield from item.items
        else:
            yield item


def conditions(query: Query) -> Iterator[Node]:
    """The conditions an event may have to meet: one, or one for each step and `until`."""
    if isinstance(query, Piped):
        yield query.where
    elif isinstance(query, Sequence | Sample):
        yield from (step.where for step in steps_of(query))
    else:
        yield query


def altered(query: Query, change: Callable[[Node], Node]) -> Query:
    """The query with each of its `conditions` changed."""

    def step(one: Step) -> Step:
        return replace(one, where=change(one.where))

    match query:
        case Sequence(steps=steps, until=until):
            ending = None if until is None else step(until)
            return replace(query, steps=tuple(map(step, steps)), until=ending)
        case Sample(steps=steps):
            return replace(query, steps=tuple(map(step, steps)))
        case Piped(where=where):
            return replace(query, where=change(where))
        case _:
            return change(query)


def steps_of(query: Sequence | Sample) -> Iterator[Step]:
    """The steps, and `until` after them."""
    yield from query.steps
    if isinstance(query, Sequence) and query.until is not None:
        yield query.until


def keys_of(query: Sequence | Sample, step: Step) -> tuple[Field, ...]:
    """All the keys of a step: those of the whole query first."""
    return query.by + step.by


def sent(query: Query) -> Iterator[Sent]:
    """Every part that goes to Elasticsearch as it was written."""
    return (node for node in _ends(query) if isinstance(node, Sent))


def leaves(query: Query) -> Iterator[Leaf]:
    """Every leaf, in the order it is written."""
    return (node for node in _ends(query) if not isinstance(node, Sent))


def _ends(query: Query) -> Iterator[Sent | Leaf]:
    """Where the tree ends; what is sent as it was written ends it, and goes on as its meaning."""
    rest = list(conditions(query))[::-1]
    while rest:
        node = rest.pop()
        if isinstance(node, And | Or):
            rest += node.items[::-1]
        elif isinstance(node, Not | Nested):
            rest.append(node.item)
        else:
            yield node
            if isinstance(node, Sent) and node.meaning is not None:
                rest.append(node.meaning)


def mentions(query: Query) -> Iterator[Field]:
    """Every mention of a field, keys included, with what it says about being optional."""
    for leaf in leaves(query):
        if isinstance(leaf, Holds):
            yield from operands(leaf.expression)
        elif not isinstance(leaf, Everything | Nothing):
            yield Field(leaf.field, leaf.optional)
    if isinstance(query, Sequence | Sample):
        for step in steps_of(query):
            yield from keys_of(query, step)


def operands(expression: Expression) -> Iterator[Field]:
    """Every mention of a field in an expression."""
    rest = [expression]
    while rest:
        part = rest.pop()
        if isinstance(part, Call):
            rest += part.args[::-1]
        elif isinstance(part, Field):
            yield part


def fields_of(query: Query) -> frozenset[str]:
    """The names of all fields that decide about a match."""
    return frozenset(field.name for field in mentions(query))
