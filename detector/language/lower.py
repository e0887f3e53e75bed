"""An expression that has to be true -> the condition it is: leaves where queries have words for it.

Elasticsearch's optimizer fixes the meaning: literals go to the right, `== null` asks for absence,
`f() == false` is `not f()`. Nothing is merged or folded that depends on a field.
"""

from __future__ import annotations

from collections.abc import Callable

from detector.language import functions, tree
from detector.language.tree import Call, Expression, Field, Literal, Node, Not

_MIRRORED: dict[str, tree.Order] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def is_condition(expression: Expression) -> bool:
    """Whether the expression answers yes or no; a field may always hold a boolean."""
    match expression:
        case Field():
            return True
        case Literal(value):
            return value is None or isinstance(value, bool)
        case Call(name):
            return functions.BY_NAME[name].condition


def fold(call: Call) -> Call | Literal:
    """The value of a call that depends on no field; else the call."""
    if call.name in {"and", "or", "not"} or not all(isinstance(a, Literal) for a in call.args):
        return call
    values = [arg.value for arg in call.args if isinstance(arg, Literal)]
    return Literal(functions.apply(call.name, values, call.any_case))


def condition(expression: Expression) -> Node:
    """The condition that holds where `expression` is true (see `is_condition`)."""
    match expression:
        case Literal(value):
            return tree.Everything() if value is True else tree.Nothing()
        case Field(name, optional):
            return tree.Equals(name, True, optional)
        case Call("and", args):
            return tree.all_of(map(condition, args))
        case Call("or", args):
            return tree.any_of(map(condition, args))
        case Call("not", (Call("is null", (Field(name, optional),)),)):
            return tree.Exists(name, optional)
        case Call("is null", (Field(name, optional),)):
            return Not(tree.Exists(name, optional))
        case Call("not", (item,)):
            return Not(condition(item))
        case Call("==" | "!=" | "<" | "<=" | ">" | ">=", (left, right)):
            return _comparison(expression.name, left, right)
        case Call():
            return _leaf(expression) or tree.Holds(expression)


def _comparison(name: str, left: Expression, right: Expression) -> Node:
    if isinstance(left, Literal):
        return _comparison(_MIRRORED.get(name, name), right, left)
    if name == "!=":
        return Not(_comparison("==", left, right))
    match left, right:
        case Field(field, optional), Literal(value) if value is not None:
            return _against(name, field, value, optional)
        case Call(), Literal(bool(value)) if name == "==" and is_condition(left):
            return condition(left) if value else Not(condition(left))
    return tree.Holds(Call(name, (left, right)))


def _against(name: str, field: str, value: tree.Scalar, optional: bool) -> Node:
    match name:
        case "<" | "<=" | ">" | ">=":
            return tree.Compare(field, name, value, optional)
        case _:
            return tree.Equals(field, value, optional)


def _leaf(call: Call) -> Node | None:
    """The leaf for a call on a field with literals, if there is one."""
    field, *rest = call.args
    values = [arg.value for arg in rest if isinstance(arg, Literal)]
    if not isinstance(field, Field) or len(values) < len(rest):
        return None
    if call.name == "in":
        known = tuple(value for value in values if value is not None)
        return tree.OneOf(field.name, known, call.any_case, field.optional)
    texts = tuple(value for value in values if isinstance(value, str))
    if call.name not in _TEXT_LEAVES or len(texts) < len(values):
        return None
    return _TEXT_LEAVES[call.name](field, texts, call.any_case)


_TEXT_LEAVES: dict[str, Callable[[Field, tuple[str, ...], bool], Node]] = {
    "like": lambda f, texts, any_case: tree.Like(f.name, texts, any_case, f.optional),
    "wildcard": lambda f, texts, any_case: tree.Like(f.name, texts, any_case, f.optional),
    "regex": lambda f, texts, any_case: tree.Regex(f.name, texts, any_case, f.optional),
    "startsWith": lambda f, texts, any_case: tree.StartsWith(
        f.name, texts[0], any_case, f.optional
    ),
    "endsWith": lambda f, texts, any_case: tree.EndsWith(f.name, texts[0], any_case, f.optional),
    "stringContains": lambda f, texts, any_case: tree.Contains(
        f.name, texts[0], any_case, f.optional
    ),
    "cidrMatch": lambda f, texts, _: tree.InNetwork(f.name, texts, f.optional),
}
