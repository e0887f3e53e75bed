"""A node, seeded events and rules -> what every scenario on Elasticsearch starts from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from detector import alerts, cli, rulefile
from detector.alerts import placement
from detector.cli import wiring
from detector.model import Rule, Window
from detector.run.cycle import Terms
from detector.settings import Settings
from detector.store import installation, scratch
from detector.store.elastic import ElasticStore
from detector.store.memory import Stored

INDEX = "logs-cloud_defend.process-default"
DAY = timedelta(days=1)
STEP = timedelta(minutes=5)
BATCH = 20_000
THREAT = """
[[rule.threat]]
framework = "MITRE ATT&CK"
[[rule.threat.technique]]
id = "T1059"
name = "Command and Scripting Interpreter"
reference = "https://attack.mitre.org/techniques/T1059/"
[rule.threat.tactic]
id = "TA0002"
name = "Execution"
reference = "https://attack.mitre.org/tactics/TA0002/"
"""
PROGRAMS = ("runc", "pause", "nginx", "node", "python3", "java", "sh", "cat", "sleep", "curl")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: events of a day, those of tools and of the flood among them.

    `scanned` are events of a file.
    """

    noise: int
    tools: int
    events_of_a_tool: int
    flood: int
    rounds: int
    rules: tuple[int, ...]
    scanned: int

    @property
    def cycle(self) -> int:
        """The number of rules of the scenarios that have but one."""
        return min(self.rules[-1], 1_000)


WHOLE = Size(276_900, 100, 231, 200_000, 5, (100, 1_000, 2_500, 5_000), 1_000_000)
QUICK = Size(20_000, 20, 100, 4_000, 3, (100, 500), 200_000)


@dataclass(frozen=True, slots=True)
class Lab:
    """A node at `url` with the events of the day that ends at `now`; `folder` is for files."""

    url: str
    size: Size
    now: datetime
    folder: Path
    spaces: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def space(self, **changes: Any) -> tuple[ElasticStore, Terms]:
        """An engine that has never run here, set up, with the packaged settings but for some."""
        configured = Settings(space=f"bench{next(self.spaces)}", **changes)
        store = wiring.connect(self.url, configured, embedded=True)
        shadow = placement.shadow(configured.space)
        installation.install(
            store,
            lambda lacking: alerts.template(configured.space, missing_types=lacking),
            shadow_template=lambda lacking: alerts.template(shadow, missing_types=lacking),
        )
        return store, wiring.terms(configured)

    def forget(self, store: ElasticStore) -> None:
        """Delete what an engine has written."""
        mine = f"{store.names.alerts}*,detector-*-{store.names.space}*"
        found = store.client.indices.get_alias(index=mine, expand_wildcards="all")
        for name in found.body:
            store.client.indices.delete(index=name)

    @property
    def day(self) -> Window:
        return Window(self.now - DAY, self.now)

    def rules(self, count: int, names: str) -> list[Rule]:
        """`count` rules, each after a program of its own, read from files as commands do."""
        rules = list(rulefile.load([self.rule_files(count, names)]).rules)
        cli.collect_seldom()
        wiring.keep()
        return rules

    def rule_files(self, count: int, names: str) -> Path:
        """A folder of them; `names` has the place of the number in a program's name."""
        folder = self.folder / f"{names.partition('{')[0]}-{count}"
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                keys = rule(number, names.format(number))
                (folder / f"rule{number:05}.toml").write_text(_toml(keys))
        return folder


def rule(number: int, program: str) -> dict[str, Any]:
    """A rule in the form of those that ship, after one program."""
    query = (
        'process where container.id : "*" and event.type == "start" and '
        f'event.action : ("fork", "exec") and process.name : ("{program}", "{program}.real") and '
        f'not process.args : ("--version", "--help-{number}") and process.parent.name != "pause"'
    )
    return {
        "rule_id": f"00000000-0000-4000-8000-{number:012}",
        "name": f"{program} in a container",
        "description": "Measured.",
        "type": "eql",
        "language": "eql",
        "index": ["logs-cloud_defend*"],
        "interval": "5m",
        "from": "now-6m",
        "timestamp_override": "event.ingested",
        "severity": "low",
        "risk_score": 21,
        "query": query,
        "tags": ["Domain: Container", "OS: Linux", "Use Case: Threat Detection"],
    }


def _toml(keys: dict[str, Any]) -> str:
    """As elastic/detection-rules writes rules, and as long as theirs are on average."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    note = "".join(f"- What {keys['name']} does there, step {step}.\n" for step in range(60))
    return "\n".join(["[rule]", *lines, f'note = """\n{note}"""', THREAT])


def fill(lab: Lab) -> None:
    """Index the events of a day, the same ones for the same day and size."""
    configured = Settings(space="events")
    store = wiring.connect(lab.url, configured, embedded=True)
    scratch.template(store, "logs-cloud_defend", ["logs-cloud_defend*"])
    batch: list[Stored] = []
    for source in events(lab.size, lab.now):
        batch.append(Stored(INDEX, "", source))
        if len(batch) == BATCH:
            scratch.fill(store, batch)
            batch = []
    if batch:
        scratch.fill(store, batch)
    store.client.indices.forcemerge(index=INDEX, max_num_segments=1)


def events(size: Size, end: datetime) -> Iterator[dict[str, Any]]:
    """Those that nobody looks for, those of each tool, and the flood, each over the whole day."""
    rng = random.Random(11)  # noqa: S311 - data, no secret
    kinds = {"noise": size.noise, "flood": size.flood}
    kinds |= {f"tool{number}": size.events_of_a_tool for number in range(size.tools)}
    for kind, count in kinds.items():
        for number in range(count):
            name = rng.choice(PROGRAMS) if kind == "noise" else kind
            yield _event(rng, name, end - DAY * (number + 0.5) / count)


def _event(rng: random.Random, name: str, when: datetime) -> dict[str, Any]:
    pod = rng.randrange(60)
    stamp = when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "@timestamp": stamp,
        "agent": {"type": "cloud-defend", "version": "9.3.0", "name": f"node-{pod % 6}"},
        "data_stream": {"type": "logs", "dataset": "cloud_defend.process", "namespace": "default"},
        "event": {
            "id": f"{rng.getrandbits(128):032x}",
            "category": ["process"],
            "type": ["start"],
            "action": ["exec"],
            "kind": "event",
            "module": "cloud_defend",
            "dataset": "cloud_defend.process",
            "ingested": stamp,
        },
        "container": {
            "id": f"{pod:064x}",
            "image": {"name": f"docker.io/library/app-{pod % 9}", "tag": f"1.{pod % 7}"},
        },
        "host": {"name": f"node-{pod % 6}.internal", "os": {"type": "linux"}},
        "orchestrator": {
            "namespace": ("default", "shop", "kube-system")[pod % 3],
            "resource": {"name": f"pod-{pod}", "type": "pod"},
        },
        "process": {
            "name": name,
            "executable": f"/usr/bin/{name}",
            "args": [name, f"--option={rng.randrange(1000)}", f"/srv/{rng.randrange(10_000)}"],
            "pid": rng.randrange(60_000),
            "entity_id": f"{rng.getrandbits(96):024x}",
            "interactive": False,
            "parent": {"name": "sh", "executable": "/bin/sh", "pid": 999},
        },
        "user": {"id": str(pod % 3)},
    }
