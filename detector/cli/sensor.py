"""What a process in a pod did -> the document that Elastic Defend for Containers makes of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

Dated: TypeAlias = tuple[datetime, str, dict[str, Any]]
"""When something happened, the data stream it is logged to, and the document."""

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


@dataclass(frozen=True, slots=True)
class Event:
    """Something a process in a pod did, before it is said whether to a process or to a file."""

    id: str
    moment: datetime
    ingested: datetime
    scene: Scene
    process: Mapping[str, Any]


def process_event(event: Event, actions: Sequence[str]) -> Dated:
    """A process event; the sensor puts `actions` that follow closely (fork, exec, end) into one."""
    started = ["start"] if list(actions) != ["end"] else []
    types = started + (["end"] if "end" in actions else [])
    document = _document(event, "process", {"action": list(actions), "type": types})
    document["cloud_defend"] = {
        **event.scene.shared["cloud_defend"],
        "matched_selectors": ["allProcesses"],
        "hook_point": [HOOKS[action] for action in actions],
    }
    return event.moment, "logs-cloud_defend.process-default", document


def file_event(event: Event, file: Mapping[str, Any]) -> Dated:
    """A file event; `file` gives `path`, and `type` and `action` as `event` shall have them."""
    document = _document(event, "file", {"action": file["action"], "type": [file["type"]]})
    name = file["path"].rsplit("/", 1)[1]
    extension = name.rpartition(".")[2] if "." in name else ""
    document["file"] = {"path": file["path"], "name": name, "extension": extension}
    return event.moment, "logs-cloud_defend.file-default", document


def _document(event: Event, category: str, kind: Mapping[str, Any]) -> dict[str, Any]:
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


def process(program: Program, parent: Program, entry: Program) -> dict[str, Any]:
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


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
