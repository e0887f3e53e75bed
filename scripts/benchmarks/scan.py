"""What `detector scan` takes beside a hand-written DuckDB query over the same events."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured, interleaved, seconds

REACH = 1 / 0.7
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

PROGRAMS = (
    *("runc", "pause", "nginx", "node", "python3", "java", "redis-server", "postgres", "sh"),
    *("cat", "ls", "grep", "sleep", "date", "curl", "tar", "gzip", "find", "awk", "sed", "id"),
    *("apt-get", "pip", "npm", "git", "env", "head", "tail", "wc", "sort", "uniq", "tr", "cut"),
)
RARE = ("nc", "ncat", "socat", "nmap", "kubectl", "crictl", "docker", "xmrig", "masscan")


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule's query, and what a person would write for it in SQL over typed columns."""

    query: str
    sql: str


def write(path: Path, count: int, seed: int = 11) -> Path:
    """`count` events of containers over one day, about 940 bytes each; equal for equal seeds."""
    if not path.exists():
        draft = path.with_suffix(".part")
        with draft.open("wb", buffering=1 << 22) as file:
            file.writelines(orjson.dumps(one) + b"\n" for one in events(count, seed))
        draft.rename(path)
    return path


def events(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Processes that start and end in sixty pods; one in a thousand is a program seldom met."""
    rng = random.Random(seed)  # noqa: S311 - data, no secret
    pods = [_pod(number, rng) for number in range(60)]
    for number in range(count):
        yield _event(rng, pods[rng.randrange(60)], START + DAY * number / count, number)


def _pod(number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "container": {
            "id": f"{rng.getrandbits(256):064x}",
            "image": {"name": f"docker.io/library/app-{number % 9}", "tag": f"1.{number % 7}"},
            "security_context": {"privileged": number % 20 == 0},
        },
        "host": {"name": f"node-{number % 6}.internal", "id": f"{rng.getrandbits(128):032x}"},
        "orchestrator": {
            "cluster": {"id": "6f2b6c4e-0f4c-4d3b-9a53-1c7d0a4f6b11", "name": "website"},
            "namespace": ("default", "shop", "kube-system")[number % 3],
            "resource": {"name": f"pod-{number}", "type": "pod", "ip": f"10.0.13.{number}"},
        },
    }


def _event(rng: random.Random, pod: dict[str, Any], when: datetime, number: int) -> dict[str, Any]:
    name = RARE[rng.randrange(len(RARE))] if rng.random() < 0.001 else rng.choice(PROGRAMS)
    parent = rng.choice(PROGRAMS)
    start = rng.random() < 0.6
    stamp = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "@timestamp": stamp,
        "agent": {"type": "cloud-defend", "version": "9.3.0", "name": pod["host"]["name"]},
        "data_stream": {
            "type": "logs",
            "dataset": "cloud_defend.process",
            "namespace": "default",
        },
        "event": {
            "id": f"{rng.getrandbits(128):032x}",
            "category": ["process"],
            "type": ["start"] if start else ["end"],
            "action": ["exec"] if start else ["end"],
            "kind": "event",
            "module": "cloud_defend",
            "ingested": stamp,
        },
        **pod,
        "process": {
            "name": name,
            "executable": f"/usr/bin/{name}",
            "args": [name, f"--option={rng.randrange(1000)}", f"/srv/{rng.randrange(10_000)}"],
            "pid": 1000 + number % 60_000,
            "entity_id": f"{rng.getrandbits(96):024x}",
            "interactive": rng.random() < 0.01,
            "working_directory": "/srv",
            "parent": {"name": parent, "executable": f"/usr/bin/{parent}", "pid": 999},
            "entry_leader": {"name": "runc", "same_as_process": False},
            "user": {"id": str(rng.randrange(3))},
        },
    }


def conditions(count: int) -> list[Condition]:
    """`count` different conditions in ten forms, as rules for containers have them."""
    return [FORMS[number % len(FORMS)](number) for number in range(count)]


def _in(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def _quoted(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f'"{value}"' for value in values) + ")"


def _some(column: str, test: str) -> str:
    return f"len(list_filter({column}, lambda x: {test})) > 0"


def _named(number: int) -> Condition:
    names = (RARE[number % len(RARE)], f"tool{number}")
    return Condition(
        f'event.type == "start" and process.name : {_quoted(names)} and process.args : "--o*1?"',
        f"list_contains(event.type, 'start') and lower(process.name) in {_in(names)} and "
        + _some("process.args", "lower(x) like '--o%1_'"),
    )


def _run_from(number: int) -> Condition:
    name, parents = RARE[(number // 2) % len(RARE)], PROGRAMS[number % 20 : number % 20 + 4]
    return Condition(
        f'process.executable : "/usr/bin/{name}*" and process.parent.name : {_quoted(parents)}',
        f"lower(process.executable) like '/usr/bin/{name}%' "
        f"and lower(process.parent.name) in {_in(parents)}",
    )


def _argued(number: int) -> Condition:
    return Condition(
        f'event.action == "exec" and process.args : ("*miner{number}*", "--option={number}7")',
        "list_contains(event.action, 'exec') and "
        + _some(
            "process.args", f"lower(x) like '%miner{number}%' or lower(x) = '--option={number}7'"
        )
        + f" and {number} >= 0",
    )


def _not_from(number: int) -> Condition:
    name, parents = RARE[number % len(RARE)], PROGRAMS[number % 10 : number % 10 + 9]
    return Condition(
        f'process.name == "{name}" and not process.parent.name : {_quoted(parents)}',
        f"process.name = '{name}' and (lower(process.parent.name) in {_in(parents)}) is not true",
    )


def _interactive(number: int) -> Condition:
    names = PROGRAMS[number % 15 : number % 15 + 3]
    return Condition(
        f"process.interactive == true and process.name : {_quoted(names)} and "
        f'process.working_directory : "/srv" and process.pid > {1000 + number}',
        f"process.interactive and lower(process.name) in {_in(names)} and "
        f"lower(process.working_directory) = '/srv' and process.pid > {1000 + number}",
    )


def _in_image(number: int) -> Condition:
    name = RARE[number % len(RARE)]
    return Condition(
        f'container.image.name : "*/app-{number % 9}" and process.name : "{name}*"',
        f"lower(container.image.name) like '%/app-{number % 9}' "
        f"and lower(process.name) like '{name}%'",
    )


def _in_namespace(number: int) -> Condition:
    name = RARE[number % len(RARE)]
    return Condition(
        f'orchestrator.namespace == "kube-system" and process.args : "{name}" '
        f'and orchestrator.resource.name : "pod-{number % 10}*"',
        "orchestrator.namespace = 'kube-system' and "
        + _some("process.args", f"lower(x) = '{name}'")
        + f" and lower(orchestrator.resource.name) like 'pod-{number % 10}%'",
    )


def _by_user(number: int) -> Condition:
    name = RARE[number % len(RARE)]
    return Condition(
        f'process.user.id == "{number % 3}" and process.executable : "*/{name}" '
        "and process.entry_leader.same_as_process == false",
        f"process.user.id = '{number % 3}' and lower(process.executable) like '%/{name}' "
        "and not process.entry_leader.same_as_process",
    )


def _privileged(number: int) -> Condition:
    name = RARE[number % len(RARE)]
    return Condition(
        f'container.security_context.privileged == true and process.name == "{name}" '
        f'and host.name : "node-{number % 6}.*"',
        f"container.security_context.privileged and process.name = '{name}' "
        f"and lower(host.name) like 'node-{number % 6}.%'",
    )


def _started_by(number: int) -> Condition:
    name = RARE[number % len(RARE)]
    return Condition(
        f'process.parent.executable : "/usr/bin/{PROGRAMS[number % 30]}" and '
        f'process.entry_leader.name : "runc" and process.name : "{name}"',
        f"lower(process.parent.executable) = '/usr/bin/{PROGRAMS[number % 30]}' and "
        f"lower(process.entry_leader.name) = 'runc' and lower(process.name) = '{name}'",
    )


FORMS = (
    *(_named, _run_from, _argued, _not_from, _interactive),
    *(_in_image, _in_namespace, _by_user, _privileged, _started_by),
)

COLUMNS = {
    "container": "STRUCT(image STRUCT(name VARCHAR), security_context STRUCT(privileged BOOLEAN))",
    "event": 'STRUCT(category VARCHAR[], "type" VARCHAR[], "action" VARCHAR[])',
    "host": "STRUCT(name VARCHAR)",
    "orchestrator": "STRUCT(namespace VARCHAR, resource STRUCT(name VARCHAR))",
    "process": "STRUCT(name VARCHAR, executable VARCHAR, args VARCHAR[], interactive BOOLEAN, "
    "pid BIGINT, working_directory VARCHAR, user STRUCT(id VARCHAR), "
    "parent STRUCT(name VARCHAR, executable VARCHAR), "
    "entry_leader STRUCT(name VARCHAR, same_as_process BOOLEAN))",
}
FEW = {
    "event": 'STRUCT(category VARCHAR[], "type" VARCHAR[])',
    "process": "STRUCT(name VARCHAR, args VARCHAR[])",
}
"""What the first condition alone needs."""


def by_hand(file: Path, asked: list[Condition]) -> tuple[int, ...]:
    """How many events each condition has, by one query with typed columns."""
    taken = FEW if len(asked) == 1 else COLUMNS
    shape = ", ".join(f"{name}: '{kind}'" for name, kind in taken.items())
    counts = ", ".join(
        f"count(*) filter (where list_contains(event.category, 'process') and {one.sql})"
        for one in asked
    )
    with duckdb.connect() as db:
        source = f"read_json('{file}', format='newline_delimited', columns={{{shape}}})"
        (row,) = db.execute(f"select {counts} from {source}").fetchall()  # noqa: S608 - our own
    return tuple(row)


def rules(folder: Path, asked: list[Condition]) -> Path:
    """The conditions as rules, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(asked):
        text = {
            "rule_id": f"00000000-0000-4000-8000-{number:012}",
            "name": f"Condition {number}",
            "description": "measured",
            "type": "eql",
            "language": "eql",
            "index": ["logs-cloud_defend*"],
            "severity": "low",
            "risk_score": 21,
            "query": f"process where {one.query}",
        }
        (folder / f"rule{number}.yaml").write_text(json.dumps(text))
    return folder


def scanned(file: Path, folder: Path) -> str:
    """What a scan in a process of its own says in the end; people wait for its start as well."""
    command = [sys.executable, "-m", "detector", "scan", str(file), "--rules", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr.strip().splitlines()[-1]


def measure(lab: Lab) -> Iterator[Measured]:
    """One rule, and fifty that name two dozen fields."""
    file = write(lab.folder / "events.ndjson", lab.size.scanned)
    for many in (1, 50):
        asked = conditions(many)
        folder = rules(lab.folder / f"scanned-{many}", asked)
        found = sum(by_hand(file, asked))
        if f"{found:,} alerts" not in scanned(file, folder):
            raise RuntimeError(f"the query by hand finds {found:,}")
        engine, bare = interleaved(
            lab.size.rounds,
            lambda _, folder=folder: seconds(lambda: scanned(file, folder)),  # type: ignore[misc]
            lambda _, asked=asked: seconds(lambda: by_hand(file, asked)),  # type: ignore[misc]
        )
        case, against = f"{lab.size.scanned:,} events, {many} rules", "a DuckDB query by hand"
        yield Measured("scan", case, engine, bare, reach=REACH, against=against)
