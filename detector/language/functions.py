"""The functions and operators of EQL: their names and arguments, and the value they give.

Values are `str`, `int`, `float`, `bool` and None. A null argument gives null unless said otherwise,
as in Elasticsearch's own functions; so does what Elasticsearch would fail on (division by zero).
Offsets and lengths count UTF-16 units, as Java does.
"""

from __future__ import annotations

import ipaddress
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from detector.errors import LanguageError
from detector.language import pattern

Value: TypeAlias = str | int | float | bool | None
Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is called; `condition` is one that answers yes or no."""

    name: str
    least: int
    most: int | None
    run: Callable[[Sequence[Value], bool], Value]
    any_case: bool = False
    condition: bool = False


def number(value: Value) -> Number | None:
    """`value` where it is a number; true and false are none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def string(value: Value) -> str | None:
    """What Java's `toString` makes of `value`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _units(text: str) -> str:
    """`text` with one character for each UTF-16 unit."""
    if text.isascii() or max(text) < "\U00010000":
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))


def _joined(units: str) -> str:
    """The text that UTF-16 units spell; a lone surrogate stays one."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _calculate(
    count: Callable[[int, int], Number | None], measure: Callable[[float, float], Number | None]
) -> Callable[[Sequence[Value], bool], Value]:
    def run(args: Sequence[Value], _: bool) -> Value:
        left, right = number(args[0]), number(args[1])
        if left is None or right is None:
            return None
        try:
            if isinstance(left, int) and isinstance(right, int):
                return count(left, right)
            return measure(float(left), float(right))
        except (ArithmeticError, ValueError):
            return None

    return run


def _divide(left: int, right: int) -> int:
    """Java's integer division, which cuts the fraction off."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(left: int, right: int) -> int:
    """Java's remainder, which has the sign of the dividend."""
    return left - right * _divide(left, right)


def _between(args: Sequence[Value], any_case: bool) -> Value:
    """The text after the first `left` up to the next (`greedy`: the last) `right`, or `""`."""
    source, left, right = args[:3]
    if not (isinstance(source, str) and isinstance(left, str) and isinstance(right, str)):
        return None
    if not (source and left and right):
        return source
    folded = [part.lower() if any_case else part for part in (source, left, right)]
    start = folded[0].find(folded[1])
    if start < 0:
        return ""
    start += len(left)
    greedy = len(args) > 3 and args[3] is True
    end = folded[0].rfind(folded[2], start) if greedy else folded[0].find(folded[2], start)
    return source[start:end] if end >= 0 else ""


def _cidr_match(args: Sequence[Value], _: bool) -> Value:
    if args[0] is None:
        return None
    try:
        address = ipaddress.ip_address(str(args[0]))
    except ValueError:
        return False
    return any(address in network(str(block)) for block in args[1:] if block is not None)


_BLOCK = re.compile(r"[0-9a-fA-F:.]+(/[0-9]{1,3})?")


@lru_cache(maxsize=4096)
def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network `text` names: CIDR, host bits ignored, or one address.

    Raises ValueError where it names none.
    """
    if _BLOCK.fullmatch(text) is None:
        raise ValueError(text)
    return ipaddress.ip_network(text, strict=False)


def _concat(args: Sequence[Value], _: bool) -> Value:
    texts = [string(arg) for arg in args]
    return None if None in texts else "".join(text for text in texts if text is not None)


def _text_test(
    holds: Callable[[str, str], bool],
) -> Callable[[Sequence[Value], bool], Value]:
    def run(args: Sequence[Value], any_case: bool) -> Value:
        text, needle = args[0], args[1]
        if not (isinstance(text, str) and isinstance(needle, str)):
            return None
        return holds(text.lower(), needle.lower()) if any_case else holds(text, needle)

    return run


def _index_of(args: Sequence[Value], any_case: bool) -> Value:
    """The place of the first `needle` at or after `start`; null where there is none."""
    source, needle = args[:2]
    start = args[2] if len(args) > 2 else None
    if not (isinstance(source, str) and isinstance(needle, str)):
        return None
    if any_case:
        source, needle = source.lower(), needle.lower()
    source, begin = _units(source), int(number(start) or 0)
    found = source.find(_units(needle), min(max(begin, 0), len(source)))
    return found if found >= 0 else None


def _length(args: Sequence[Value], _: bool) -> Value:
    return len(_units(args[0])) if isinstance(args[0], str) else None


def _number(args: Sequence[Value], _: bool) -> Value:
    """The number a text spells, `0x` being hexadecimal; null where it spells none."""
    source, base = args[0], args[1] if len(args) > 1 else None
    if not isinstance(source, str):
        return number(source)
    hexadecimal = source.startswith("0x")
    radix = number(base) or (16 if hexadecimal else 10)
    try:
        if radix != 10 or re.fullmatch(r"[+-]?\d+", source):
            return int(source, int(radix))
        value = float(source)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _string(args: Sequence[Value], _: bool) -> Value:
    return string(args[0])


def _substring(args: Sequence[Value], _: bool) -> Value:
    """From `start` up to, not with, `end`; negative ones count from the end of the text."""
    source, start = args[0], number(args[1])
    if not isinstance(source, str) or start is None:
        return None
    end = number(args[2]) if len(args) > 2 else None
    return _joined(_units(source)[int(start) : None if end is None else int(end)])


def _like(args: Sequence[Value], any_case: bool) -> Value:
    if not isinstance(args[0], str):
        return None
    return pattern.glob(tuple(map(str, args[1:])), any_case)(args[0])


def _regex(args: Sequence[Value], any_case: bool) -> Value:
    if not isinstance(args[0], str):
        return None
    return pattern.regex(tuple(map(str, args[1:])), any_case)(args[0])


def _equal(left: Value, right: Value) -> bool:
    """Numbers by value, all else by type and value: `1` is neither `true` nor `"1"`."""
    if number(left) is not None and number(right) is not None:
        return left == right
    return type(left) is type(right) and left == right


def _equals(args: Sequence[Value], _: bool) -> Value:
    left, right = args
    return None if left is None or right is None else _equal(left, right)


def _differs(args: Sequence[Value], _: bool) -> Value:
    left, right = args
    return None if left is None or right is None else not _equal(left, right)


def _is_null(args: Sequence[Value], _: bool) -> Value:
    return args[0] is None


def _in(args: Sequence[Value], any_case: bool) -> Value:
    if args[0] is None:
        return None
    folded = [arg.lower() if any_case and isinstance(arg, str) else arg for arg in args]
    return any(_equal(folded[0], other) for other in folded[1:] if other is not None)


def _bytes(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _ordered(
    compare: Callable[[Any, Any], Any],
) -> Callable[[Sequence[Value], bool], Value]:
    def run(args: Sequence[Value], _: bool) -> Value:
        left, right = args
        if isinstance(left, str) and isinstance(right, str):
            return bool(compare(_bytes(left), _bytes(right)))
        if number(left) is None or number(right) is None:
            return None
        return bool(compare(left, right))

    return run


def _and(args: Sequence[Value], _: bool) -> Value:
    """Kleene's `and`: unknown only where the rest does not decide."""
    return False if False in args else None if None in args else True


