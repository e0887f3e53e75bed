"""The daemon with a key in a file: refused at first, revoked on the way, replaced, never told."""

from __future__ import annotations

import base64
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from elasticsearch import Elasticsearch

from detector.store import indices, privileges
from detector.store.elastic import ElasticStore
from tests import processes
from tests.builders import install, make_rule, shell_event
from tests.security.node import Secured

pytestmark = pytest.mark.node
SPACE, INDEX = "kept", "kept-events"
LIMIT = 60.0
RULE = f"""\
rule_id: 6a4c0f0e-8a0e-4d7a-9f4e-2d1f5f0c0002
name: A shell
description: A shell was started.
type: eql
language: eql
index: [{INDEX}]
interval: 2s
from: now-5m
severity: low
risk_score: 1
query: process where process.name == "bash"
"""


@dataclass(slots=True)
class Running:
    """A daemon, and all that it has said so far."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    fresh: queue.Queue[str] = field(default_factory=queue.Queue)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            self.fresh.put(line)

    def until(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The next line that is wanted."""
        deadline = time.monotonic() + LIMIT
        while True:
            told = json.loads(self.fresh.get(timeout=max(0.1, deadline - time.monotonic())))
            if wanted(told):
                return dict(told)


@contextmanager
def daemon(folder: Path, environ: Mapping[str, str]) -> Iterator[Running]:
    command = [sys.executable, "-m", "detector", "run", "--json", "--rules", "rule.yaml"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = Running(process)
        listener = threading.Thread(target=running.listen, daemon=True)
        listener.start()
        try:
            yield running
        finally:
            processes.end(process)
            listener.join(5)


@pytest.fixture
def admin(secured: Secured, tmp_path: Path) -> Elasticsearch:
    client = secured.client()
    store = ElasticStore(client, SPACE)
    install(store)
    keyword = [{"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}]
    client.indices.create(index=INDEX, mappings={"dynamic_templates": keyword})
    (tmp_path / "rule.yaml").write_text(RULE)
    return client


def environment(at: Secured) -> dict[str, str]:
    return {
        "DETECTOR_ELASTICSEARCH_URL": at.url,
        "DETECTOR_ELASTICSEARCH_CA_CERTS": str(at.ca),
        "DETECTOR_ELASTICSEARCH_API_KEY_FILE": "key",
        "DETECTOR_SPACE": SPACE,
    }


def happen(admin: Elasticsearch) -> None:
    admin.index(index=INDEX, document=shell_event(datetime.now(UTC)), refresh=True)


def key(admin: Elasticsearch, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Write a new key of the least role to the file; its id, and all its secret forms."""
    made = admin.security.create_api_key(
        **privileges.api_key(indices.Names(SPACE), [make_rule(index=(INDEX,))])
    )
    (folder / "key").write_text(made["encoded"])
    assert base64.b64decode(made["encoded"]).decode().endswith(made["api_key"])
    return made["id"], (made["encoded"], made["api_key"])


def created(told: dict[str, Any]) -> bool:
    return bool(told.get("detector", {}).get("alerts_created"))


def kept(admin: Elasticsearch) -> str:
    """Everything that detector has written, as text."""
    everything = f"*detector*-{SPACE}*"
    admin.indices.refresh(index=everything, expand_wildcards="all")
    found = admin.search(index=everything, expand_wildcards="all", size=1_000)["hits"]["hits"]
    assert {hit["_index"].split("-")[1] for hit in found} >= {"detector", "state", "runs"}
    return json.dumps(found)


def test_a_key_revoked_on_the_way_is_said_and_its_replacement_taken_up(
    secured: Secured, admin: Elasticsearch, tmp_path: Path
) -> None:
    happen(admin)
    first, secrets = key(admin, tmp_path)
    with daemon(tmp_path, environment(secured)) as running:
        running.until(created)
        command = " ".join(psutil.Process(running.process.pid).cmdline())
        admin.security.invalidate_api_key(ids=[first])
        happen(admin)
        told = running.until(lambda told: "the cycle failed" in told["message"])
        assert "401" in told["message"]
        assert "SIGHUP" in told["message"]
        before, began = len(running.said), time.monotonic()
        time.sleep(5)
        refused = [line for line in running.said[before:] if "401" in line]
        assert len(refused) <= 2 * (time.monotonic() - began), "said, not stormed"
        (tmp_path / "key").write_text("\n")
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda told: "the old credentials stay" in told["message"])
        _, more = key(admin, tmp_path)
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda told: "read again" in told["message"])
        running.until(created)
        written = kept(admin)
    assert running.process.wait(20) == 0
    assert admin.count(index=f"alerts-detector-{SPACE}")["count"] == 2
    for secret in (*secrets, *more):
        assert secret not in "".join(running.said) + command + written


def test_a_key_that_is_refused_at_the_start_ends_it_at_once_with_a_way_out(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "rule.yaml").write_text(RULE)
    (tmp_path / "key").write_text("aHVzaDp3cm9uZw==")
    ended = subprocess.run(
        [sys.executable, "-m", "detector", "run", "--json", "--rules", "rule.yaml"],
        cwd=tmp_path,
        env=os.environ | environment(secured),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == 2
    assert "401" in ended.stderr
    assert "hint:" in ended.stderr
    assert "aHVzaDp3cm9uZw" not in ended.stderr + ended.stdout
