"""`detector node`: the embedded Elasticsearch alone, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detector.cli import options, show, waiting
from detector.node import embedded


def node(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65_535, help="The port to listen on (default: a free one)."
        ),
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="Where its data lie, and stay.")
    ] = embedded.DEFAULT_FOLDER,
    heap: Annotated[
        str, typer.Option("--heap", help="Its heap, such as `512m` or `2g`.")
    ] = embedded.DEFAULT_HEAP,
) -> None:
    """Start the embedded Elasticsearch and keep it until Ctrl-C.

    A real Elasticsearch for the laptop, on loopback, without users: see docs/node.md. Other
    commands share it while it runs, with `--url embedded` from the same folder.
    """
    with waiting.drawn() as drawing:

        def announce(started: embedded.Node) -> None:
            drawing.close()
            typer.echo(started.url)
            show.say(f"Elasticsearch is up, its data in {started.folder}; Ctrl-C stops it")

        embedded.serve(data, embedded.Launch(port, heap), drawing.draw, announce)


app = options.app(node)
