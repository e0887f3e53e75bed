"""The moment it is told -> the demo's events: what a few containers do all day, and an intrusion.

Who appears and what they do is data (`detector/data/story`); this module gives it times and ids.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from operator import itemgetter
from typing import Any
from uuid import UUID

import yaml

from detector.cli import sensor
from detector.cli.sensor import Dated, Event, Program, Scene

SPREAD = timedelta(minutes=30)
NEWEST = timedelta(seconds=20)


def tell(
    now: datetime, *, events: int = 4000, seed: int = 7
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of data stream and document, oldest first: `events` harmless ones and the intrusion.

    Harmless events lie in the half hour before `now`, the intrusion is ingested in its last four
    minutes; nothing is ingested after `now`. The same arguments tell the same story, ids included.
    Documents share their unchanging parts: copy one before changing it.
    """
    moment = now.astimezone(UTC)
    scenes = dict(_scenes(moment))
    harmless = _harmless(moment, list(scenes.values()), events, f"{seed} harmless")
    intrusion = _intrusion(moment, scenes, f"{seed} intrusion")
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
        process = sensor.process(program, parent=_parent(habit, program, scene), entry=scene.main)
    else:
        process = sensor.process(program, parent=scene.runtime, entry=program)
    event = _event(moment, scene, process, rng)
    if file := habit.get("file"):
        return sensor.file_event(event, {**file, "path": filled(file["path"])})
    return sensor.process_event(event, rng.choice(habit["actions"]))


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
            yield sensor.file_event(_event(moment, scene, processes[step["of"]], rng), file)
            continue
        actor = _actor(step, moment, scene, rng)
        session = session or actor
        parent = actors.get(step.get("by", ""), scene.runtime)
        process = sensor.process(actor, parent, entry=session)
        if name := step.get("name"):
            actors[name], processes[name] = actor, process
        yield sensor.process_event(_event(moment, scene, process, rng), step["actions"])


def _actor(step: Mapping[str, Any], moment: datetime, scene: Scene, rng: random.Random) -> Program:
    executable, args = step["executable"], step["args"]
    return Program(_pid(rng), executable, args, moment, scene.agent, "0", interactive=True)


def _event(moment: datetime, scene: Scene, process: Mapping[str, Any], rng: random.Random) -> Event:
    name = str(UUID(int=rng.getrandbits(128), version=4))
    return Event(name, moment, moment + timedelta(seconds=rng.uniform(2, 9)), scene, process)


def _pid(rng: random.Random) -> int:
    return rng.randrange(10_000, 4_000_000)


# The cast


def _scenes(now: datetime) -> Iterator[tuple[str, Scene]]:
    cast = read("cast")
    nodes = {node["name"]: node for node in cast["nodes"]}
    up = now - timedelta(days=3)
    for pod in cast["pods"]:
        node = nodes[pod["node"]]
        shared = {**_on_node(node), **_in_pod(pod, cast["cluster"])}
        yield pod["name"], _scene(pod, node["agent"], shared, up)


def _scene(pod: Mapping[str, Any], agent: str, shared: Mapping[str, Any], up: datetime) -> Scene:
    main, user = pod["main"], pod["user"]
    shim = "/usr/bin/containerd-shim-runc-v2"
    return Scene(
        app=pod["app"],
        user=user,
        agent=agent,
        shared=shared,
        main=Program(main["pid"], main["executable"], main["args"], up, agent, user),
        runtime=Program(main["pid"] - 31, shim, [shim, "-namespace", "k8s.io"], up, agent),
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
