"""Names of fields -> the SQL that takes their values out of JSON events, once for every condition.

Of a field there are its `text` (or number, or truth) where it has one value, its `list` of texts
where it has several, and whether it is `odd`: told in a way that these do not hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from detector.language.fields import FieldTypes, Kind, kind_of
from detector.language.values import parent_of

Tree: TypeAlias = dict[str, Any]

LINE, ROOT, ODD, BROKEN = '"line"', '"root"', '"odd"', '"broken"'
"""An event's text, what is taken out of it, whether a name is spelled oddly, whether it is none."""
PASSED = '"passed"'

WRAPPER = "_source"
"""What makes a line a hit of a search, with the event inside."""

_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf'"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}"'
_WITHIN = r"[\[,][-0-9\[{]"
"""In an array: another one, an object, or a number, whose spelling is not Python's."""


def quoted(text: str) -> str:
    """Text as a literal of SQL; raises UnicodeEncodeError where it is no text."""
    text.encode()
    if "\0" not in text:
        return "'" + text.replace("'", "''") + "'"
    return "(" + " || chr(0) || ".join(quoted(part) for part in text.split("\0")) + ")"


def named(name: str) -> str:
    """A column of this name."""
    return '"' + name.replace('"', '""') + '"'


def folded(value: str) -> str:
    """A text with A-Z in lower case; `lower` alone would change other letters as well."""
    slow = f"translate({value}, '{_UPPER}', '{_LOWER}')"
    plain = f"strlen({value}) = length({value})"
    return f"(case when {plain} then lower({value}) else {slow} end)"


@dataclass(frozen=True, slots=True)
class Column:
    """The columns of one field, by name."""

    name: str
    types: FieldTypes

    @property
    def kind(self) -> Kind:
        return kind_of(self.name, self.types)

    @property
    def type(self) -> str | None:
        return self.types.type_of(self.name)

    @property
    def json(self) -> str:
        """The field as JSON has it; null where it is not there."""
        return named(f"{self.name} json")

    @property
    def twice(self) -> str:
        return named(f"{self.name} twice")

    @property
    def value(self) -> str:
        """The one value, by its kind a text, a number or a truth."""
        return named(f"{self.name} value")

    @property
    def list(self) -> str:
        """The texts of an array."""
        return named(f"{self.name} list")

    @property
    def has_list(self) -> bool:
        return self.kind in {Kind.STRING, Kind.TEXT, Kind.UNKNOWN}

    @property
    def there(self) -> str:
        return f"{self.json} is not null"

    @property
    def odd(self) -> str:
        """True where the other columns do not tell the field's values."""
        return f"({named(f'{self.name} odd')} or {self.inside_array()})"

    @property
    def folded(self) -> str:
        return named(f"{self.name} folded")

    @property
    def folded_list(self) -> str:
        return named(f"{self.name} folded list")

    def any(self, test: Callable[[str], str], *, any_case: bool = False) -> str:
        """SQL that is true where some value passes; of its folded text with `any_case`."""
        one = test(self.folded if any_case else self.value)
        if not self.has_list or one == "false":
            return one
        values = self.folded_list if any_case else self.list
        several = f"list_bool_or(list_transform({values}, lambda x: {test('x')}))"
        return f"({one} or ({values} is not null and {several}))"

    def any_of(self, texts: str, *, any_case: bool = False) -> str:
        """SQL that is true where some value is one of these texts, quoted and with commas."""
        one, values = (self.folded, self.folded_list) if any_case else (self.value, self.list)
        return f"({one} in ({texts}) or list_has_any({values}, [{texts}]))"

    def inside_array(self) -> str:
        """Whether an array of objects stands on the way: then the field looks as if not there.

        The text is searched before it is read a second time.
        """
        above = _above(self.name)
        if not above:
            return "false"
        pointers = ", ".join(quoted(_pointer(path)) for path in above)
        key = quoted(above[-1][-1])
        arrays = f"list_contains(try(json_type({LINE}, [{pointers}])), 'ARRAY')"
        return f"({self.json} is null and contains({LINE}, {key}) and {arrays})"


def _above(name: str) -> list[tuple[str, ...]]:
    parts = tuple(name.split("."))
    return [parts[:end] for end in range(1, len(parts))]


def _paths(name: str) -> list[tuple[str, ...]]:
    """The keys of a field spelled by objects, and whole by dots."""
    return list(dict.fromkeys([tuple(name.split(".")), (name,)]))


