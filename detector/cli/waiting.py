"""What is drawn while something takes longer than a second: spinners, bars, the embedded node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from detector.cli import show
from detector.model import RunRecord

if TYPE_CHECKING:
    from detector.node.embedded import Launch, Node


class Bar:
    """A run's progress as a bar with the time that is left."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=1.0, detail="")

    def advance(self, share: float, text: str) -> None:
        self._progress.update(self._task, completed=share, detail=text)

    def say(self, text: str) -> None:
        self._progress.console.print(Text(text))

    def finished(self, record: RunRecord) -> None:
        pass


@contextmanager
def bar(what: str) -> Iterator[Bar]:
    """A bar on standard error; off a terminal nothing is drawn."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    console = show.err()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        yield Bar(p, what)


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """A spinner on standard error; off a terminal the words alone."""
    console = show.err()
    if not console.is_terminal:
        show.say(what)
        yield
        return
    with console.status(Text(what)):
        yield


@contextmanager
def embedded(folder: Path | None = None, launch: Launch | None = None) -> Iterator[Node]:
    """The embedded node of `folder`, with a bar for its downloads and a spinner for its start."""
    from detector.node import embedded as node  # noqa: PLC0415 - wanted by few commands

    with (
        drawn() as drawing,
        node.running(
            folder or node.DEFAULT_FOLDER, launch or node.Launch(), drawing.draw
        ) as started,
    ):
        drawing.close()
        yield started


class Drawing:
    """The node's progress: bytes of a download, or seconds of a start."""

    def __init__(self) -> None:
        console = show.err()
        self._terminal = console.is_terminal
        self._said = ""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
            disable=not self._terminal,
        )
        self._task = self._progress.add_task("", total=None, detail="")
        self._progress.start()

    def draw(self, what: str, done: float, total: float | None) -> None:
        if not self._terminal and what != self._said:
            show.say(what)
        self._said = what
        detail = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{done:.0f} s"
        self._progress.update(
            self._task, description=what, completed=done, total=total, detail=detail
        )

    def close(self) -> None:
        self._progress.stop()


@contextmanager
def drawn() -> Iterator[Drawing]:
    """A drawing that is gone when its work is done."""
    drawing = Drawing()
    try:
        yield drawing
    finally:
        drawing.close()
