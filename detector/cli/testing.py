"""`detector test`: every rule does what its examples say."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.cli import able, examples, junit, options, show, telling, wiring
from detector.cli.examples import Outcome
from detector.language import esql
from detector.model import Example, Rule
from detector.run.cycle import Terms, runnable


def test(
    ctx: typer.Context,
    rule: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE]...", help="Ids, names or files; all rules when none."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, for CI."),
    ] = None,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Run the examples that rules carry; needs no cluster.

    With `--url` the same examples are run on that Elasticsearch as well, in an index that is
    deleted afterwards. A failing example is explained clause by clause. Exit code 1 when one fails.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    loaded = wiring.load_named(common, configured, rule or ())
    wiring.show_errors(loaded)
    chosen = [one for one in wiring.choose(loaded.rules, rule or ()) if not one.unsupported]
    now, terms = wiring.now(), wiring.terms(configured)
    offline = [one for one in chosen if examples.answerable(one)]
    suites = {"in memory": list(examples.in_memory(offline, now, terms))}
    if common.url:
        with wiring.store(common, configured) as store:
            there = runnable(able.there(store, chosen))
            suites["Elasticsearch"] = list(_on_elasticsearch(store, there, now, terms))
    if report:
        junit.write(report, suites, loaded.problems)
    outcomes = [outcome for some in suites.values() for outcome in some]
    failed = [outcome for outcome in outcomes if not outcome.holds]
    if common.json:
        show.document(_json(chosen, failed))
    else:
        _show(chosen, outcomes, failed)
    if failed or any(problem.level == "error" for problem in loaded.problems):
        raise typer.Exit(1)


def _on_elasticsearch(
    store: Any, rules: Sequence[Rule], now: datetime, terms: Terms
) -> Iterator[Outcome]:
    from detector.store import scratch  # noqa: PLC0415 - only with --url

    index = f"detector-test-{uuid.uuid4().hex[:12]}"
    for number, group in enumerate(_together(rules)):
        name = f"{index}-{number}"
        filed = []
        for rule, example in group:
            here = _moved(rule, name)
            filed.append((here, example, examples.documents(here, example, now, name)))
        every = [one for *_, stored in filed for one in stored]
        with ExitStack() as made:
            for where in sorted({one.index for one in every} | {name}):
                inside = [one for one in every if one.index == where]
                named = {name for rule, *_ in filed for name in _named(rule)}
                made.enter_context(scratch.index(store, where, inside, named))
            for rule, example, stored in filed:
                yield examples.judge(store, rule, example, stored, now, terms)


def _named(rule: Rule) -> frozenset[str]:
    """The fields that must be mapped, though no event has them: to ES|QL others are a fault."""
    return esql.words(rule.query or "") if rule.type == "esql" else frozenset()


def _moved(rule: Rule, name: str) -> Rule:
    """The rule, looking into the index `name`, and into one beside it for indicators."""
    if rule.type == "esql":
        return replace(rule, index=(name,), query=esql.moved(rule.query or "", name))
    asked = rule.indicators
    beside = None if asked is None else replace(asked, index=(f"{name}-indicators",))
    return replace(rule, index=(name,), indicators=beside)


def _together(rules: Sequence[Rule]) -> list[list[tuple[Rule, Example]]]:
    """Which examples may lie in one index: some must not see others' events or indicators."""
    each = [(rule, example) for rule in rules for example in rule.examples]
    alone = [[one] for one in each if _by_itself(one[0])]
    shared = [one for one in each if not _by_itself(one[0])]
    return [shared, *alone] if shared else alone


def _by_itself(rule: Rule) -> bool:
    return rule.stepwise or rule.indicators is not None or rule.suppression is not None


def _show(rules: Sequence[Rule], outcomes: Sequence[Outcome], failed: Sequence[Outcome]) -> None:
    console = show.out()
    rows = []
    for rule in rules:
        wrong = sum(outcome.rule.rule_id == rule.rule_id for outcome in failed)
        ran = any(outcome.rule.rule_id == rule.rule_id for outcome in outcomes)
        state = show.styled("failed" if wrong else "ok" if ran else _idle(rule))
        state.style = "bold red" if wrong else "green" if ran else "yellow"
        rows.append((state, len(rule.examples), wrong, rule.name))
    console.print(show.table(("", "examples", "wrong", "rule"), rows))
    for outcome in failed:
        example = outcome.example
        console.print()
        console.print(show.styled(f"{outcome.rule.file}:{example.line}: {example.name}", "bold"))
        console.print(f"  expected {example.alerts} alerts, got {outcome.got}")
        for line in outcome.why:
            console.print(telling.painted(line, indent="  "))
    said = f"{len(outcomes)} examples of {len(rules)} rules, {len(failed)} wrong"
    show.say(said, "bold red" if failed else "green")


def _idle(rule: Rule) -> str:
    return "only with --url" if rule.examples else "no examples"


def _json(rules: Sequence[Rule], failed: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "rules": len(rules),
        "examples": sum(len(rule.examples) for rule in rules),
        "failed": [
            {
                "rule_id": outcome.rule.rule_id,
                "example": outcome.example.name,
                "expected": outcome.example.alerts,
                "got": outcome.got,
                "explain": telling.plain(outcome.why),
            }
            for outcome in failed
        ],
    }


app = options.app(test)
