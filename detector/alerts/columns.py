"""An event and the columns of a query's row in, the event as the query tells of it out.

As in Kibana, what the query says goes before what the event says. A column that only repeats the
event changes nothing: it has lost the order of its values, and doubles what `text` fields hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detector.alerts import instants, reading
from detector.model import Source

MILLISECOND = 1_000_000


def over(source: Source, columns: Mapping[str, Any]) -> Source:
    """The source with what the columns change or add; those of metadata (`_id`) are left out."""
    changed = {
        name: value
        for name, value in columns.items()
        if value is not None and not name.startswith("_") and not _repeats(source, name, value)
    }
    if not changed:
        return source
    whole = dict(source)
    for name, value in changed.items():
        whole = _without(whole, name)
        reading.put(whole, name, value)
    return whole


def _repeats(source: Source, name: str, value: Any) -> bool:
    """Whether the event says so already, there or in the field that this one indexes as well."""
    found = reading.found(source, name)
    if not found:
        return _is_below_a_value(source, name)
    if any(isinstance(one, Mapping) for one in found):
        return True  # a point, a range: the columns spell it otherwise
    said = value if isinstance(value, list) else [value]
    held = reading.values(source, name)
    return set(map(str, said)) == set(map(str, held)) or _times(said) == _times(held) != [None]


def _is_below_a_value(source: Source, name: str) -> bool:
    above = name.rpartition(".")[0]
    while above:
        if reading.values(source, above):
            return True
        above = above.rpartition(".")[0]
    return False


def _times(values: list[Any]) -> list[int | None]:
    """In whole milliseconds, as a column of dates has them; `[None]` where some are no times."""
    read = [instants.nanoseconds(one) if isinstance(one, str) else None for one in values]
    return [None] if None in read else [one // MILLISECOND for one in read if one is not None]


def _without(source: Source, name: str) -> dict[str, Any]:
    """A copy without what stands at `name`, however it is spelled."""
    left = {key: value for key, value in source.items() if key != name}
    for key, value in source.items():
        if name.startswith(f"{key}.") and isinstance(value, Mapping):
            left[key] = _without(value, name[len(key) + 1 :])
    return left
