"""The moment it is told -> the demo's events: what a few containers do all day, and an intrusion.

Who appears and what they do is data (`detector/data/story`); this module gives it times and ids.
"""

from __future__ import annotations

import base64
import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from operator import itemgetter
from typing import Any, TypeAlias
from uuid import UUID

import yaml

Dated: TypeAlias = tuple[datetime, str, dict[str, Any]]

SPREAD = timedelta(minutes=30)
NEWEST = timedelta(seconds=20)
HOOKS = {
    "fork": "tracepoint__sched_process_fork",
    "exec": "tracepoint__sched_process_exec",
    "end": "kprobe__taskstats_exit",
}


@dataclass(frozen=True, slots=True)
class Program:
    """A process as every document speaks of it, be it the actor, its parent or its leader."""

    pid: int
    executable: str
    args: Sequence[str]
    start: datetime
    agent: str
    user: str = "0"
    interactive: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One pod: what all its documents share, its main process and the runtime that started it."""

    app: str
    user: str
    agent: str
    shared: Mapping[str, Any]
    main: Program
    runtime: Program


def tell(
    now: datetime, *, events: int = 4000, seed: int = 7
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of data stream and document, oldest first: `events` harmless ones and the intrusion.

    Harmless events lie in the half hour before `now`, the intrusion is ingested in its last four
    minutes; nothing is ingested after `now`. The same arguments tell the same story, ids included.
    Documents share their unchanging parts: copy one before changing it.
    """
    scenes = {pod["name"]: scene for pod, scene in _scenes(now.astimezone(UTC))}
    harmless = _harmless(now.astimezone(UTC), list(scenes.values()), events, f"{seed} harmless")
    intrusion = _intrusion(now.astimezone(UTC), scenes, f"{seed} intrusion")
    for _, stream, document in heapq.merge(harmless, intrusion, key=itemgetter(0)):
        yield stream, document


def read(name: str) -> Any:
    """The story's data called `name`: "cast", "benign" or "intrusion"."""
    text = resources.files("detector").joinpath("data", "story", f"{name}.yaml").read_text("utf-8")
    return yaml.load(text, Loader=yaml.CSafeLoader)


# Harmless events


def _harmless(now: datetime, scenes: list[Scene], events: int, seed: str) -> Iterator[Dated]:
    rng = random.Random(seed)  # noqa: S311 a story is no secret, and must be told again the same
    habits = read("benign")
    places = [[scene for scene in scenes if scene.app in habit["apps"]] for habit in habits]
    weights = [habit["weight"] for habit in habits]
    span = (SPREAD - NEWEST).total_seconds()
    ages = sorted((rng.random() * span for _ in range(events)), reverse=True)
    for age, index in zip(ages, rng.choices(range(len(habits)), weights, k=events), strict=True):
        moment = now - NEWEST - timedelta(seconds=age)
        yield _habitual(habits[index], moment, rng.choice(places[index]), rng)


def _habitual(
    habit: Mapping[str, Any], moment: datetime, scene: Scene, rng: random.Random
) -> Dated:
    filled = _Filling(str(rng.randrange(10, 99_999)), f"{rng.getrandbits(40):010x}")
    args = [filled(arg) for arg in rng.choice(habit["args"])]
    user = habit.get("user", scene.user)
    program = Program(_pid(rng), habit["executable"], args, moment, scene.agent, user)
    if habit.get("entry", "main") == "main":
        process = _process(program, parent=_parent(habit, program, scene), entry=scene.main)
    else:
        process = _process(program, parent=scene.runtime, entry=program)
    event = _event(moment, scene, process, rng)
    if file := habit.get("file"):
        return _file_event(event, {**file, "path": filled(file["path"])})
    return _process_event(event, rng.choice(habit["actions"]))


def _parent(habit: Mapping[str, Any], program: Program, scene: Scene) -> Program:
    parent = habit.get("parent")
    if parent is None:
        return scene.main
    start, pid = program.start - timedelta(seconds=1), program.pid - 1
    return Program(pid, parent["executable"], parent["args"], start, scene.agent, program.user)


@dataclass(frozen=True, slots=True)
class _Filling:
    """Puts a number for {n} and a word for {h}, the same throughout one event."""

    number: str
    word: str

    def __call__(self, text: str) -> str:
        return text.replace("{n}", self.number).replace("{h}", self.word)


# The intrusion


def _intrusion(now: datetime, scenes: Mapping[str, Scene], seed: str) -> Iterator[Dated]:
    rng = random.Random(seed)  # noqa: S311 as above
    told = read("intrusion")
    scene = scenes[told["pod"]]
    actors: dict[str, Program] = {}
    session: Program | None = None
    processes: dict[str, dict[str, Any]] = {}
    for step in told["steps"]:
        moment = now - timedelta(seconds=step["at"])
        if file := step.get("file"):
            yield _file_event(_event(moment, scene, processes[step["of"]], rng), file)
            continue
        actor = _actor(step, moment, scene, rng)
        session = session or actor
        process = _process(actor, actors.get(step.get("by", ""), scene.runtime), entry=session)
        if name := step.get("name"):
            actors[name], processes[name] = actor, process
        yield _process_event(_event(moment, scene, process, rng), step["actions"])


def _actor(step: Mapping[str, Any], moment: datetime, scene: Scene, rng: random.Random) -> Program:
    executable, args = step["executable"], step["args"]
    return Program(_pid(rng), executable, args, moment, scene.agent, "0", interactive=True)


# Documents


@dataclass(frozen=True, slots=True)
class _Event:
    """Something a process in a pod did, before it is said whether to a process or to a file."""

    id: str
    moment: datetime
    ingested: datetime
    scene: Scene
    process: Mapping[str, Any]


