"""`detector setup`: what a cluster needs before the first run, and what Kibana can show."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from detector import alerts
from detector.alerts import dashboard
from detector.cli import credentials, options, show, wiring
from detector.errors import StoreError
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
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Create the index templates and state indices; write a data view and a dashboard for Kibana.

    A second run changes nothing. Field types that the cluster lacks are replaced and named.
    """
    from detector.store import installation  # noqa: PLC0415 - the client takes a fifth of a second

    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    with wiring.store(common, configured) as store:
        done = installation.install(
            store, lambda missing: alerts.template(configured.space, missing_types=missing)
        )
    objects = dashboard.saved_objects(configured.space)
    rows: list[tuple[str, str, str, str]] = [
        (one.done, one.piece, one.name, ", ".join(one.replaced)) for one in done
    ]
    rows.append((_write(kibana_file, objects), "file", str(kibana_file), ""))
    if kibana_url or configured.kibana.url:
        target = kibana_url or str(configured.kibana.url)
        _import(target, objects, configured)
        rows.append(("imported", "Kibana", target, ""))
    _show(rows, common)


def _show(rows: Sequence[tuple[str, str, str, str]], common: options.Common) -> None:
    if common.json:
        keys = ("done", "piece", "name", "replaced")
        show.document({"installed": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    show.out().print(show.table(("", "piece", "name", "types replaced"), rows))
    show.say("set up; `detector once` runs a first cycle", "green")


def _write(file: Path, text: str) -> str:
    if file.exists() and file.read_text("utf-8") == text:
        return "unchanged"
    done = "updated" if file.exists() else "created"
    file.write_text(text, "utf-8")
    return done


def _import(url: str, objects: str, configured: Settings) -> None:
    """Hand the saved objects to Kibana; those of an earlier setup are overwritten."""
    boundary = uuid.uuid4().hex
    body = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="kibana.ndjson"\r\n'
        f"Content-Type: application/ndjson\r\n\r\n{objects}\r\n--{boundary}--\r\n"
    ).encode()
    space = configured.kibana.space
    prefix = "" if space == "default" else f"/s/{space}"
    request = urllib.request.Request(  # noqa: S310 - the user's own URL
        f"{url.rstrip('/')}{prefix}/api/saved_objects/_import?overwrite=true",
        data=body,
        headers=credentials.headers(configured)
        | {"kbn-xsrf": "true", "Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    try:
        trusted = credentials.context(configured)
        with urllib.request.urlopen(request, timeout=30, context=trusted):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        said = error.read(500).decode("utf-8", "replace")
        raise StoreError(f"Kibana answered {error.code}: {said}") from error
    except urllib.error.URLError as error:
        raise StoreError(f"Kibana cannot be reached: {error.reason}") from error


app = options.app(setup)
