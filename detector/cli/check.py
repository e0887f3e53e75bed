"""`detector check`: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.cli import options, show, wiring
from detector.errors import DetectorError
from detector.model import Problem
from detector.rulefile import Loaded
from detector.settings import InvalidSettingsError, Settings


def check(
    ctx: typer.Context,
    path: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Rule files or folders, as --rules."),
    ] = None,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Check rules and configuration and, where an Elasticsearch is named, that as well.

    Says everything at once, with its place and a way out. Warnings (a rule of a type that cannot
    run yet, an index that is not there) leave the exit code at 0; errors make it 1.
    """
    common = options.common(ctx, config, [*(path or ()), *(rules or ())], url, json=json)
    configured, problems = _settings(common)
    loaded = wiring.read_rules(common, configured)
    problems += loaded.problems
    if common.url or configured.elasticsearch.url:
        problems += _cluster(common, configured, loaded)
    if common.json:
        show.document(_json(loaded, problems))
    else:
        for problem in problems:
            show.show_problem(problem)
        _effects(loaded)
        _summary(loaded, problems)
    if any(problem.level == "error" for problem in problems):
        raise typer.Exit(1)


def _settings(common: options.Common) -> tuple[Settings, list[Problem]]:
    """What can be read of the configuration; with errors in it, the defaults stand in."""
    try:
        return wiring.read_settings(common), []
    except InvalidSettingsError as error:
        return Settings(), list(error.problems)


def _cluster(common: options.Common, configured: Settings, loaded: Loaded) -> list[Problem]:
    from detector.store import inspection  # noqa: PLC0415 - only with a URL

    able = [rule for rule in loaded.rules if rule.enabled and not rule.unsupported]
    try:
        with wiring.store(common, configured) as store:
            return list(inspection.inspect(store, able))
    except DetectorError as error:
        return [Problem(error.message, hint=error.hint)]


def _summary(loaded: Loaded, problems: Sequence[Problem]) -> None:
    errors = sum(problem.level == "error" for problem in problems)
    unsupported = sum(rule.unsupported is not None for rule in loaded.rules)
    said = f"{len(loaded.rules):,} rules, {len(loaded.rules) - unsupported:,} can run"
    if left_out := sum(not rule.enabled for rule in loaded.rules):
        said += f", {left_out:,} are not enabled"
    said += f"; {errors} errors, {len(problems) - errors} warnings"
    show.say(said, "bold red" if errors else "green")


def _effects(loaded: Loaded) -> None:
    """What overlays have hit."""
    rows = [
        (
            len(one.rules),
            ", ".join(one.keys) or "only these run",
            f"{one.place.file}:{one.place.line}",
        )
        for one in loaded.effects
    ]
    if rows:
        show.out().print(show.table(("rules", "what", "overlay"), rows))


def _json(loaded: Loaded, problems: Sequence[Problem]) -> dict[str, Any]:
    broken = {problem.file for problem in problems if problem.level == "error" and problem.file}
    return {
        "rules": len(loaded.rules) + len(broken - {str(rule.file) for rule in loaded.rules}),
        "ok": sum(rule.unsupported is None for rule in loaded.rules),
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "rule_id": problem.rule_id,
                "level": problem.level,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ],
        "overlays": [
            {
                "file": one.place.file,
                "line": one.place.line,
                "keys": list(one.keys),
                "rules": len(one.rules),
            }
            for one in loaded.effects
        ],
    }


app = options.app(check)