def _event(
    moment: datetime, scene: Scene, process: Mapping[str, Any], rng: random.Random
) -> _Event:
    name = str(UUID(int=rng.getrandbits(128), version=4))
    return _Event(name, moment, moment + timedelta(seconds=rng.uniform(2, 9)), scene, process)


def _process_event(event: _Event, actions: Sequence[str]) -> Dated:
    types = ["start"] if "end" not in actions else ["start", "end"] if len(actions) > 1 else ["end"]
    document = _document(event, "process", {"action": list(actions), "type": types})
    document["cloud_defend"] = {
        **event.scene.shared["cloud_defend"],
        "matched_selectors": ["allProcesses"],
        "hook_point": [HOOKS[action] for action in actions],
    }
    return event.moment, "logs-cloud_defend.process-default", document


def _file_event(event: _Event, file: Mapping[str, Any]) -> Dated:
    document = _document(event, "file", {"action": file["action"], "type": [file["type"]]})
    name = file["path"].rsplit("/", 1)[1]
    extension = name.rpartition(".")[2] if "." in name else ""
    document["file"] = {"path": file["path"], "name": name, "extension": extension}
    return event.moment, "logs-cloud_defend.file-default", document


def _document(event: _Event, category: str, kind: Mapping[str, Any]) -> dict[str, Any]:
    dataset, user = f"cloud_defend.{category}", event.process["user"]["id"]
    return {
        **event.scene.shared,
        "@timestamp": _text(event.moment),
        "data_stream": {"type": "logs", "dataset": dataset, "namespace": "default"},
        "event": {
            **kind,
            "agent_id_status": "verified",
            "category": [category],
            "created": _text(event.moment),
            "dataset": dataset,
            "id": event.id,
            "ingested": _text(event.ingested),
            "kind": "event",
            "module": "cloud_defend",
        },
        "group": {"id": user},
        "process": event.process,
        "user": {"id": user},
    }


def _process(program: Program, parent: Program, entry: Program) -> dict[str, Any]:
    """What a document says of `program`: a job of its own in the session that `entry` leads."""
    leads = entry is program
    leader = {**_described(entry), "same_as_process": leads}
    return {
        **_described(program),
        "parent": {**_described(parent), "same_as_process": False},
        "group_leader": {**_described(program), "same_as_process": True},
        "session_leader": leader,
        "entry_leader": {**leader, "entry_meta": {"type": "container"}},
    }


def _described(program: Program) -> dict[str, Any]:
    identity = f"{program.agent}-{program.pid}-{int(program.start.timestamp())}"
    return {
        "args": list(program.args),
        "entity_id": base64.b64encode(identity.encode()).decode(),
        "executable": program.executable,
        "group": {"id": program.user},
        "interactive": program.interactive,
        "name": program.executable.rsplit("/", 1)[1],
        "pid": program.pid,
        "start": _text(program.start),
        "user": {"id": program.user},
        "working_directory": "/",
    }


# The cast


def _scenes(now: datetime) -> Iterator[tuple[Mapping[str, Any], Scene]]:
    cast = read("cast")
    nodes = {node["name"]: node for node in cast["nodes"]}
    up = now - timedelta(days=3)
    for pod in cast["pods"]:
        node, main = nodes[pod["node"]], pod["main"]
        agent, user = node["agent"], pod["user"]
        shim = "/usr/bin/containerd-shim-runc-v2"
        yield (
            pod,
            Scene(
                app=pod["app"],
                user=user,
                agent=agent,
                shared={**_on_node(node), **_in_pod(pod, cast["cluster"])},
                main=Program(main["pid"], main["executable"], main["args"], up, agent, user),
                runtime=Program(main["pid"] - 31, shim, [shim, "-namespace", "k8s.io"], up, agent),
            ),
        )


def _on_node(node: Mapping[str, Any]) -> dict[str, Any]:
    agent = {"id": node["agent"], "type": "cloud-defend", "version": "9.3.0", "name": node["name"]}
    account = {"id": "123456789012", "name": "shop"}
    zone = node["zone"]
    place = {"provider": "aws", "region": zone[:-1], "availability_zone": zone, "account": account}
    policy = {
        "package_policy_id": "4c9cbba0-c812-11ed-a8dd-91ec403e4f03",
        "package_policy_revision": 2,
    }
    return {
        "agent": agent,
        "cloud": {**place, "instance": {"name": node["name"]}},
        "cloud_defend": policy,
        "ecs": {"version": "8.7.0"},
        "host": _host(node),
    }


def _host(node: Mapping[str, Any]) -> dict[str, Any]:
    system = {"family": "ubuntu", "full": "Ubuntu 22.04.4", "kernel": "6.8.0-124-generic"}
    release = {"name": "Linux", "platform": "ubuntu", "type": "linux", "version": "22.04.4"}
    return {
        "architecture": "amd64",
        "boot": {"id": node["boot"]},
        "hostname": node["name"],
        "id": node["id"],
        "ip": ["127.0.0.1", node["ip"]],
        "mac": [node["mac"]],
        "name": node["name"],
        "os": {**system, **release},
        "pid_ns_ino": "4026531836",
    }


def _in_pod(pod: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    resource = {
        "ip": pod["ip"],
        "label": [f"app:{pod['app']}"],
        "name": pod["name"],
        "parent": {"type": pod["parent"]},
        "type": "pod",
    }
    return {
        "container": {
            "id": pod["container"],
            "image": {"name": pod["image"], "tag": [pod["tag"]]},
            "security_context": {"privileged": False},
        },
        "orchestrator": {
            "cluster": dict(cluster),
            "namespace": pod["namespace"],
            "resource": resource,
        },
    }


def _pid(rng: random.Random) -> int:
    return rng.randrange(10_000, 4_000_000)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
