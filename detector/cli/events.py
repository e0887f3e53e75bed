"""An event as it is named on the command line (a file, `-`, `INDEX/ID`) -> the event."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.alerts import reading
from detector.cli import wiring
from detector.cli.options import Common
from detector.detect.verdict import questions
from detector.errors import DetectorError, Place, SettingsError
from detector.language.explain import Answer
from detector.language.fields import ECS, FieldTypes
from detector.language.tree import Node
from detector.model import Rule, Source
from detector.text import file as textfile
from detector.text.document import refuse_depth

if TYPE_CHECKING:
    from detector.settings import Settings

MOST_BYTES = 20_000_000
NAMED = "a file, `-` for standard input, or INDEX/ID of an event in the cluster"


@dataclass(frozen=True, slots=True)
class Event:
    """An event, and where it lies if that is known; `covered` says that the rule looks there.

    `found` is what Elasticsearch answers to each of the rule's questions, `types` what its index
    knows about fields.
    """

    source: Source
    index: str | None = None
    id: str | None = None
    covered: bool = True
    found: tuple[Answer, ...] = ()
    types: FieldTypes = ECS


def of(
    name: str, rule: Rule, names: Collection[str], common: Common, configured: Settings
) -> Event:
    """The event called `name`; raises `DetectorError`."""
    if name == "-":
        return read(sys.stdin.read(MOST_BYTES + 1), "<stdin>")
    if Path(name).is_dir() or textfile.is_file(Path(name)):
        return _of_file(Path(name))
    asked = [one.where for one in questions(rule)]
    return of_cluster([name], rule, names, common, configured, asked)[0]


def of_cluster(
    named: Sequence[str],
    rule: Rule,
    names: Collection[str],
    common: Common,
    configured: Settings,
    asked: Sequence[Node] = (),
) -> list[Event]:
    """The events at `INDEX/ID`, with what only the index knows of `names`, and `asked` there."""
    from detector.store import lookup  # noqa: PLC0415 - the client takes a fifth of a second

    places = [_place(one) for one in named]
    found = []
    with ExitStack() as stack:
        store = stack.enter_context(wiring.store(common, configured))
        for index, id_ in places:
            stored, held = lookup.fetch(store, index, id_, names)
            source = reading.filled(stored.source, held, sorted(names))
            covered = not rule.index or lookup.covers(store, rule.index, stored)
            seen = replace(stored, source=source)
            answers = tuple(lookup.satisfies(store, seen, one) for one in asked)
            types = store.field_types((stored.index,), names)
            found.append(Event(source, stored.index, stored.id, covered, answers, types))
    return found


def read(text: str, file: str) -> Event:
    """One JSON object: an event, or a hit with its `_source`."""
    where = Place(1, 1, file=file)
    if len(text) > MOST_BYTES:
        raise DetectorError(f"larger than {MOST_BYTES // 1_000_000} MB", place=where)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(error, text, where) from None
    return _event(data, where)


def _of_file(path: Path) -> Event:
    if path.suffix in {".yaml", ".yml"}:
        (text,) = textfile.read(path)
        if isinstance(text, DetectorError):
            raise text
        return _event(text.data, Place(1, 1, file=str(path)))
    return read(textfile.decoded(path, MOST_BYTES), str(path))


def _event(data: Any, where: Place) -> Event:
    if isinstance(data, dict) and isinstance(data.get("_source"), dict):
        hit, data = data, data["_source"]
        event = Event(data, _text(hit.get("_index")), _text(hit.get("_id")))
    elif isinstance(data, dict):
        event = Event(data)
    else:
        raise DetectorError("an event is a JSON object", place=where)
    refuse_depth(data, where)
    return event


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _place(name: str) -> tuple[str, str]:
    index, slash, id_ = name.partition("/")
    if not (index.strip(".") and slash and id_):
        raise SettingsError(f"no event is called `{name}`", hint=NAMED)
    return index, id_


def _unreadable(error: Exception, text: str, where: Place) -> DetectorError:
    if text.count("\n") and getattr(error, "msg", "") == "Extra data":
        hint = "one event at a time: `sed -n 2p FILE | detector explain RULE -`"
        return DetectorError("more than one event", hint=hint, place=where)
    line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
    reason = getattr(error, "msg", "nested too deeply").lower()
    return DetectorError(f"not valid JSON: {reason}", place=Place(line, column, file=where.file))
