"""`detector demo`: from nothing to alerts on screen."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from detector import alerts
from detector.alerts import placement
from detector.cli import options, reports, show, story, waiting, wiring
from detector.model import Rule
from detector.run import cycle
from detector.run.cycle import Report
from detector.store import installation, reading, scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored

SPACE = "demo"
EVENTS = ("logs-cloud_defend.process-default", "logs-cloud_defend.file-default")
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""A picture asks nobody for fonts: any monospaced one will do."""

NEXT = """\
{events:,} events of a Kubernetes cluster, one intrusion among them, {rules} rules.
What next:
  rules/interactive_shell_in_container.yaml  the rule of the first high alert
  .venv/bin/detector test                    do the rules do what they say?
  .venv/bin/detector compile                 the queries that are sent
  .venv/bin/detector setup --url https://..  your own cluster; then once, or run"""


def demo(
    ctx: typer.Context,
    events: Annotated[
        int, typer.Option("--events", min=0, help="Harmless events around the intrusion.")
    ] = 4_000,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Where the node's data lie.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the table as a picture too.")
    ] = None,
    config: options.Config = None,
    rules: options.Rules = None,
    json: options.Json = False,
) -> None:
    """Show the whole loop: an Elasticsearch, an intrusion in a container, the alerts.

    Starts an Elasticsearch of its own in `.detector/`, indexes a story, runs all rules once, shows
    their alerts, and stops it again.
    """
    common = options.common(ctx, config, rules, None, json=json)
    configured = wiring.read_settings(common).model_copy(update={"space": SPACE})
    chosen = wiring.usable_rules(common, configured, quiet=True)
    with waiting.embedded(data) as node:
        store = wiring.connect(node.url, configured, embedded=True)
        _clear(store)
        _set_up(store)
        now = wiring.now()
        told = _tell(store, now, events)
        with waiting.spinner(f"asking {len(chosen)} rules"):
            terms = wiring.terms(configured)
            report = cycle.run(store, chosen, now, terms, clock=wiring.now)
        found = reading.newest(store, reading.Wanted(), 1_000)
    found.sort(key=lambda alert: str(alert.get("kibana.alert.original_time")))
    if common.json:
        extra = {"url": node.url, "alerts_index": store.names.alerts}
        show.document(reports.as_json(report) | extra)
    else:
        _show(found, report, told, chosen, svg)
    if report.failed:
        raise typer.Exit(1)


def _set_up(store: ElasticStore) -> None:
    shadow = placement.shadow(SPACE)
    installation.install(
        store,
        lambda lacking: alerts.template(SPACE, missing_types=lacking),
        shadow_template=lambda lacking: alerts.template(shadow, missing_types=lacking),
    )


def _clear(store: ElasticStore) -> None:
    """Yesterday's demo leaves; nothing else of the node is touched."""
    indices = store.client.indices
    mine = f"alerts-detector-{SPACE}*,detector-*-{SPACE}*,{','.join(EVENTS)}"
    found = store.call(
        lambda: indices.get_alias(index=mine, expand_wildcards="all", ignore_unavailable=True)
    )
    for name in found.body:
        store.call(lambda name=name: indices.delete(index=name, ignore_unavailable=True))  # type: ignore[misc]


def _tell(store: ElasticStore, now: datetime, events: int) -> int:
    with waiting.spinner(f"indexing {events:,} events and an intrusion"):
        scratch.template(store, "logs-cloud_defend", ["logs-cloud_defend*"])
        seed = int(now.timestamp())
        documents = [
            Stored(index, "", source) for index, source in story.tell(now, events=events, seed=seed)
        ]
        scratch.fill(store, documents)
    return len(documents)


def _show(
    found: Sequence[dict[str, Any]],
    report: Report,
    told: int,
    rules: Sequence[Rule],
    svg: Path | None,
) -> None:
    console = show.out()
    console.print(show.alerts(found, console.width))
    console.print()
    show.say(reports.summary(report), "green" if found else "yellow")
    show.say(NEXT.format(events=told, rules=len(rules)))
    if svg:
        picture = Console(record=True, width=112, file=io.StringIO(), highlight=False)
        picture.print(Text("$ scripts/demo", style="bold"))
        picture.print(show.alerts(found, picture.width))
        picture.print(Text(reports.summary(report), style="green"))
        drawn = picture.export_svg(title="detector demo")
        svg.write_text(FONTS.sub("", drawn), "utf-8")


app = options.app(demo)