def _or(args: Sequence[Value], _: bool) -> Value:
    return True if True in args else None if None in args else False


def _not(args: Sequence[Value], _: bool) -> Value:
    return None if args[0] is None else not args[0]


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        Function("add", 2, 2, _calculate(operator.add, operator.add)),
        Function("between", 3, 4, _between, any_case=True),
        Function("cidrMatch", 2, None, _cidr_match, condition=True),
        Function("concat", 1, None, _concat),
        Function("divide", 2, 2, _calculate(_divide, operator.truediv)),
        Function("endsWith", 2, 2, _text_test(str.endswith), any_case=True, condition=True),
        Function("indexOf", 2, 3, _index_of, any_case=True),
        Function("length", 1, 1, _length),
        Function("modulo", 2, 2, _calculate(_modulo, math.fmod)),
        Function("multiply", 2, 2, _calculate(operator.mul, operator.mul)),
        Function("number", 1, 2, _number),
        Function("startsWith", 2, 2, _text_test(str.startswith), any_case=True, condition=True),
        Function("string", 1, 1, _string),
        Function(
            "stringContains",
            2,
            2,
            _text_test(lambda text, needle: needle != "" and needle in text),
            any_case=True,
            condition=True,
        ),
        Function("substring", 2, 3, _substring),
        Function("subtract", 2, 2, _calculate(operator.sub, operator.sub)),
        Function("wildcard", 2, None, _like, any_case=True, condition=True),
    )
}

OPERATORS: dict[str, Function] = {
    function.name: function
    for function in (
        Function("and", 2, None, _and, condition=True),
        Function("or", 2, None, _or, condition=True),
        Function("not", 1, 1, _not, condition=True),
        Function("==", 2, 2, _equals, condition=True),
        Function("!=", 2, 2, _differs, condition=True),
        Function("<", 2, 2, _ordered(operator.lt), condition=True),
        Function("<=", 2, 2, _ordered(operator.le), condition=True),
        Function(">", 2, 2, _ordered(operator.gt), condition=True),
        Function(">=", 2, 2, _ordered(operator.ge), condition=True),
        Function("is null", 1, 1, _is_null, condition=True),
        Function("in", 2, None, _in, any_case=True, condition=True),
        Function("like", 2, None, _like, any_case=True, condition=True),
        Function("regex", 2, None, _regex, any_case=True, condition=True),
    )
}

BY_NAME: dict[str, Function] = FUNCTIONS | OPERATORS

_SPELLINGS = {name.lower(): function for name, function in FUNCTIONS.items()}


def find(name: str) -> Function | None:
    """The function of that name, upper and lower case alike."""
    return _SPELLINGS.get(name.lower())


def apply(name: str, args: Sequence[Value], any_case: bool = False) -> Value:
    """The value of a function or operator of `BY_NAME`; null where it has none.

    An event may hold what is no argument (an infinite offset): that must not end a rule's run.
    """
    try:
        return BY_NAME[name].run(args, any_case)
    except (LanguageError, ArithmeticError, ValueError):
        return None
