"""Exceptions as they were written -> which of them hold for a rule, as one condition.

Ours stand in YAML and name rules or tags; Kibana's stand in lists that rules name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from detector.errors import DetectorError, LanguageError, Place
from detector.language import tree
from detector.language.tree import Node
from detector.model import Rule
from detector.rulefile import entries, expiry, queries
from detector.rulefile.expiry import Expiry
from detector.rulefile.lists import ValueLists
from detector.rulefile.report import Report
from detector.rulefile.tuningkeys import ExceptionKeys
from detector.text import file as textfile
from detector.text.document import Text

Meaning = Callable[[str, Mapping[str, Any]], Node]
"""What an exception excepts, for a language and the keys of a rule; raises `DetectorError`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules an exception is for."""

    rules: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    all: bool = False
    list_id: str | None = None

    def covers(self, rule: Rule, lists: frozenset[str]) -> bool:
        return (
            self.all
            or rule.rule_id in self.rules
            or self.list_id in lists
            or not self.tags.isdisjoint(rule.parameters.get("tags", ()))
        )


@dataclass(eq=False, slots=True)
class Item:
    """One exception; `known` keeps what it means, by the language it is read in.

    `fault` says why it has no meaning, where that is reported already.
    """

    name: str
    place: Place
    scope: Scope
    meaning: Meaning
    inner: Text | None = None
    fault: str | None = None
    used: bool = False
    known: dict[tuple[str, str], tuple[Node | None, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What holds for one rule: the condition that mutes, its digest, and what could not be done."""

    muted: Node | None
    digest: str
    warnings: tuple[str, ...]


