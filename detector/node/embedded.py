"""A data folder -> a running Elasticsearch, shared by every process that uses that folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from detector import folders
from detector.errors import NodeError
from detector.node import jars, jvm, locks
from detector.node.progress import Progress, silent
from detector.node.server import Address, Folder

DEFAULT_FOLDER = Path(".detector")
DEFAULT_HEAP = "512m"
LIMIT = 90.0  # seconds for a start; the downloads before it have their own
LEAVING = 15.0  # seconds to wait for the end of a node that nobody uses
PAUSE = 0.1
TAIL = 12
_direct = build_opener(ProxyHandler({}))  # loopback is never behind a proxy


@dataclass(frozen=True, slots=True)
class Node:
    """A node that answers; it stays up at least until the `running` that gave it is left."""

    url: str
    pid: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a node when none runs yet."""

    port: int | None = None
    heap: str = DEFAULT_HEAP
    flags: Sequence[str] = jvm.FAST_START


@contextmanager
def running(
    folder: Path = DEFAULT_FOLDER,
    launch: Launch = Launch(),
    progress: Progress = silent,
    limit: float = LIMIT,
) -> Iterator[Node]:
    """Give the node of `folder`, started if need be; it ends with its last user, however that ends.

    Raises NodeError: packages missing, jars wrong or out of reach, no start within `limit` seconds.
    """
    jvm.require()
    place = _prepare(folder.resolve())
    jars.fetch(jars.table(), folders.cache() / "jars", progress)
    user = locks.share(place.users, limit)
    if user is None:
        raise NodeError(f"the node in {place.path} is ending and does not get done")
    try:
        address = _await(place, launch, progress, limit)
        yield Node(address.url, address.pid, place.path)
    finally:
        locks.release(user)
        _see_off(place)


def serve(
    folder: Path = DEFAULT_FOLDER,
    launch: Launch = Launch(),
    progress: Progress = silent,
    announce: Callable[[Node], None] = lambda _: None,
) -> None:
    """Keep the node of `folder` up until SIGINT or SIGTERM; `announce` is called when it answers.

    Raises NodeError as `running` does, and when the node ends before it is told to.
    """
    stop = threading.Event()
    with running(folder, launch, progress) as node:
        announce(node)
        previous = {
            number: signal.signal(number, lambda *_: stop.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            while not stop.wait(0.5):
                if _ended(Folder(node.folder)):
                    raise _failure(Folder(node.folder), "Elasticsearch has ended by itself")
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _prepare(path: Path) -> Folder:
    folder = Folder(path)
    try:
        folder.logs.mkdir(parents=True, exist_ok=True)
        (path / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise NodeError(f"cannot write to {path}: {error.strerror}") from error
    return folder


def _await(folder: Folder, launch: Launch, progress: Progress, limit: float) -> Address:
    """Start a node if none runs, and wait until the one of `folder` answers."""
    began = time.monotonic()
    child: subprocess.Popen[bytes] | None = None
    while (elapsed := time.monotonic() - began) < limit:
        progress(f"starting Elasticsearch {jars.VERSION}", elapsed, None)
        if child is None and (holder := locks.claim(folder.holder)) is not None:
            child = _spawn(folder, launch, holder)
        if (address := _published(folder)) and _answers(address):
            _same_port(folder, launch, address)
            return address
        if child is not None and child.returncode is not None:
            code = (
                child.returncode
            )  # negative: the signal that killed it, such as -9 without memory
            raise _failure(folder, f"Elasticsearch ended while it was starting (exit code {code})")
        time.sleep(PAUSE)
    raise _failure(folder, f"Elasticsearch is not up after {limit:.0f} s")


def _spawn(folder: Folder, launch: Launch, holder: int) -> subprocess.Popen[bytes]:
    """Start the node's process; it inherits `holder`, and so no second one can start."""
    folder.address.unlink(missing_ok=True)
    command = [sys.executable, "-m", "detector.node", "--users", str(folder.path)]
    command += ["--heap", launch.heap, *(f"--jvm={flag}" for flag in launch.flags)]
    command += ["-E", f"http.port={launch.port or 0}"]
    with folder.log.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - our own module, our own options
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[holder],
            start_new_session=True,  # Ctrl-C is for this user, not for the others' node
        )
    locks.release(holder)
    threading.Thread(target=child.wait, daemon=True).start()  # reaps it, whenever it ends
    return child


def _published(folder: Folder) -> Address | None:
    try:
        return Address(**json.loads(folder.address.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _answers(address: Address) -> bool:
    """Whether the node itself (not a stranger on its old port) has its indices at hand."""
    try:
        if _get(address.url).get("name") != address.name:
            return False
        health = _get(f"{address.url}/_cluster/health?wait_for_status=yellow&timeout=2s")
    except (OSError, ValueError, AttributeError):
        return False
    return health.get("status") in ("green", "yellow")


def _get(url: str) -> dict[str, object]:
    with _direct.open(url, timeout=5) as answer:
        body: dict[str, object] = json.load(answer)
    return body


def _same_port(folder: Folder, launch: Launch, address: Address) -> None:
    if launch.port and not address.url.endswith(f":{launch.port}"):
        raise NodeError(
            f"a node for {folder.path} already runs at {address.url}, not on port {launch.port}",
            hint="leave out the port to share it, or choose another data folder",
        )


def _ended(folder: Folder) -> bool:
    if (holder := locks.claim(folder.holder)) is None:
        return False
    locks.release(holder)
    return True


def _see_off(folder: Folder) -> None:
    """Wait for the node's end when nobody else uses it, so that no process outlives its command."""
    deadline = time.monotonic() + LEAVING
    while time.monotonic() < deadline and _last(folder) and not _ended(folder):
        time.sleep(PAUSE)


def _last(folder: Folder) -> bool:
    """Whether no user is left: the lock is free, or the ending node has it."""
    if (alone := locks.claim(folder.users)) is not None:
        locks.release(alone)
        return True
    if (other := locks.share(folder.users, 0)) is not None:
        locks.release(other)
        return False
    return True


def _failure(folder: Folder, message: str) -> NodeError:
    """Quote the last lines of the log, less Java's stack frames."""
    try:
        lines = folder.log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.strip() and not line.lstrip().startswith("at ")]
    quoted = "".join(f"\n  {line[:300]}" for line in told[-TAIL:])
    return NodeError(message + quoted, hint=f"the whole log: {os.path.relpath(folder.log)}")
