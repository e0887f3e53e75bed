"""Tree -> EQL text that is read back into the same tree; what only KQL can say, as KQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import assert_never

from detector.language import functions, tree
from detector.language.tree import And, Call, Expression, Field, Literal, Node, Not, Or

_PLAIN = re.compile(r"[A-Za-z_@][A-Za-z0-9_@]*(\.[A-Za-z0-9_@]+)*")
_KEYWORDS = frozenset(
    {"and", "any", "by", "false", "in", "like", "maxspan", "not", "null"}
    | {"or", "regex", "sample", "sequence", "true", "until", "where", "with"}
)
_SPECIAL = re.compile(r"""[\\():<>"*{}\s]""")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_INFIX = frozenset(["and", "or", "==", "!=", "<", "<=", ">", ">="])
_ANY_CASE = {"in": "in~", "like": ":", "regex": "regex~"}


def render(query: tree.Query) -> str:
    """A whole query. An event query always reads `any where ...`, its category being a clause."""
    match query:
        case tree.Sequence(steps, by, max_span, until, pipes):
            head = f"sequence{_keys(by)}"
            if max_span is not None:
                head += f" with maxspan={_span(max_span)}"
            lines = [head, *map(_step, steps)]
            if until is not None:
                lines.append(f"until {_step(until)}")
            return "\n".join(lines) + _pipes(pipes)
        case tree.Sample(steps, by, pipes):
            return "\n".join([f"sample{_keys(by)}", *map(_step, steps)]) + _pipes(pipes)
        case tree.Piped(where, pipes):
            return f"any where {condition(where)}{_pipes(pipes)}"
        case _:
            return f"any where {condition(query)}"


def condition(node: Node) -> str:
    """A condition alone, as it stands after `where`."""
    match node:
        case And(items):
            return " and ".join(_inside(item) for item in items)
        case Or(items):
            return " or ".join(_inside(item) for item in items)
        case Not(item):
            return _negated(item)
        case tree.Sent(query, meaning):
            return query if meaning is None else condition(meaning)
        case tree.Nested(path, item):
            return f"{field(path)}: {{ {condition(item)} }}"
        case tree.Everything():
            return "true"
        case tree.Nothing():
            return "false"
        case tree.Holds(expression):
            return value(expression)
        case _:
            return _leaf(node)


def value(expression: Expression) -> str:
    """An expression, with parentheses around what binds less than a function does."""
    match expression:
        case Field(name, optional):
            return field(name, optional)
        case Literal(content):
            return literal(content)
        case Call("not", (item,)):
            return f"not {_operand(item)}"
        case Call("is null", (item,)):
            return f"{_operand(item)} == null"
        case Call(name, args) if name in _INFIX:
            return f" {name} ".join(map(_operand, args))
        case Call("in", (subject, *rest), any_case):
            return f"{_operand(subject)} {_test('in', any_case)} ({', '.join(map(value, rest))})"
        case Call("like" | "regex" as name, (subject, *rest), any_case):
            return f"{_operand(subject)} {_test(name, any_case)} {_texts(map(value, rest))}"
        case Call(name, args, any_case):
            return f"{name}{'~' if any_case else ''}({', '.join(map(value, args))})"


def field(name: str, optional: bool = False) -> str:
    """A field's name, in backquotes where it would not be read as one."""
    plain = _PLAIN.fullmatch(name) and name not in _KEYWORDS
    quoted = name if plain else f"`{name.replace('`', '``')}`"
    return f"?{quoted}" if optional else quoted


def literal(content: tree.Scalar | None) -> str:
    """A constant as it is written."""
    match content:
        case None:
            return "null"
        case bool():
            return "true" if content else "false"
        case str():
            return f'"{"".join(_ESCAPES.get(char, char) for char in content)}"'
        case _:
            return str(content)


def _inside(node: Node) -> str:
    loose = isinstance(node, And | Or | tree.Sent)
    return f"({condition(node)})" if loose else condition(node)


def _negated(item: Node) -> str:
    match item:
        case tree.Exists(name, optional):
            return f"{field(name, optional)} == null"
        case tree.Equals(name, content, optional):
            return f"{field(name, optional)} != {literal(content)}"
        case tree.OneOf(name, values, any_case, optional):
            return f"{field(name, optional)} not {_one_of(values, any_case)}"
        case _:
            return f"not {_inside(item)}"


def _leaf(node: tree.FieldLeaf) -> str:  # noqa: PLR0912 - a case a leaf
    name = field(node.field, node.optional)
    match node:
        case tree.Exists():
            return f"{name} != null"
        case tree.Equals():
            return f"{name} == {literal(node.value)}"
        case tree.OneOf():
            return f"{name} {_one_of(node.values, node.any_case)}"
        case tree.Like():
            return f"{name} {_test('like', node.any_case)} {_texts(map(literal, node.patterns))}"
        case tree.Regex():
            return f"{name} {_test('regex', node.any_case)} {_texts(map(literal, node.patterns))}"
        case tree.StartsWith():
            return _call("startsWith", name, node)
        case tree.EndsWith():
            return _call("endsWith", name, node)
        case tree.Contains():
            return _call("stringContains", name, node)
        case tree.InNetwork():
            return f"cidrMatch({', '.join([name, *map(literal, node.networks)])})"
        case tree.Compare():
            return f"{name} {node.order} {literal(node.value)}"
        case tree.Between():
            ends = " ".join(f"{order} {literal(value)}" for order, value in node.bounds)
            return f"{name} {ends}"
        case tree.Says():
            said = " or ".join(map(wording, node.wordings))
            return f"{node.field}: {said if len(node.wordings) == 1 else f'({said})'}"
        case _:
            assert_never(node)


def wording(one: tree.Wording) -> str:
    """Text as Kibana's language has it: quoted, or with its wildcards."""
    if len(one.parts) == 1:
        return literal(one.parts[0])
    return "*".join(_SPECIAL.sub(r"\\\g<0>", part) for part in one.parts)


def _call(function: str, name: str, node: tree.StartsWith | tree.EndsWith | tree.Contains) -> str:
    return f"{function}{'~' if node.any_case else ''}({name}, {literal(node.text)})"


def _one_of(values: tuple[tree.Scalar, ...], any_case: bool) -> str:
    items = [literal(item) for item in values] or ["null"]
    return f"{_test('in', any_case)} ({', '.join(items)})"


def _test(name: str, any_case: bool) -> str:
    return _ANY_CASE[name] if any_case else name


def _texts(items: Iterable[str]) -> str:
    texts = list(items)
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _operand(expression: Expression) -> str:
    loose = isinstance(expression, Call) and expression.name in functions.OPERATORS
    return f"({value(expression)})" if loose else value(expression)


def _keys(keys: tuple[Field, ...]) -> str:
    return f" by {', '.join(map(value, keys))}" if keys else ""


def _step(step: tree.Step) -> str:
    mark, runs = "!" if step.absent else "", f" with runs={step.runs}" if step.runs > 1 else ""
    return f"{mark}[any where {condition(step.where)}]{_keys(step.by)}{runs}"


def _span(span: timedelta) -> str:
    milliseconds = span // timedelta(milliseconds=1)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _pipes(pipes: tuple[tree.Pipe, ...]) -> str:
    return "".join(f" | {pipe.kind} {pipe.count}" for pipe in pipes)
