"""`detector compile`: the query a rule becomes."""

from __future__ import annotations

import json as jsons
from typing import Annotated, Any, cast

import typer
from rich.syntax import Syntax

from detector.cli import options, show, wiring
from detector.detect import esql, joining, new_terms, threshold
from detector.language import datemath, dsl, eql, fields, tree
from detector.model import Rule, Window

LONGEST = 10_000
"""Characters of a residual that are shown."""


def compile_(
    ctx: typer.Context,
    rule: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE]...", help="Ids, names or files; all rules when none."),
    ] = None,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show the query that is sent for a rule, without its time range. Needs no cluster.

    What no query can say is shown as the residual: it is checked on every hit.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    loaded = wiring.load_named(common, configured, rule or ())
    wiring.show_errors(loaded)
    chosen = wiring.choose(loaded.rules, rule or ())
    compiled = [compiled_rule(one) for one in chosen]
    if common.json:
        if len(compiled) == 1:
            show.document(compiled[0])
        else:
            for one in compiled:
                show.line(one)
    else:
        for one, rule_ in zip(compiled, chosen, strict=True):
            _show(rule_, one)
    if any(problem.level == "error" for problem in loaded.problems):
        raise typer.Exit(1)


def compiled_rule(rule: Rule) -> dict[str, Any]:
    """The document of `compile --json`."""
    searches = []
    if not rule.unsupported:
        searches = [_search(where) | _grouped(rule) | _asked(rule) for where in _conditions(rule)]
        searches += _compared(rule)
    return {
        "rule_id": rule.rule_id,
        "type": rule.type,
        "index": list(rule.index),
        "searches": searches,
        "unsupported": rule.unsupported,
    }


def _conditions(rule: Rule) -> list[tree.Node]:
    """What is asked for: of a sequence or sample once for each different step."""
    if isinstance(rule.where, tree.Sequence | tree.Sample):
        return [role.where for role in joining.of(rule).roles]
    return list(tree.conditions(cast("tree.Query", rule.where)))


def _search(where: tree.Node) -> dict[str, Any]:
    compiled = dsl.translate(datemath.resolved(where, wiring.now()), fields.ECS)
    residual = None if compiled.residual is None else eql.condition(compiled.residual)
    if residual and len(residual) > LONGEST:  # a value list
        residual = f"{residual[:LONGEST]}... ({len(residual):,} characters)"
    return {"query": compiled.query, "residual": residual}


def _compared(rule: Rule) -> list[dict[str, Any]]:
    """The search for indicators, and which values must be equal (`!`: must not be)."""
    if (asked := rule.indicators) is None:
        return []
    groups = [
        {pair.field: f"{'!' if pair.negate else ''}{pair.value}" for pair in group}
        for group in asked.groups
    ]
    return [_search(asked.where) | {"index": list(asked.index), "compared": groups}]


def _asked(rule: Rule) -> dict[str, Any]:
    """The ES|QL to which the query is a filter, as of now."""
    if rule.type != "esql":
        return {}
    now = wiring.now()
    return {"esql": esql.question(rule, Window(now - rule.lookback, now), now).query}


def _grouped(rule: Rule) -> dict[str, Any]:
    """By which fields documents are counted, and how many there must be or since when none."""
    if rule.type == "threshold":
        limits = threshold.limits(rule)
        groups = {"by": list(limits.by), "least": limits.least, "distinct": dict(limits.distinct)}
        return {"groups": groups}
    if rule.type == "new_terms":
        since = rule.parameters["history_window_start"]
        return {"groups": {"by": list(new_terms.by(rule)), "none_since": since}}
    return {}


def _told(groups: dict[str, Any]) -> str:
    named = ", ".join(groups["by"])
    if "none_since" in groups:
        return f"new values of {named}: none since {groups['none_since']}"
    distinct = "".join(f", {least} values of {name}" for name, least in groups["distinct"].items())
    return f"at least {groups['least']} with the same {named or 'condition'}{distinct}"


def _show(rule: Rule, compiled: dict[str, Any]) -> None:
    console = show.out()
    console.print(show.styled(f"# {rule.name} ({', '.join(rule.index)})", "bold"))
    if rule.unsupported:
        console.print(show.styled(f"# not supported: {rule.unsupported}", "yellow"))
    for search in compiled["searches"]:
        for line in search.get("esql", "").splitlines():
            typer.echo(show.clean(line))
        text = jsons.dumps(search["query"], indent=2)
        if console.is_terminal:
            console.print(Syntax(text, "json", background_color="default", word_wrap=True))
        else:
            typer.echo(text)
        if search["residual"]:
            console.print(show.styled(f"# checked on every hit: {search['residual']}", "yellow"))
        if "compared" in search:
            pairs = (
                " and ".join(f"{a} = {b}" for a, b in one.items()) for one in search["compared"]
            )
            said = f"# indicators in {', '.join(search['index'])}: {' or '.join(pairs)}"
            console.print(show.styled(said, "yellow"))
        if "groups" in search:
            console.print(show.styled(f"# counted: {_told(search['groups'])}", "yellow"))


app = options.app(compile_)
