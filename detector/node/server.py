"""What to run and for whom -> Elasticsearch in this process until nobody needs it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from detector import folders
from detector.node import home, jars, jvm, locks

LOOPBACK = "127.0.0.1"
POLL = 0.3  # seconds between two looks at who is left
CLOSING = 20  # seconds until a node that does not close is killed
SETTINGS = {
    "cluster.name": "detector",
    "node.name": "detector",
    "network.host": LOOPBACK,
    "http.port": "0",
    "transport.port": "0",
    "discovery.type": "single-node",
    "logger.level": "INFO",
    "cluster.routing.allocation.disk.threshold_enabled": "false",  # a full laptop still works
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder: what the node keeps, and the files by which its users find each other."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "node.log"

    @property
    def users(self) -> Path:
        """Shared by every user; the node takes it alone when the last has gone."""
        return self.path / "users.lock"

    @property
    def holder(self) -> Path:
        """Held by the node's process from its start to its end."""
        return self.path / "node.lock"

    @property
    def address(self) -> Path:
        return self.path / "node.json"


@dataclass(frozen=True, slots=True)
class Address:
    """What a node publishes when it is up; its name tells it from a foreign one on that port."""

    url: str
    name: str
    pid: int


def run_for_users(folder: Folder, settings: Mapping[str, str], options: Sequence[str]) -> None:
    """Run until no process holds the folder's `users` lock; the caller passed on `holder`."""
    name = f"detector-{os.getpid()}"
    paths = {"path.data": str(folder.data), "path.logs": str(folder.logs), "node.name": name}
    server = _start(paths | dict(settings), options)
    _publish(folder, Address(f"http://{LOOPBACK}:{server.port}", name, os.getpid()))
    _close_when(server, lambda: locks.claim(folder.users) is not None)


def run_for_parent(
    settings: Mapping[str, str],
    options: Sequence[str],
    pidfile: Path,
    installed: Callable[[], jvm.Installation] | None = None,
) -> None:
    """Run until the process that started this one has gone; `installed` makes another node's."""
    parent = os.getppid()
    pidfile.write_text(str(os.getpid()), "utf-8")
    logs = Path(settings["path.logs"])
    logs.mkdir(parents=True, exist_ok=True)
    _write_to(logs / "node.log")
    server = _start(settings, options, installed or _installed)
    _close_when(server, lambda: os.getppid() != parent)


def _installed() -> jvm.Installation:
    files = jars.fetch(jars.table(), folders.cache() / "jars")
    place = home.build(folders.cache() / f"home-{jars.VERSION}", files)
    return jvm.Installation(place, home.class_path(files))


def _start(
    settings: Mapping[str, str],
    options: Sequence[str],
    installed: Callable[[], jvm.Installation] = _installed,
) -> jvm.Server:
    made = installed()
    return jvm.start(made, SETTINGS | {"path.home": str(made.home)} | dict(settings), options)


def _close_when(server: jvm.Server, unused: Callable[[], bool]) -> None:
    """Wait for a signal or for `unused`, then end the process: the JVM cannot be left otherwise."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(POLL) and not unused():
        pass
    signal.alarm(CLOSING)
    server.close()
    sys.stdout.flush()
    os._exit(0)


def _publish(folder: Folder, address: Address) -> None:
    partial = folder.address.with_suffix(".part")
    partial.write_text(json.dumps(asdict(address)), "utf-8")
    partial.replace(folder.address)


def _write_to(log: Path) -> None:
    """Send what Java and Python say to `log`: a pipe that nobody reads would stop the node."""
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
