"""One module per command; the only place that prints.

A command's module is imported when the command is named, so that `detector --version` is quick.
"""

from __future__ import annotations

import gc
import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from detector import __version__
from detector.cli import options

COMMANDS = {
    "demo": "demo",
    "once": "once",
    "run": "run",
    "backfill": "backfill",
    "status": "status",
    "gaps": "gaps",
    "prune": "prune",
    "check": "check",
    "compile": "compiling",
    "test": "testing",
    "scan": "scan",
    "explain": "explaining",
    "example": "example",
    "setup": "setup",
    "alerts": "alerts",
    "init": "init",
    "node": "node",
}
"""Each command and the module of it, in the order of `--help`."""

COLLECTED_AFTER = 50_000
"""New objects between two looks of the garbage collector: a search of 200 rules makes that many."""


class Commands(TyperGroup):
    """Finds a command's module by the command's name."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - its signature is typer's
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"detector.cli.{COMMANDS[cmd_name]}")
        command = get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    name="detector",
    help="A detection engine for Elastic rules that needs no Kibana.",
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"detector {__version__}")
        raise typer.Exit


@app.callback()
def before(
    ctx: typer.Context,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
    version: Annotated[  # noqa: ARG001 - its callback has said it
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A detection engine for Elastic rules that needs no Kibana."""
    ctx.obj = options.Common(config, tuple(rules or ()), url, json)


def main() -> None:
    """The command line; ends the process with the command's exit code."""
    collect_seldom()
    app(prog_name="detector")


def collect_seldom() -> None:
    """Let Python look for garbage seldom: rules and modules are many objects, and they stay."""
    gc.set_threshold(COLLECTED_AFTER, 20, 20)
