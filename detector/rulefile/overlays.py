"""Overlays, and a rule as it was written -> the rule as it is to be read, each key with its place.

Upstream's files stay as they are; what an overlay writes is checked as if it stood in the rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.errors import Place
from detector.language import pattern
from detector.rulefile.report import Report
from detector.rulefile.tuningkeys import Overlay, OverlayFile, Select
from detector.text import file as textfile
from detector.text.document import Text
from detector.text.faults import KeyPath

_NAMED: Mapping[str, str] = {"id": "rule_id", "tag": "tags"}
"""The keys of a rule that a selection has another name for."""

_PACKAGES = "packages"
"""Where selections see the integrations that a file names beside its rule."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a part of an overlay file has hit: the ids of rules, and the keys it wrote there.

    Without keys it is a selection of `only`.
    """

    place: Place
    keys: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patched(Text):
    """A rule as an overlay has changed it: places of keys it wrote are in the overlay's file."""

    written: Mapping[str | int, Text] = field(default_factory=dict)

    def key(self, path: KeyPath) -> Place:
        by = self._by(path)
        return by.key(("patch", *path)) if by else Text.key(self, path)

    def value(self, path: KeyPath) -> Place:
        by = self._by(path)
        return by.value(("patch", *path)) if by else Text.value(self, path)

    def at(self, path: KeyPath, data: Any) -> Text:
        by = self._by(path)
        return by.at(("patch", *path), data) if by else Text.at(self, path, data)

    def _by(self, path: KeyPath) -> Text | None:
        return self.written.get(path[0]) if path else None


@dataclass(frozen=True, slots=True)
class Tuned:
    """A rule to be read, and the lists of exceptions that overlays add to its own."""

    text: Text
    exceptions: tuple[Text, ...] = ()


@dataclass(slots=True)
class _Part:
    """A selection, as a test for each key, and what it is for; `hit` are ids of rules."""

    text: Text
    tests: Mapping[str, pattern.Test]
    keys: tuple[str, ...] = ()
    hit: list[str] = field(default_factory=list)


class Overlays:
    """All overlays, in the order they were read: of two that write a key the later one wins.

    `left_out` are the ids of rules that `only` has not chosen.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._patches: list[_Part] = []
        self._only: list[_Part] = []
        self._chosen = False
        self._content = hashlib.sha256()
        self.left_out: set[str] = set()

    def read(self, file: Path) -> None:
        """Take the overlays of a file; a faulty one is reported and left out."""
        for text in self._report.readable(textfile.read(file)):
            self._content.update("\0".join((text.file, *text.lines)).encode())
            found = self._report.checked(OverlayFile, text)
            if found is None:
                continue
            self._chosen = self._chosen or bool(found.only)
            for number, one in enumerate(found.only):
                part = text.at(("only", number), one)
                if select := self._report.checked(Select, part):
                    self._keep(self._only, _Part(part, _tests(select)))
            for number, one in enumerate(found.overlays):
                part = text.at(("overlays", number), one)
                if overlay := self._report.checked(Overlay, part):
                    tests, keys = _tests(overlay.select), tuple(one["patch"])
                    self._keep(self._patches, _Part(part, tests, keys))

    @property
    def digest(self) -> str:
        """Of all that was read: what becomes of a rule is the same for the same digest."""
        return self._content.hexdigest()

    def apply(self, text: Text, packages: Sequence[str] = ()) -> Tuned:
        """The rule in `text` with all that its overlays write; selections see it as it was.

        `packages` are integrations that its file names beside the rule.
        """
        seen = text.data | {_PACKAGES: [*packages]}
        rule_id = str(text.data.get("rule_id"))
        data, written, exceptions = dict(text.data), {}, []
        for part in _hitting(self._patches, seen):
            part.hit.append(rule_id)
            for key, value in part.text.data["patch"].items():
                if key == "exceptions":
                    exceptions.append(part.text.at(("patch", key), value))
                else:
                    data[key], written[key] = value, part.text
        chosen = list(_hitting(self._only, seen))
        for part in chosen:
            part.hit.append(rule_id)
        if self._chosen and not chosen:
            data["enabled"] = False
            self.left_out.add(rule_id)
        if data == text.data:
            return Tuned(text, tuple(exceptions))
        patched = Patched(text.file, text.lines, data, text.spots, text.base, written)
        return Tuned(patched, tuple(exceptions))

    def effects(self) -> tuple[Effect, ...]:
        """What each part has hit so far."""
        parts = (*self._only, *self._patches)
        return tuple(Effect(one.text.key(()), one.keys, tuple(one.hit)) for one in parts)

    def _keep(self, parts: list[_Part], part: _Part) -> None:
        if part.tests:
            parts.append(part)
            return
        hint = 'as in `tag: [...]`; all rules are `id: "*"`'
        self._report.add("a selection that selects by nothing", part.text.key(()), hint)


def _tests(select: Select) -> dict[str, pattern.Test]:
    """`*` and `?` are wildcards, case does not matter."""
    return {name: pattern.glob(tuple(found), any_case=True) for name, found in select if found}


def _hitting(parts: Iterable[_Part], rule: Mapping[str, Any]) -> Iterator[_Part]:
    for part in parts:
        if all(any(map(test, _values(name, rule))) for name, test in part.tests.items()):
            yield part


def _values(name: str, rule: Mapping[str, Any]) -> Sequence[str]:
    """What a rule says that a selection asks of; it has not been checked yet."""
    if name == "integration":
        return [*rule[_PACKAGES], *_integrations(rule.get("related_integrations"))]
    found = rule.get(_NAMED.get(name, name))
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, str)]


def packages(data: Any) -> list[str]:
    """The integrations that a file of elastic/detection-rules names in `[metadata]`.

    Its rules name none: their `related_integrations` are made of these at a release.
    """
    metadata = data.get("metadata") if isinstance(data, dict) else None
    found = metadata.get("integration") if isinstance(metadata, dict) else None
    listed = found if isinstance(found, list) else [found]
    return [name for name in listed if isinstance(name, str)]


def _integrations(found: Any) -> Iterator[str]:
    """`endpoint`, and with a part of it `aws.cloudtrail` as well."""
    for one in found if isinstance(found, list) else []:
        package = one.get("package") if isinstance(one, dict) else None
        if isinstance(package, str):
            yield package
            if isinstance(one.get("integration"), str):
                yield f"{package}.{one['integration']}"
