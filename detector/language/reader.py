"""EQL's syntax, as the grammar cuts it -> the tree of what it means, or an error with a place."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias, cast

from lark import Token, Tree

from detector.errors import LanguageError
from detector.language import functions, lower, pattern, tree
from detector.language.source import Source, nearest
from detector.language.tree import Call, Expression, Field, Literal, Node

Syntax: TypeAlias = Tree[Token]
Part: TypeAlias = Syntax | Token

MOST_RUNS = 100

_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}
_SPANS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_ESCAPES = dict(zip("btnfr\"'\\", "\b\t\n\f\r\"'\\", strict=True))
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{2,8})\}|(.))", re.DOTALL)


class Reader:
    """Reads one text; the grammar guarantees the shapes it takes apart."""

    def __init__(self, source: Source, category_field: str) -> None:
        self._source = source
        self._category_field = category_field

    def query(self, start: Syntax) -> tree.Query:
        body, *rest = _trees(start)
        pipes = tuple(self._pipe(pipe) for pipe in rest)
        match body.data:
            case "event":
                where = self._event(body)
                return tree.Piped(where, pipes) if pipes else where
            case "sample":
                return self._sample(body, pipes)
            case "late_keys":
                raise self._source.error_at("`by` stands before `with`", _trees(body)[1])
            case _:
                return self._sequence(body, pipes)

    def _event(self, part: Syntax) -> Node:
        category, where = part.children
        node, category = self.condition(where), _token(category)
        if category.type == "ANY" or isinstance(node, tree.Nothing):
            return node
        name = _name(category) if category.type == "FIELD" else self._text(category)
        same = tree.Equals(self._category_field, name)
        return same if isinstance(node, tree.Everything) else tree.all_of((same, node))

    # Sequences and samples.

    def _sequence(self, part: Syntax, pipes: tuple[tree.Pipe, ...]) -> tree.Sequence:
        keys, span, *written, last = part.children
        parts = [step for step in written if isinstance(step, Tree)]
        steps = tuple(self._step(step) for step in parts)
        until = self._step(last) if isinstance(last, Tree) else None
        if until is not None and until.runs > 1:
            raise self._source.error_at("`until` takes no `with runs`", part)
        self._check_keys([*zip(parts, steps, strict=True)])
        self._check_keys([(part, steps[0]), *([(part, until)] if until else [])])
        max_span = self._span(span) if isinstance(span, Tree) else None
        self._check_steps(part, steps, max_span)
        return tree.Sequence(steps, self._keys(keys), max_span, until, pipes)

    def _sample(self, part: Syntax, pipes: tuple[tree.Pipe, ...]) -> tree.Sample:
        keys, *written = part.children
        parts = [step for step in written if isinstance(step, Tree)]
        steps = tuple(self._step(step) for step in parts)
        shared = self._keys(keys)
        self._check_keys([*zip(parts, steps, strict=True)])
        if len(steps) < 2:
            raise self._source.error_at("a sample has at least two steps", part)
        for syntax, step in zip(parts, steps, strict=True):
            if step.absent or step.runs > 1:
                raise self._source.error_at("a sample's step is a plain `[ ]`", syntax)
            if not (shared or step.by):
                raise self._source.error_at("a sample needs keys: `sample by ...`", syntax)
        return tree.Sample(steps, shared, pipes)

    def _check_keys(self, steps: Sequence[tuple[Syntax, tree.Step]]) -> None:
        wanted = len(steps[0][1].by)
        for syntax, step in steps:
            if len(step.by) != wanted:
                message = f"{_count(len(step.by), 'key')} here, {wanted} at the first step"
                raise self._source.error_at(message, syntax)

    def _check_steps(
        self, part: Syntax, steps: tuple[tree.Step, ...], max_span: timedelta | None
    ) -> None:
        if sum(step.runs for step in steps) < 2:
            raise self._source.error_at("a sequence has at least two steps", part)
        if all(step.absent for step in steps):
            raise self._source.error_at("a sequence needs a step that is not `![ ]`", part)
        if max_span is None and any(step.absent for step in steps):
            raise self._source.error_at("`![ ]` needs `with maxspan=...`", part)

    def _step(self, part: Syntax) -> tree.Step:
        event, keys, *runs = part.children
        count = self._runs(runs[0]) if runs and isinstance(runs[0], Tree) else 1
        return tree.Step(
            self._event(cast("Syntax", event)), self._keys(keys), count, part.data == "absent"
        )

    def _keys(self, part: Part | None) -> tuple[Field, ...]:
        return tuple(_field(key) for key in _trees(part)) if isinstance(part, Tree) else ()

    def _runs(self, part: Syntax) -> int:
        word, count = _tokens(part)
        if word != "runs":
            raise self._source.error_at(f"unexpected `{word}`", word, hint="did you mean `runs`?")
        if not 1 <= _integer(count) <= MOST_RUNS:
            raise self._source.error_at(f"`runs` is between 1 and {MOST_RUNS}", count)
        return _integer(count)

    def _span(self, part: Syntax) -> timedelta:
        number, *unit = _tokens(part)
        if not unit:
            hint = f"write `{number}s` for seconds"
            raise self._source.error_at("`maxspan` needs a unit", number, hint=hint)
        if unit[0] not in _SPANS or number.type != "INTEGER":
            message = f"`{number}{unit[0]}` is no time span"
            raise self._source.error_at(message, number, hint="units are ms, s, m, h and d")
        try:
            return _integer(number) * _SPANS[unit[0]]
        except OverflowError:
            raise self._source.error_at("the time span is too long", number) from None

    def _pipe(self, part: Syntax) -> tree.Pipe:
        kind, *counts = _tokens(part)
        if kind not in {"head", "tail"}:
            hint = nearest(kind, ("head", "tail")) or "the pipes are `head` and `tail`"
            raise self._source.error_at(f"unknown pipe `{kind}`", kind, hint=hint)
        if not counts:
            raise self._source.error_at(f"`{kind}` needs a number", kind)
        return tree.Pipe("head" if kind == "head" else "tail", _integer(counts[0]))

    # Conditions and values.

    def condition(self, part: Part) -> Node:
        """The condition that `part` is."""
        if isinstance(part, Tree):
            match part.data:
                case "or_":
                    return tree.any_of(self.condition(item) for item in _parts(part))
                case "and_":
                    return tree.all_of(self.condition(item) for item in _parts(part))
                case "negation":
                    return tree.Not(self.condition(part.children[1]))
        value = self.value(part)
        if not lower.is_condition(value):
            shown = value.name if isinstance(value, Call) else str(part)
            raise self._source.error_at(f"`{shown}` is neither true nor false", part)
        return lower.condition(value)

    def value(self, part: Part) -> Expression:
        """The value that `part` is; a condition is one of true, false and null."""
        if isinstance(part, Token):
            return Literal(self._constant(part))
        match part.data:
            case "field":
                return _field(part)
            case "or_" | "and_":
                return Call(part.data[:-1], tuple(self.value(item) for item in _parts(part)))
            case "negation":
                return Call("not", (self.value(part.children[1]),))
            case "compare":
                return self._compare(part)
            case "member":
                return self._member(part)
            case "fits":
                return self._fits(part)
            case "arithmetic":
                left, sign, right = part.children
                args = (self.value(left), self.value(right))
                return self._folded(Call(_ARITHMETIC[str(sign)], args), part)
            case "signed":
                return self._signed(part)
            case _:
                return self._function(part)

    def _folded(self, call: Call, part: Syntax) -> Expression:
        """The call, or its value; a regular expression that cannot be read is said here."""
        texts = tuple(a.value for a in call.args[1:] if isinstance(a, Literal))
        if call.name == "regex":
            try:
                pattern.regex(tuple(map(str, texts)), call.any_case)
            except LanguageError as error:
                where = part.children[3]
                raise self._source.error_at(error.message, where, hint=error.hint) from None
        return lower.fold(call)

    def _compare(self, part: Syntax) -> Expression:
        left, sign, right = part.children
        args = (self.value(left), self.value(right))
        if Literal(None) in args and sign in {"==", "!="}:
            other = args[0] if args[1] == Literal(None) else args[1]
            absent = lower.fold(Call("is null", (other,)))
            return absent if sign == "==" else lower.fold(Call("not", (absent,)))
        return self._folded(Call(str(sign), args), part)

    def _member(self, part: Syntax) -> Expression:
        subject, negated, kind, *items = part.children
        args = (self.value(subject), *(self.value(item) for item in items))
        member = self._folded(Call("in", args, any_case=kind == "in~"), part)
        return member if negated is None else Call("not", (member,))

    def _fits(self, part: Syntax) -> Expression:
        subject, negated, sign, *texts = part.children
        if negated is not None:
            hint = f"`not` stands before the field: `not field {sign} ...`"
            raise self._source.error_at(f"unexpected `{sign}`", _token(sign), hint=hint)
        for text in texts:
            if isinstance(text, Token) and text.type not in {"STRING", "RAW_STRING"}:
                hint = "absence is `== null`" if text == "null" else "other values take `==`"
                raise self._source.error_at(f"`{sign}` compares with text", text, hint=hint)
        name = "regex" if str(sign).startswith("regex") else "like"
        any_case = str(sign).endswith("~") or sign == ":"
        args = (self.value(subject), *(self.value(text) for text in texts))
        return self._folded(Call(name, args, any_case), part)

    def _signed(self, part: Syntax) -> Expression:
        sign, operand = part.children
        value = self.value(operand)
        if sign == "+":
            return value
        return self._folded(Call("subtract", (Literal(0), value)), part)

    def _function(self, part: Syntax) -> Expression:
        token = _token(part.children[0])
        name = _name(token).removesuffix("~")
        args = tuple(self.value(arg) for arg in part.children[1:] if arg is not None)
        function = functions.find(name)
        if function is None:
            hint = nearest(name, functions.FUNCTIONS)
            raise self._source.error_at(f"unknown function `{name}`", token, hint=hint)
        if token.endswith("~") and not function.any_case:
            message = f"`{function.name}` has no `~` form"
            raise self._source.error_at(message, token)
        most = len(args) if function.most is None else function.most
        if not function.least <= len(args) <= most:
            message = f"`{function.name}` takes {_range(function)}, not {len(args)}"
            raise self._source.error_at(message, token)
        self._check_networks(function, part)
        return self._folded(Call(function.name, args, token.endswith("~")), part)

    def _check_networks(self, function: functions.Function, part: Syntax) -> None:
        if function.name != "cidrMatch":
            return
        for block in part.children[2:]:
            if isinstance(block, Token) and block != "null":
                try:
                    functions.network(str(self._constant(block)))
                except ValueError:
                    message = f"{block} is no network"
                    hint = 'write it as "10.0.0.0/8" or "fe80::/10"'
                    raise self._source.error_at(message, block, hint=hint) from None

    # Words.

    def _constant(self, token: Token) -> tree.Scalar | None:
        match token.type:
            case "TRUE":
                return True
            case "FALSE":
                return False
            case "NULL":
                return None
            case "INTEGER" | "DECIMAL":
                return self._number(token)
            case _:
                return self._text(token)

    def _number(self, token: Token) -> int | float:
        number = _integer(token) if token.type == "INTEGER" else float(token)
        if not number < 2**64 and not (isinstance(number, float) and math.isfinite(number)):
            raise self._source.error_at("the number is too large", token)
        return number

    def _text(self, token: Token) -> str:
        if token.type == "RAW_STRING":
            return token[3:-3]

        def character(found: re.Match[str]) -> str:
            code, letter = found.groups()
            if code is None and letter in _ESCAPES:
                return _ESCAPES[letter]
            number = int(code, 16) if code else -1
            if 0 <= number < 0xD800 or 0xDFFF < number <= 0x10FFFF:
                return chr(number)
            offset = (token.start_pos or 0) + 1 + found.start()
            hint = 'a backslash is written `\\\\`, or the string as """raw"""'
            raise self._source.error(
                f"unknown escape `{found[0]}`", offset, len(found[0]), hint=hint
            )

        return _ESCAPE.sub(character, token[1:-1])


def _trees(part: Syntax) -> list[Syntax]:
    return [child for child in part.children if isinstance(child, Tree)]


def _tokens(part: Syntax) -> list[Token]:
    return [child for child in part.children if isinstance(child, Token)]


def _parts(part: Syntax) -> list[Part]:
    return part.children


def _token(part: Part) -> Token:
    return cast("Token", part)


def _name(token: Token) -> str:
    """A field's name without its backquotes."""
    if "`" not in token:
        return str(token)
    return re.sub(r"`((?:[^`]|``)+)`", lambda found: found[1].replace("``", "`"), token)


def _field(part: Syntax) -> Field:
    optional, name = part.children
    return Field(_name(_token(name)), optional is not None)


def _integer(token: Token) -> int:
    """The number; Python refuses to read thousands of digits, and no index holds such a one."""
    return int(token) if len(token) <= 400 else 10**400


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _range(function: functions.Function) -> str:
    if function.most is None:
        return f"at least {_count(function.least, 'argument')}"
    if function.least == function.most:
        return _count(function.least, "argument")
    return f"{function.least} to {function.most} arguments"