def _pointer(path: Iterable[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the columns of `names` come out of events."""

    names: tuple[str, ...]
    types: FieldTypes
    structure: Tree

    def sql(self, source: str, keep: Sequence[str] = ()) -> str:
        """Rows of `LINE`, `keep` and all columns, from SQL that gives rows of `LINE` and `keep`."""
        shape = quoted(json.dumps(self.structure, ensure_ascii=False))
        taken = f"try(from_json({LINE}, {shape})) as {ROOT}"
        kept = ", ".join([LINE, *keep])
        read = f"select {kept}, {taken} from ({source})"  # noqa: S608 - names and texts are quoted
        raw = ", ".join([kept, f"{self.broken()} as {BROKEN}", f"{self.oddity()} as {ODD}"])
        columns = [Column(name, self.types) for name in self.names]
        json_ = "".join(f", {self.json(one)} as {one.json}" for one in columns)
        typed = "".join(f", {text}" for one in columns for text in _typed(one))
        json_ += "".join(f", {self.twice(one)} as {one.twice}" for one in columns)
        return f"select *{typed} from (select {raw}{json_} from ({read}))"  # noqa: S608

    def gated(self, source: str, keep: Sequence[str], gates: Sequence[str]) -> str:
        """Of the rows of `source` those that pass one of `gates`, or may be told by none.

        `PASSED` are the numbers of the gates that a row passes, and null where none can tell: keys
        are spelled oddly, or there is no event.
        """
        kept = ", ".join([LINE, *keep])
        columns = [Column(name, self.types) for name in self.names]
        taken = f"try(from_json({LINE}, {quoted(json.dumps(self.structure, ensure_ascii=False))}))"
        read = f"select {kept}, {taken} as {ROOT} from ({source})"  # noqa: S608
        raw = "".join(
            f", {self.spelled(one.name)} as {one.json}, {self.twice(one)} as {one.twice}"
            for one in columns
        )
        told = f"select {kept}, {self.broken()} as {BROKEN}, {self.oddity()} as {ODD}{raw}"
        lower = "".join(f", lower({one.json}) as {one.folded}" for one in columns)
        every = f"select *{lower} from ({told} from ({read}))"  # noqa: S608
        doubts = [text for one in columns for text in (one.twice, one.inside_array())]
        doubt = f"({' or '.join([BROKEN, ODD, *doubts])})"
        numbers = ", ".join(f"case when {gate} then {n} end" for n, gate in enumerate(gates))
        passed = f"case when not {doubt} then list_filter([{numbers}], lambda x: x is not null) end"
        return (
            f"select {kept}, {passed} as {PASSED} from ({every}) "  # noqa: S608
            f"where {' or '.join([*gates, doubt])}"
        )

    def broken(self) -> str:
        return f"({ROOT} is null or not starts_with(ltrim({LINE}), '{{'))"

    def oddity(self) -> str:
        """Whether a key with dots stands anywhere but whole and at the top."""
        wanted = _wanted(self.names, self.types)
        odd = []
        for path in _spellings(wanted):
            found = self.reach(path)
            if found and len(path) == 1 and path[0] in wanted:
                if any(name.startswith(f"{path[0]}.") for name in wanted):
                    odd.append(f"case when contains({found}, '{{') then {found} end")
            elif found:
                odd.append(found)
        odd.append(f"{ROOT}.{named(WRAPPER)}")
        return f"coalesce({', '.join(odd)}) is not null"

    def reach(self, path: tuple[str, ...]) -> str:
        """SQL of the JSON at a path of keys; below another field it is taken out of that one."""
        level: Any = self.structure
        for depth, key in enumerate(path):
            level = level[key]
            if level == "JSON":
                head = f"{ROOT}." + ".".join(map(named, path[: depth + 1]))
                rest = path[depth + 1 :]
                return f"json_extract({head}, {quoted(_pointer(rest))})" if rest else head
        return ""

    def json(self, column: Column) -> str:
        own = self.spelled(column.name)
        parent = parent_of(column.name, self.types)
        if parent is None:
            return own
        above = self.spelled(parent)
        return f"coalesce({own}, case when starts_with({above}, '{{') then null else {above} end)"

    def twice(self, column: Column) -> str:
        """Whether the field is spelled both ways; a multi-field's values may be its parent's."""
        names = filter(None, (column.name, parent_of(column.name, self.types)))
        both = [
            " and ".join(f"{self.reach(path)} is not null" for path in paths)
            for paths in map(_paths, names)
            if len(paths) > 1
        ]
        return " or ".join(both) or "false"

    def spelled(self, name: str) -> str:
        """The text of the JSON, spelled by objects or whole by dots."""
        texts = [f"cast({self.reach(path)} as varchar)" for path in _paths(name)]
        return f"coalesce({', '.join(texts)})" if len(texts) > 1 else texts[0]


def extract(names: Collection[str], types: FieldTypes) -> Extraction:
    """The extraction of all that several conditions name."""
    return Extraction(tuple(sorted(names)), types, _structure(_wanted(names, types)))


def _structure(wanted: Sequence[str]) -> Tree:
    """What DuckDB is to take out of an event: the fields, and every odd spelling of one."""
    root: Tree = {}
    for path in (*(tuple(name.split(".")) for name in wanted), *_spellings(wanted)):
        _plant(root, path)
    return root | {WRAPPER: "JSON"}


def _wanted(names: Collection[str], types: FieldTypes) -> list[str]:
    """The fields, and those whose values they have where they are multi-fields."""
    parents = (parent_of(name, types) for name in names)
    return sorted({*names, *filter(None, parents)})


def _spellings(wanted: Sequence[str]) -> list[tuple[str, ...]]:
    """The paths to keys with dots in them, at which a part of a field's name may stand."""
    found = set()
    for name in wanted:
        parts = name.split(".")
        for at in range(len(parts)):
            for end in range(at + 2, len(parts) + 1):
                found.add((*parts[:at], ".".join(parts[at:end])))
    return sorted(found)


def _plant(root: Tree, path: tuple[str, ...]) -> None:
    """Add a leaf; where a field stands above another, its whole JSON is taken."""
    level = root
    for key in path[:-1]:
        inner = level.setdefault(key, {})
        if inner == "JSON":
            return
        level = inner
    level[path[-1]] = "JSON"


def _typed(column: Column) -> Iterable[str]:
    json_ = column.json
    odd = named(f"{column.name} odd")
    yield f"{_value(column)} as {column.value}"
    several = f" or starts_with({json_}, '[')" if parent_of(column.name, column.types) else ""
    yield f"{column.twice} or coalesce({_odd(column)}{several}, false) as {odd}"
    if column.has_list:
        listed = (
            f"""case when starts_with({json_}, '[') then from_json({json_}, '["VARCHAR"]') end"""
        )
        yield f"{listed} as {column.list}"
        yield f"{folded(_value(column))} as {column.folded}"
        yield f"list_transform({listed}, lambda x: {folded('x')}) as {column.folded_list}"


def _value(column: Column) -> str:
    json_ = column.json
    match column.kind:
        case Kind.INTEGER:
            return f"try_cast({json_} as hugeint)"
        case Kind.FLOAT if column.type == "float":
            return f"cast(try_cast(try_cast({json_} as double) as float) as double)"
        case Kind.FLOAT:
            return f"try_cast({json_} as double)"
        case Kind.BOOLEAN:
            yes, no = """'true', '"true"'""", """'false', '"false"', '""'"""
            return f"case when {json_} in ({yes}) then true when {json_} in ({no}) then false end"
        case Kind.IP:
            return f"case when regexp_full_match({json_}, '{_IPV4}') then {_ipv4(json_)} end"
        case _:
            one = f"not starts_with({json_}, '[') and not starts_with({json_}, '{{')"
            return f"case when {one} then json_extract_string({json_}, '$') end"


def _ipv4(json_: str) -> str:
    parts = (f"cast(split_part(trim({json_}, '\"'), '.', {n}) as bigint)" for n in range(1, 5))
    return " + ".join(
        f"{part} * {256**power}" for part, power in zip(parts, (3, 2, 1, 0), strict=True)
    )


def _odd(column: Column) -> str:
    json_ = column.json
    fraction = f"contains({json_}, '.') or contains(lower({json_}), 'e')"
    match column.kind:
        case Kind.INTEGER:
            return f"{json_} is not null and ({column.value} is null or {fraction})"
        case Kind.FLOAT:
            return f"{json_} is not null and {column.value} is null"
        case Kind.BOOLEAN:
            return f"starts_with({json_}, '[') or starts_with({json_}, '{{')"
        case Kind.IP:
            return f"{json_} is not null and {column.value} is null"
        case _:
            return _odd_text(column, fraction)


def _odd_text(column: Column, fraction: str) -> str:
    json_, limit = column.json, column.types.ignore_above(column.name)
    long = f"strlen({json_}) > {limit}" if limit is not None else "false"
    cases = (
        f"when starts_with({json_}, '\"') or {json_} in ('true', 'false') then {long}",
        f"when starts_with({json_}, '[') then {long} or regexp_matches({json_}, '{_WITHIN}')",
        f"when starts_with({json_}, '{{') then true",
        f"else {long} or {fraction}",
    )
    return f"case {' '.join(cases)} end"
