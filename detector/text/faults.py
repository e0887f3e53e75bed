"""What pydantic found wrong -> our own short messages, each with its key's path and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from detector.errors import DetectorError

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value from the top of a file: keys and indices."""

MOST = 100
"""Faults of one model that are told one by one."""

LONGEST = 100
"""Characters of a word that may have been meant for another."""

T = TypeVar("T")

_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_KINDS: list[tuple[type | tuple[type, ...], str]] = [
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
    (type(None), "nothing"),
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at `path`. `unknown` marks a key that nobody knows."""

    path: KeyPath
    message: str
    hint: str | None = None
    level: Literal["error", "warning"] = "error"
    unknown: bool = False


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str | None:
    """A hint that names what was probably meant; `prefix` is what all of them begin with."""
    if len(word) > LONGEST:
        return None
    names = {name.removeprefix(prefix).lower(): name for name in known}
    close = get_close_matches(word.removeprefix(prefix).lower(), names, n=1)
    return f"did you mean `{names[close[0]]}`?" if close else None


def accepted_by(parse: Callable[[Any], object]) -> AfterValidator:
    """For pydantic: what `parse` takes, kept as it is; its `DetectorError` is the fault."""

    def accepted(value: Any) -> Any:
        checked(parse, value)
        return value

    return AfterValidator(accepted)


def checked(parse: Callable[[Any], T], value: Any) -> T:
    """`parse(value)`, with a `DetectorError` told to pydantic."""
    try:
        return parse(value)
    except DetectorError as error:
        told = {"message": _encodable(error.message), "hint": _encodable(error.hint)}
        raise PydanticCustomError("detector", "{message}", told) from None


def _encodable(text: str | None) -> str | None:
    """Text without lone surrogates, which pydantic refuses; a variable's odd bytes become some."""
    return text if text is None else text.encode("utf-8", "replace").decode()


def faults(error: ValidationError, model: type[BaseModel], base: KeyPath = ()) -> list[Fault]:
    """Each error of `error`, in the order of the model's fields; beyond MOST, their number."""
    all_ = error.errors(include_url=False)
    found = [_fault(details, model, base) for details in all_[:MOST]]
    if len(all_) > MOST:
        found.append(Fault(base, f"{len(all_) - MOST:,} more problems like these"))
    return found


def _fault(details: ErrorDetails, model: type[BaseModel], base: KeyPath) -> Fault:
    path: KeyPath = details["loc"]
    name, given, context = dotted(path), details["input"], details.get("ctx", {})
    message, hint = f"`{name}` is wrong: {details['msg'].lower()}", None
    match details["type"]:
        case "missing":
            return Fault(base + path[:-1], f"`{name}` is missing")
        case "extra_forbidden":
            hint = nearest(str(path[-1]), _known(model, path[:-1]))
            return Fault(base + path, f"unknown key `{name}`", hint, unknown=True)
        case "detector":
            message, hint = f"`{name}`: {context['message']}", context["hint"]
        case "literal_error":
            message = f"`{name}` must be {context['expected'].replace(chr(39), '`')}"
            hint = nearest(str(given), re.findall("'([^']+)'", context["expected"]))
        case "greater_than_equal" | "less_than_equal" | "greater_than":
            message = f"`{name}` must be {_bound(context)}, not {given}"
        case "too_short" | "string_too_short":
            message = f"`{name}` must not be empty"
        case kind if kind in _WANTED:
            message = f"`{name}` must be {_WANTED[kind]}, not {_kind(given)}"
            hint = f"write [{given}]" if kind == "list_type" and isinstance(given, str) else None
    return Fault(base + path, message, hint)


def dotted(path: KeyPath) -> str:
    """`threat[0].tactic.id`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def _bound(context: dict[str, Any]) -> str:
    words = {"ge": "at least", "le": "at most", "gt": "more than"}
    return next(f"{words[name]} {value:g}" for name, value in context.items() if name in words)


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a date or time")


def _known(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys of the table at `path` below `model`."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for part in path:
        if isinstance(part, int):
            continue
        inner = _table(fields[part].annotation) if part in fields else None
        if inner is None:
            return []
        fields = {field.alias or name: field for name, field in inner.model_fields.items()}
    return list(fields)


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `list[Model]`, `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_table(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)
