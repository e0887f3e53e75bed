"""Folders in, Elasticsearch nodes that form one or several clusters out. Only tests use it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from elasticsearch import ApiError, Elasticsearch, TransportError

from detector import folders
from detector.node import jars

LIMIT = 90.0


@dataclass(slots=True)
class Node:
    """A process with one node, on ports it has to itself."""

    name: str
    folder: Path
    settings: Mapping[str, str]
    http: int
    transport: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def seed(self) -> str:
        """The address other clusters know it by."""
        return f"127.0.0.1:{self.transport}"

    def start(self) -> None:
        """Start its process; it ends with this one at the latest."""
        own = {
            "node.name": self.name,
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            "http.port": str(self.http),
            "transport.port": str(self.transport),
        }
        options = [f"-E{key}={value}" for key, value in (own | dict(self.settings)).items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "detector.node", "--heap", "384m", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End it without a word, as kill -9 and a power cut do."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def client(self) -> Elasticsearch:
        return Elasticsearch(self.url, request_timeout=30)

    def log(self) -> str:
        return (self.folder / "logs" / "node.log").read_text("utf-8", errors="replace")[-3_000:]

    def pause(self) -> None:
        """Let it stand still: its connections stay, nothing is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def alone(folder: Path, *names: str) -> Iterator[tuple[Node, ...]]:
    """A cluster of one node for each name."""
    made = tuple(
        _node(
            folder / name,
            name,
            {"cluster.name": name, "cluster.routing.allocation.disk.threshold_enabled": "false"},
        )
        for name in names
    )
    with _running(made):
        for node in made:
            wait_for(node, nodes=1)
        yield made


@contextmanager
def together(folder: Path, *names: str) -> Iterator[tuple[Node, ...]]:
    """One cluster of all."""
    ports = free_ports(2 * len(names))
    transport = ports[len(names) :]
    settings = {
        "cluster.name": "together",
        "discovery.type": "multi-node",
        "discovery.seed_hosts": ",".join(f"127.0.0.1:{port}" for port in transport),
        "cluster.initial_master_nodes": ",".join(names),
        "cluster.fault_detection.follower_check.interval": "500ms",
        "cluster.fault_detection.leader_check.interval": "500ms",
    }
    made = tuple(
        Node(name, folder / name, settings, ports[n], transport[n]) for n, name in enumerate(names)
    )
    with _running(made):
        wait_for(made[0], nodes=len(names))
        yield made


def wait_for(node: Node, *, nodes: int, status: str = "yellow") -> None:
    """Until `node` sees a cluster of that many nodes that has its shards."""
    deadline = time.monotonic() + LIMIT
    with node.client() as client:
        while time.monotonic() < deadline:
            with suppress(ApiError, TransportError):
                seen = client.cluster.health(
                    wait_for_nodes=str(nodes), wait_for_status=status, timeout="2s"
                )
                if not seen["timed_out"]:
                    return
            if node.process is not None and node.process.poll() is not None:
                break
            time.sleep(0.2)
    raise AssertionError(f"{node.name} is not up: {node.log()}")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in taken]
    finally:
        for one in taken:
            one.close()


def _node(folder: Path, name: str, settings: Mapping[str, str]) -> Node:
    http, transport = free_ports(2)
    return Node(name, folder, settings, http, transport)


@contextmanager
def _running(nodes: Sequence[Node]) -> Iterator[None]:
    jars.fetch(jars.table(), folders.cache() / "jars")
    try:
        for node in nodes:
            node.start()
        yield
    finally:
        for node in nodes:
            node.kill()