class Exceptions:
    """All exceptions that were read; those that had ended by `now` are said and left out.

    Without `now` none ends.
    """

    def __init__(self, folders: Iterable[Path], report: Report, now: datetime | None) -> None:
        self.lists = ValueLists(folders)
        self.report = report
        self.expiry = Expiry(now)
        self._items: list[Item] = []
        self._list_ids: set[str] = set()

    def read(self, file: Path) -> None:
        """Take the exceptions of a file: ours, or an export of Kibana's lists."""
        for text in self.report.readable(textfile.read(file)):
            if file.suffix == ".ndjson":
                self.exported(text)
            else:
                several = isinstance(text.data, list)
                items = self.written(text) if several else [self._ours(text, alone=False)]
                self._items += filter(None, items)

    def exported(self, text: Text) -> None:
        """Take a line of an export: a list, or one of its items; other lines are not read."""
        if not is_exported(text.data):
            return
        list_id = str(text.data["list_id"])
        self._list_ids.add(list_id)
        if "entries" not in text.data:
            return
        item = self.report.checked(entries.Item, text)
        scope = Scope(list_id=list_id)
        name = f"{list_id}: {text.data.get('name') or text.data.get('item_id')}"
        if item is None:
            self._items.append(Item(name, text.key(()), scope, _refuse, fault="it is not valid"))
        elif not self._ended(item.expire_time, name, text, "expire_time"):
            meaning = partial(_of_entries, item, self.lists.values)
            self._items.append(Item(name, text.key(()), scope, meaning))

    def written(self, text: Text, *, alone: bool = False) -> Iterator[Item]:
        """Our exceptions in a list; `alone` where they stand beside the rules they are for."""
        for number, one in enumerate(text.data):
            if item := self._ours(text.at((number,), one), alone=alone):
                yield item

    def of(self, rule: Rule, own: Sequence[Item], text: Text) -> Applied:
        """What mutes the rule: its own exceptions and those of files."""
        lists = frozenset(self._named(rule))
        nodes: list[Node] = []
        digests: list[str] = []
        warnings = [*self._unresolved(rule, text)]
        for item in (*own, *(item for item in self._items if item.scope.covers(rule, lists))):
            item.used = True
            node, said = self._meaning(item, rule)
            if node is None:
                warnings.append(f"the exception `{item.name}` cannot be applied: {said}")
            else:
                nodes.append(node)
                digests.append(said)
        muted = tree.any_of(nodes) if nodes else None
        return Applied(muted, " ".join(sorted(digests)), tuple(warnings))

    def unused(self) -> Iterator[Item]:
        """Those of our exceptions that no rule has; a list of Kibana's may be for other rules."""
        return (item for item in self._items if not item.used and item.scope.list_id is None)

    def _named(self, rule: Rule) -> Iterator[str]:
        for one in rule.parameters.get("exceptions_list", ()):
            yield one["list_id"]

    def _unresolved(self, rule: Rule, text: Text) -> Iterator[str]:
        for number, list_id in enumerate(self._named(rule)):
            if list_id not in self._list_ids:
                said = f"the exception list `{list_id}` is in no file: nothing is excepted by it"
                hint = "export it from Kibana (Shared exception lists) into the exceptions' folder"
                place = text.value(("exceptions_list", number))
                self.report.add(said, place, hint, level="warning", rule_id=rule.rule_id)
                yield said

    def _ours(self, text: Text, *, alone: bool) -> Item | None:
        written = self.report.checked(ExceptionKeys, text)
        if written is None or not self._complete(written, text, alone=alone):
            return None
        name = written.name or written.reason
        if self._ended(written.expires, name, text, "expires"):
            return None
        scope = Scope(frozenset(written.rules), frozenset(written.tags), written.all)
        return Item(name, text.key(()), scope, partial(_of_query, written, self.lists.values), text)

    def _complete(self, written: ExceptionKeys, text: Text, *, alone: bool) -> bool:
        wide = bool(written.rules or written.tags or written.all)
        if wide and alone:
            message, hint = "an exception beside its rule names no other", "it is for that rule"
        elif not wide and not alone:
            message, hint = "an exception names its rules", "`rules: [ID]`, `tags`, or `all: true`"
        elif not written.query and not written.values:
            message, hint = "an exception needs `query` or `values`", None
        else:
            return True
        self.report.add(message, text.key(()), hint)
        return False

    def _ended(self, written: str | None, name: str, text: Text, key: str) -> bool:
        """Whether it is over, or nobody knows; said when it is, and for some days before."""
        if not written:
            return False
        place = text.value((key,))
        try:
            said = self.expiry.judge(expiry.end(written))
        except ValueError:
            self.report.add(f"`{key}` is no date", place, "as in 2026-12-31")
            return True
        if said:
            over = ": its rules alert again" if said == "has ended" else ""
            message = f"the exception `{name}` {said} ({written}){over}"
            hint = "take it out, or give it another date"
            self.report.add(message, place, hint, level="warning")
        return said == "has ended"

    def _meaning(self, item: Item, rule: Rule) -> tuple[Node | None, str]:
        """The condition and its digest, or None and why; a fault is reported once a language."""
        if item.fault:
            return None, item.fault
        language = rule.language if rule.language in {"eql", "lucene"} else "kuery"
        key = language, str(rule.parameters.get("event_category_override", ""))
        if key not in item.known:
            try:
                node = item.meaning(language, rule.parameters)
                item.known[key] = node, hashlib.sha256(repr(node).encode()).hexdigest()[:16]
            except DetectorError as error:
                self._report(error, item)
                item.known[key] = None, error.message
        return item.known[key]

    def _report(self, error: DetectorError, item: Item) -> None:
        place = item.place
        if isinstance(error, LanguageError) and error.place is not None and item.inner is not None:
            place = item.inner.within(("query",), error.place)
        several = item.scope.all or item.scope.tags
        hint = (
            "read in the language of each rule; `language: kuery` says which" if several else None
        )
        self.report.add(error.message, place, error.hint or hint)


def is_exported(data: Any) -> bool:
    """Whether a line of an export is a list of exceptions or one of its items."""
    return isinstance(data, dict) and "list_id" in data and "rule_id" not in data


def _of_entries(item: entries.Item, values: entries.Values, *_: object) -> Node:
    return entries.condition(item, values)


def _of_query(
    written: ExceptionKeys, values: entries.Values, language: str, keys: Mapping[str, Any]
) -> Node:
    asked = [entries.in_list(one.field, one.list, one.type, values) for one in written.values]
    if written.query:
        asked.append(queries.condition(written.query, written.language or language, keys))
    return tree.all_of(asked)


def _refuse(*_: object) -> Node:
    raise DetectorError("it cannot be read")
