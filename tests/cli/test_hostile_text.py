"""Events and rules that try to drive a terminal: no command repeats what would act there."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from detector.store import scratch
from detector.store.elastic import ElasticStore
from tests.builders import INDEX, shell_event, stored

ACTS = [
    "\x1b]0;owned\x07", "\x1b]8;;http://evil\x1b\\", "\x1b[2J", "\x1b[31m", "\x9b2J", "\x9d0;owned",
    "\x07", "\x08\x08", "\x7f", "\r", "\u202e", "\u2066", "\u200f", "\u2028", "\x85", "\x00",
]  # fmt: skip
FORGED = "\nFORGED"
HOSTILE = "evil" + "".join(ACTS).replace("\x00", "") + FORGED
OUR_OWN = ["\x1b[31m", "\r", "\x07"]  # colours and line ends of a terminal are ours as well

RULE: dict[str, Any] = {
    "rule_id": "evil-" + HOSTILE,
    "name": "name " + HOSTILE,
    "description": HOSTILE,
    "type": "eql",
    "language": "eql",
    "index": ["logs-cloud_defend*"],
    "severity": "high",
    "risk_score": 73,
    "interval": "1s",
    "from": "now-1h",
    "tags": [HOSTILE],
    "max_signals": 2,
    "query": 'process where process.args : "-i" and not process.name == "' + "[red]x[/red]" + '"',
    "examples": [{"name": "example " + HOSTILE, "event": {"message": HOSTILE}, "alert": True}],
}
BROKEN = RULE | {
    "rule_id": "broken",
    "query": "process where lenght(process.name" + HOSTILE.replace("\n", " ") + ") > 1",
    HOSTILE: 1,
    "severity": HOSTILE,
    "interval": HOSTILE,
}


def rules(folder: Path, *written: dict[str, Any]) -> Path:
    path = folder / "rules"
    path.mkdir()
    lines = [json.dumps(rule) for rule in written]
    (path / "evil\x1b[2J.ndjson").write_text("\n".join([*lines, '{"\u202e": \x1b[2J']))
    return path


def environment(**more: str) -> dict[str, str]:
    kept = {name: said for name, said in os.environ.items() if not name.startswith("DETECTOR_")}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | more


def said(arguments: Sequence[str], *, seconds: float = 60, **more: str) -> str:
    """All that a command writes into pipes; it is stopped when its time is over."""
    command = [sys.executable, "-m", "detector", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(**more)
    ) as process:
        try:
            found, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            found, _ = process.communicate(timeout=20)
    return found.decode("utf-8", "surrogateescape")


def drawn(arguments: Sequence[str], *, seconds: float = 60) -> str:
    """All that a command draws on a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "detector", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        found, deadline = b"", time.monotonic() + seconds
        try:
            while time.monotonic() < deadline and (more := os.read(ours, 65_536)):
                found += more
        except OSError:  # the end: the other side is closed
            pass
        process.terminate()
    os.close(ours)
    return found.decode("utf-8", "surrogateescape")


def harmless(text: str, *, terminal: bool = False) -> bool:
    acts = [one for one in ACTS if one in text and not (terminal and one in OUR_OWN)]
    forged = [line for line in text.splitlines() if line.startswith("FORGED")]
    assert not acts, f"{acts} in {text!r}"
    assert not forged, text
    assert "evil" in text, f"nothing was shown: {text!r}"
    return True


@pytest.mark.slow
@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["test"], ["test", "--json"],
                                     ["compile"], ["compile", "--json"]], ids=" ".join)  # fmt: skip
def test_what_a_rule_says_is_shown_without_acting(tmp_path: Path, command: list[str]) -> None:
    arguments = [*command, "--rules", str(rules(tmp_path, RULE, BROKEN))]
    assert harmless(said(arguments))
    assert harmless(drawn(arguments), terminal=True)


@pytest.mark.slow
def test_what_a_configuration_says_is_shown_without_acting(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps({"evil" + HOSTILE: 1, "space": HOSTILE, "log": {"level": HOSTILE}})
    )
    for arguments in (["--config", str(config), "check"], ["once", "--rule", HOSTILE]):
        assert harmless(said(arguments))
        assert harmless(drawn(arguments), terminal=True)


@pytest.mark.node
@pytest.mark.slow
def test_what_an_event_says_is_shown_without_acting(
    es: Elasticsearch, node_url: str, tmp_path: Path
) -> None:
    common = ["--url", node_url, "--rules", str(rules(tmp_path, RULE))]
    said(["setup", *common])
    scratch.template(ElasticStore(es, "default"), "events", ["logs-*"])
    now = datetime.now(UTC)
    events = [shell_event(now - timedelta(seconds=n), event_id=f"{HOSTILE}{n}") for n in range(4)]
    for event in events:
        event["process"] |= {"name": HOSTILE, "executable": HOSTILE, "args": ["-i", HOSTILE]}
        event |= {"host": {"name": HOSTILE}, "container": {"id": HOSTILE}, "message": HOSTILE}
        event["user"] = {"name": HOSTILE}
    scratch.fill(ElasticStore(es, "default"), stored(events, INDEX))
    for command in ("once", "alerts list", "backfill --from now-1h", "status", "status --top 9"):
        assert harmless(said([*command.split(), *common]))
        assert harmless(said([*command.split(), "--json", *common]))
    (alert,) = es.search(index="alerts-detector-default", size=1)["hits"]["hits"]
    assert harmless(said(["alerts", "show", alert["_id"], *common]))
    for command in ("alerts list", "once", "status"):
        assert harmless(drawn([*command.split(), *common]), terminal=True)
    assert harmless(said(["alerts", "--follow", *common], seconds=4))
    es.update(
        index="detector-state-default", id=RULE["rule_id"], doc={"end": "2026-03-01T00:00:00Z"},
        refresh=True,
    )  # fmt: skip
    for form in ("text", "json"):
        assert harmless(said(["run", *common], seconds=5, DETECTOR_LOG_FORMAT=form))
    es.indices.refresh(index="detector-*", expand_wildcards="all")
    assert harmless(said(["gaps", *common]))
    assert harmless(drawn(["gaps", *common]), terminal=True)
