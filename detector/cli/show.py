"""What people see: tables, problems with their place, errors with a way out.

Data goes to standard output, everything said about it to standard error. Text that comes from
events or rules is stripped of control characters: whoever writes events must not drive a terminal.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detector.errors import DetectorError, Place
from detector.model import Problem

COLOURS = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "succeeded": "green",
    "partial failure": "yellow",
    "failed": "bold red",
    "created": "green",
    "updated": "yellow",
}
ROOMY = 150
"""Columns an alert or a rule needs to stand on one line and still be read."""

ENDS = "\n\r\t\x0b\x0c\x85\u2028\u2029"
"""Characters that end a line or a cell: a space stands for each."""

WIDE = 10_000
"""Columns off a terminal, so that nothing wraps or is cut there."""


class Screen(Console):
    """Leaves it to the command to end when the reader has seen enough."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(file: IO[str]) -> Console:
    """A console as wide as the terminal; off one, plain text of any width, whatever is forced."""
    if file.isatty():
        return Screen(file=file, highlight=False)
    return Screen(
        file=file,
        highlight=False,
        width=WIDE,
        color_system=None,
        soft_wrap=True,
        force_terminal=False,
    )


def out() -> Console:
    return console(sys.stdout)


def err() -> Console:
    return console(sys.stderr)


def clean(text: object) -> str:
    """`text` on one line without control, format and surrogate characters."""
    return "".join(
        " " if character in ENDS else character
        for character in str(text)
        if character in ENDS or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
    )


def styled(text: object, style: str | None = None) -> Text:
    """Text from outside as a table's cell: cleaned, never read as markup."""
    shown = clean(text)
    return Text(shown, style=style or COLOURS.get(shown, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose right-most column takes the space that is left; numbers stand to the right."""
    listed = [list(row) for row in rows]
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        numbers = bool(listed) and all(isinstance(row[position], int | float) for row in listed)
        last = position == len(columns) - 1
        made.add_column(
            name, justify="right" if numbers else "left", overflow="fold", no_wrap=not last
        )
    for row in listed:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return styled(f"{value:,}" if isinstance(value, int | float) else value)


def listed(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> RenderableType:
    """A line a row where `width` columns have room for it, else two.

    Of two, the first has the first cell and the last, which names what the row is about; the second
    the others that are not empty or nothing, each after its column's name.
    """
    if width >= ROOMY:
        return table(columns, rows)
    firsts = [_cell(row[0]) for row in rows]
    widest = max((first.cell_len for first in firsts), default=0) + 2
    return Group(
        *(
            _pair(first, zip(columns[1:], row[1:-1], strict=False), row[-1], widest)
            for first, row in zip(firsts, rows, strict=True)
        )
    )


def _pair(
    first: Text, about: Iterable[tuple[str, object]], last: object, indent: int
) -> RenderableType:
    head = Text.assemble(first)
    head.pad_right(indent - head.cell_len)
    head.append(clean(last), "bold")
    below = "  ".join(f"{name} {_cell(cell).plain}" for name, cell in about if cell)
    return Group(head, Padding(Text(below, "dim"), (0, 0, 0, indent)))


def say(text: str, style: str | None = None) -> None:
    """What is going on, to standard error; text from outside in it is cleaned by the caller."""
    err().print(Text("\n".join(map(clean, text.split("\n")))), style=style)


def document(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def line(value: Any) -> None:
    """One line of NDJSON on standard output."""
    sys.stdout.write(json.dumps(value, default=str, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def error(raised: DetectorError) -> None:
    """An error as people meet it: where, what, the line, a way out."""
    problems = getattr(raised, "problems", None)
    if problems:
        for problem in problems:
            show_problem(problem)
        return
    place = raised.place or Place(0, 0)
    show_problem(
        Problem(
            message=raised.message,
            hint=raised.hint,
            file=place.file,
            line=place.line or None,
            column=place.column or None,
            text=place.text or None,
            width=place.width,
        )
    )


def show_problem(problem: Problem) -> None:
    """`file:line:column: message`, the line with carets under it, `hint: ...`."""
    console = err()
    warning = problem.level == "warning"
    head = Text()
    if problem.file:
        parts = (problem.file, problem.line, problem.column)
        head.append(":".join(clean(part) for part in parts if part is not None) + ": ", "bold")
    head.append("warning: " if warning else "error: ", "yellow" if warning else "bold red")
    head.append(_lines(problem.message))
    console.print(head)
    if problem.text and problem.column:
        console.print(Text(f"  {clean(problem.text)}"))
        before, under = problem.text[: problem.column - 1], problem.text[problem.column - 1 :]
        carets = "^" * max(1, len(clean(under[: problem.width])))
        console.print(Text("  " + " " * len(clean(before)) + carets, "red"))
    if problem.hint:
        console.print(Text(f"hint: {_lines(problem.hint)}", "cyan"))


def unforeseen(raised: Exception) -> None:
    """A fault of detector itself."""
    show_problem(
        Problem(
            f"unforeseen: {type(raised).__name__}: {raised}",
            hint="this is a fault in detector; DETECTOR_DEBUG=1 shows where it happened",
        )
    )


def when(time: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _lines(text: str) -> str:
    """Several lines; those after the first are set back: no text from outside begins one."""
    return "\n  ".join(clean(part) for part in text.splitlines())


def alerts(found: Iterable[dict[str, Any]], width: int = WIDE) -> RenderableType:
    """Alerts: when the event happened, how bad, which rule, where, and why.

    A line each where `width` columns have room for it, else three.
    """
    rows = [_alert(alert) for alert in found]
    if width >= ROOMY:
        return table(("time", "severity", "rule", "host", "container", "reason"), rows)
    return Group(*(_card(*row) for row in rows))


def _card(
    time: str, severity: str, rule: str, host: str, container: str, reason: str
) -> RenderableType:
    """One alert where there is no room for a table."""
    head = Text.assemble(
        (f"{clean(time)[11:]}  ", "dim"), styled(f"{severity:<8}", COLOURS.get(severity)), " "
    )
    where = Text(f"{clean(host)}  {clean(container)}", "cyan")
    below = Group(where, Text(clean(reason), "dim"))
    return Group(head.append(clean(rule), "bold"), Padding(below, (0, 0, 0, 10)))


def _alert(alert: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    time = alert.get("kibana.alert.original_time") or alert["@timestamp"]
    return (
        str(time)[:19].replace("T", " "),
        str(alert.get("kibana.alert.severity", "")),
        str(alert.get("kibana.alert.rule.name", "")),
        _at(alert, "host", "name"),
        _at(alert, "orchestrator", "resource", "name") or _at(alert, "container", "id")[:12],
        str(alert.get("kibana.alert.reason", "")),
    )


def _at(source: Any, *path: str) -> str:
    """A value of a nested or dotted source, or nothing."""
    if isinstance(source, dict) and ".".join(path) in source:
        return str(source[".".join(path)])
    for part in path:
        source = source.get(part) if isinstance(source, dict) else None
    return "" if source is None else str(source)
