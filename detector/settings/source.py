"""A YAML file and the environment -> plain values, each with its origin, and their problems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from detector.errors import DetectorError, Place
from detector.model import Problem
from detector.text import file as textfile
from detector.text.document import Text, cut
from detector.text.faults import Fault, KeyPath, dotted, nearest

PREFIX = "DETECTOR_"
MAX_SECRET = 64_000
NOT_SETTINGS = frozenset({"DETECTOR_CONFIG", "DETECTOR_MAVEN_URL"})
"""Variables with our prefix that other parts read: the file's path, the package mirror."""

_LINKS = re.compile(PREFIX + r"(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)")
"""What Kubernetes sets in every pod beside a service named `detector`."""


class Source:
    """Gathers values, where each came from, and what is wrong with them."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self.secrets = tuple(secrets)
        self.text: Text | None = None
        self.data: dict[str, Any] = {}
        self.variables: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def read(self, path: Path) -> None:
        if path.suffix not in {".yaml", ".yml"}:
            self.add("a configuration must be a .yaml file", Place(1, 1, file=str(path)))
            return
        for item in textfile.read(path):
            if isinstance(item, DetectorError):
                self.unreadable(item)
            elif isinstance(item.data, dict):
                self.text = item
                self.data = _given(item.data)
                self.refuse_secrets(item)
            elif item.data is not None:
                self.add("a configuration must be a mapping of keys", item.key(()))

    def unreadable(self, error: DetectorError) -> None:
        """What YAML says of a line can quote it."""
        hides = error.place is not None and _may_hold_secret(error.place.text)
        self.add("not valid YAML" if hides else error.message, error.place, error.hint)

    def refuse_secrets(self, text: Text) -> None:
        for section, key in self.secrets:
            table = self.data.get(section)
            if isinstance(table, dict) and table.pop(key, None) is not None:
                hint = f"set {_variable((section, key))}, or name a file in `{key}_file`"
                self.add(f"`{key}` must not stand in a file", text.key((section, key)), hint)

    def override(self, environ: Mapping[str, str], keys: Iterable[KeyPath]) -> None:
        """Put the variables of `environ` over what was read; an empty one counts as absent."""
        known = {_variable(path): path for path in keys}
        for name, value in sorted(environ.items()):
            if not name.startswith(PREFIX) or name in NOT_SETTINGS or _LINKS.fullmatch(name):
                continue
            if name not in known:
                hint = nearest(name, known, PREFIX)
                self.problems.append(Problem(f"unknown variable {name}", hint=hint))
            elif value:
                self.put(known[name], value)
                self.variables[known[name]] = name

    def put(self, path: KeyPath, value: Any) -> None:
        table: Any = self.data
        for part in path[:-1]:
            inner = table.get(part)
            table[part] = inner if isinstance(inner, dict) else {}
            table = table[part]
        table[path[-1]] = value

    def read_secrets(self) -> None:
        """Fill secrets from the files named for them; one given as itself wins."""
        for section, key in self.secrets:
            self.read_secret(section, key)

    def read_secret(self, section: str, key: str) -> None:
        table = self.data.get(section)
        if not isinstance(table, dict):
            return
        if table.get(key) is not None:
            self.vet((section, key), f"`{section}.{key}`", key, table[key])
            return
        path, at = table.get(f"{key}_file"), (section, f"{key}_file")
        if isinstance(path, str) and (secret := self.content(at, Path(path))):
            self.vet(at, f"`{dotted(at)}`: {path}", key, secret)
            self.put((section, key), secret)

    def vet(self, at: KeyPath, whose: str, key: str, secret: object) -> None:
        """Refuse what cannot go into a header; the client would quote all of it in its error.

        A password goes there as base64, so that only a second line tells that it is none.
        """
        spaced = key == "password"
        if not _printable(str(secret), spaced=spaced):
            wanted = "one line of text" if spaced else "one word of printable ASCII"
            self.fault(Fault(at, f"{whose} is not {wanted}", "nothing but the secret, on one line"))

    def content(self, key: KeyPath, path: Path) -> str | None:
        try:
            secret = textfile.decoded(path, MAX_SECRET).strip()
        except DetectorError as error:
            reason = error.message.removeprefix("cannot be read: ")
            self.fault(Fault(key, f"`{dotted(key)}`: {path} cannot be read: {reason}"))
            return None
        if not secret:
            self.fault(Fault(key, f"`{dotted(key)}`: {path} is empty"))
        return secret or None

    def fault(self, fault: Fault) -> None:
        """A problem of the variable the value came from, or of its place in the file."""
        variable = next(
            (self.variables[way] for way in _ways(fault.path) if way in self.variables), None
        )
        if variable:
            message = fault.message.replace(f"`{dotted(fault.path)}`", variable)
            self.problems.append(Problem(message, hint=fault.hint))
        elif self.text:
            at = self.text.key(fault.path) if fault.unknown else self.text.value(fault.path)
            self.add(fault.message, at, fault.hint)
        else:
            self.problems.append(Problem(fault.message, hint=fault.hint))

    def add(self, message: str, place: Place | None, hint: str | None = None) -> None:
        at = place or Place(1, 1)
        text = None if _may_hold_secret(at.text) else at.text or None
        self.problems.append(
            Problem(cut(message), "error", hint, at.file, at.line, at.column, None, text, at.width)
        )


def _ways(path: KeyPath) -> Iterator[KeyPath]:
    """`path` and all above it, the longest first."""
    return (path[:end] for end in range(len(path), 0, -1))


def _given(data: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without keys that were left empty: those keep their defaults."""
    return {key: _table(key, value) for key, value in data.items() if value is not None}


def _table(key: str, value: Any) -> Any:
    return _given(value) if isinstance(value, dict) and key != "identity" else value


def _may_hold_secret(line: str) -> bool:
    return bool(re.search(r"(?i)api_?key|password|secret|token|heartbeat|://[^/\s]*@", line))


def _printable(secret: str, *, spaced: bool) -> bool:
    return secret.isprintable() and (spaced or (secret.isascii() and " " not in secret))


def _variable(path: KeyPath) -> str:
    return PREFIX + "_".join(str(part) for part in path).upper()
