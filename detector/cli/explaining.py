"""`detector explain`: why a rule does or does not match an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from detector.cli import events, options, show, telling, wiring
from detector.cli.events import Event
from detector.detect import seen_from
from detector.detect.verdict import Verdict, fields, verdict
from detector.errors import SettingsError
from detector.language.explain import Answer
from detector.model import Rule

if TYPE_CHECKING:
    from detector.settings import Settings

SAID: dict[Answer, str] = {
    True: "the rule matches this event",
    False: "the rule does not match this event",
    None: "only Elasticsearch can tell whether the rule matches this event",
}
DISPUTED = "Elasticsearch answers otherwise: the index holds a field in another way than the event"
A_PART: dict[Answer, str] = {
    True: "this event can be a part of a match",
    False: "this event is no part of a match",
    None: SAID[None],
}


def explain(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its id, name or file.")],
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="A JSON file, `-` for stdin, or INDEX/ID.")
    ],
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show clause by clause why a rule does or does not match an event.

    The query is a tree, each clause with the value it met and whether it held; the first that
    decided is marked. Of a rule that needs several events each step or condition is shown.

    Exit code 0 when the rule matches the event or the event can be a part of a match, 1 when not,
    or when only Elasticsearch can tell.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = seen_from(wiring.now(), chosen_rule(common, configured, rule))
    found = events.of(event, chosen, fields(chosen), common, configured)
    judged = verdict(chosen, found.source, found.types, found=found.found)
    if common.json:
        show.document(_json(chosen, found, judged))
    else:
        _show(chosen, found, judged)
    if not judged.held:
        raise typer.Exit(1)


def chosen_rule(common: options.Common, configured: Settings, named: str) -> Rule:
    """The one rule of that name; raises `SettingsError`."""
    loaded = wiring.load_named(common, configured, [named])
    wiring.show_errors(loaded)
    chosen = wiring.choose(loaded.rules, [named])
    if len(chosen) > 1:
        hint = "name one by its id: " + ", ".join(one.rule_id for one in chosen[:5])
        raise SettingsError(f"{len(chosen)} rules are called `{named}`", hint=hint)
    return chosen[0]


def _show(rule: Rule, event: Event, judged: Verdict) -> None:
    console = show.out()
    console.print(show.styled(f"# {rule.name}", "bold"))
    for line in telling.told(judged):
        console.print(telling.painted(line))
    if not event.covered:
        patterns = show.clean(", ".join(rule.index))
        show.say(f"warning: the rule does not look into {event.index}: {patterns}", "yellow")
    for one in judged.conditions:
        if one.disputed:
            show.say(f"warning: {one.title}: {DISPUTED}", "yellow")
    said = (A_PART if judged.needs and judged.conditions else SAID)[judged.held]
    show.say(said, telling.STYLES[judged.held])


def _json(rule: Rule, event: Event, judged: Verdict) -> dict[str, object]:
    return {
        "rule_id": rule.rule_id,
        "name": rule.name,
        "type": rule.type,
        "index": event.index,
        "id": event.id,
        "covered": event.covered,
        **telling.document(judged),
    }


app = options.app(explain)
