"""`detector setup`: what a cluster needs before the first run, and what Kibana can show."""

from __future__ import annotations

import json as jsons
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from detector import alerts
from detector.alerts import dashboard, placement
from detector.cli import credentials, kibana, options, show, wiring
from detector.settings import Settings


def setup(
    ctx: typer.Context,
    kibana_url: Annotated[
        str | None,
        typer.Option(
            "--kibana-url",
            metavar="URL",
            help="Import data view and dashboard there.",
            callback=options.web_url,
        ),
    ] = None,
    kibana_file: Annotated[
        Path, typer.Option("--kibana-file", metavar="FILE", help="Where they are written.")
    ] = Path("kibana.ndjson"),
    role: Annotated[
        bool,
        typer.Option("--role", help="Print the role that a daemon's key needs, and do nothing."),
    ] = False,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Create the index templates and state indices; write a data view and a dashboard for Kibana.

    A second run changes nothing. Field types that the cluster lacks are replaced and named.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    if role:
        _print_role(common, configured)
    else:
        _install(common, configured, kibana_file, kibana_url or configured.kibana.url)


def _install(
    common: options.Common, configured: Settings, kibana_file: Path, kibana_url: str | None
) -> None:
    from detector.store import installation  # noqa: PLC0415 - the client takes a fifth of a second

    shadow = placement.shadow(configured.space)
    with wiring.store(common, configured) as store:
        done = installation.install(
            store,
            lambda missing: alerts.template(configured.space, missing_types=missing),
            shadow_template=lambda missing: alerts.template(shadow, missing_types=missing),
            keep_runs=configured.retention.runs,
        )
    objects = dashboard.saved_objects(configured.space)
    rows: list[tuple[str, str, str, str, str]] = [
        (one.done, one.piece, one.name, ", ".join(one.replaced), one.why) for one in done
    ]
    rows.append((_write(kibana_file, objects), "file", str(kibana_file), "", ""))
    if kibana_url:
        for warning in credentials.unencrypted(kibana_url, configured):
            show.say(f"warning: {warning}", "bold yellow")
        kibana.load(kibana_url, objects, configured)
        rows.append(("imported", "Kibana", kibana_url, "", ""))
    _show(rows, common)


def _print_role(common: options.Common, configured: Settings) -> None:
    """The least that running these rules takes: as a role, and as a key of that role alone."""
    from detector.store import indices, privileges  # noqa: PLC0415 - as above

    names = indices.Names(configured.space)
    usable = wiring.usable_rules(common, configured, quiet=True)
    rules = [rule for rule in usable if rule.enabled]
    name, role = privileges.role_name(names), privileges.role(names, rules)
    key = privileges.api_key(names, rules)
    if common.json:
        show.document({"name": name, "role": role, "api_key": key})
        return
    for request, body in ((f"PUT _security/role/{name}", role), ("POST _security/api_key", key)):
        show.out().print(Text(f"{request}\n{jsons.dumps(body, indent=2)}\n"))
    show.say("one of them is enough; whoever creates the key must have these privileges as well")


def _show(rows: Sequence[tuple[str, str, str, str, str]], common: options.Common) -> None:
    if common.json:
        keys = ("done", "piece", "name", "replaced", "reason")
        show.document({"installed": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    show.out().print(show.table(("", "piece", "name", "types replaced", "why"), rows))
    show.say("set up; `detector once` runs a first cycle", "green")


def _write(file: Path, text: str) -> str:
    if file.exists() and file.read_text("utf-8") == text:
        return "unchanged"
    done = "updated" if file.exists() else "created"
    file.write_text(text, "utf-8")
    return done


app = options.app(setup)
