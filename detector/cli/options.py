"""The options every command shares, read before and after the command's name alike."""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeAlias

import typer

from detector.cli import show
from detector.errors import DetectorError, Forbidden, NodeError, NotSetUp, SettingsError

P = ParamSpec("P")


def web_url(value: str | None) -> str | None:
    """An option's address, as the settings take it; raises `BadParameter`, which never shows it."""
    from detector import settings  # noqa: PLC0415 - the validation takes a fifth of a second

    return _checked(settings.web_url, value)


def cluster_url(value: str | None) -> str | None:
    """As `web_url`, for several with commas and `embedded` as well."""
    from detector import settings  # noqa: PLC0415 - the validation takes a fifth of a second

    return _checked(settings.cluster_url, value)


def _checked(parse: Callable[[str], str], value: str | None) -> str | None:
    try:
        return value if value is None else parse(value)
    except DetectorError as error:
        raise typer.BadParameter(f"{error.message}; {error.hint}") from None


Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration (default: $DETECTOR_CONFIG, ./config/detector.yaml, the package's).",
    ),
]
Rules: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        metavar="PATH",
        help="A rule file or folder; may be repeated (default: configuration, ./rules, packaged).",
    ),
]
Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The Elasticsearch (its nodes, with commas), or `embedded` for one started here.",
        callback=cluster_url,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
]
Workers: TypeAlias = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=10, help="Pieces asked for at a time."),
]
Chosen: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--rule", metavar="RULE", help="Only this rule: id, name or file; may be repeated."
    ),
]

USAGE = (SettingsError, NodeError, NotSetUp)
"""Errors of how detector is set up or called: exit code 2; all others are 1."""


@dataclass(frozen=True, slots=True)
class Common:
    """What the shared options say, wherever they stood."""

    config: Path | None = None
    rules: tuple[Path, ...] = ()
    url: str | None = None
    json: bool = False


def common(
    ctx: typer.Context, config: Config, rules: Rules, url: Url, *, json: bool = False
) -> Common:
    """The options behind the command's name over those before it."""
    before = ctx.find_root().obj or Common()
    return Common(
        config=config or before.config,
        rules=tuple(rules or before.rules),
        url=url or before.url,
        json=json or before.json,
    )


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors are shown once, with a way out, and become its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DetectorError as error:
            show.error(error)
            raise typer.Exit(2 if isinstance(error, (*USAGE, Forbidden)) else 1) from None
        except KeyboardInterrupt:
            show.say("stopped")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os._exit(0)
        except OSError as error:
            show.error(unusable(error))
            raise typer.Exit(2) from None
        except typer.Exit:
            raise
        except Exception as error:  # noqa: BLE001 - a person is at the other end
            if os.environ.get("DETECTOR_DEBUG"):
                traceback.print_exc()
            show.unforeseen(error)
            raise typer.Exit(1) from None

    return run


def unusable(error: OSError) -> DetectorError:
    """A file or folder that a person named and the system refuses."""
    about = f"cannot use {error.filename}: " if error.filename else ""
    return DetectorError(f"{about}{(error.strerror or str(error)).lower()}")


def app(command: Callable[..., Any]) -> typer.Typer:
    """A module's one command."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    made.command(help=text)(guarded(command))
    return made
