from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from detector.errors import NodeError
from detector.node import embedded
from detector.node.embedded import Launch

pytestmark = pytest.mark.node

USER = """
import sys
from pathlib import Path
from detector.node import embedded
with embedded.running(Path(sys.argv[1])) as node:
    print(node.pid, node.url, flush=True)
    sys.stdin.read()
"""
SERVE = """
import sys
from pathlib import Path
from detector.node import embedded
embedded.serve(Path(sys.argv[1]), announce=lambda node: print(node.pid, node.url, flush=True))
"""


@contextmanager
def user(folder: Path, script: str = USER) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> tuple[int, str]:
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    return int(pid), url


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_processes_share_one_node_and_it_ends_when_the_last_is_killed(tmp_path: Path) -> None:
    with user(tmp_path) as first, user(tmp_path) as second:
        (pid, url), other = told(first), told(second)
        assert other == (pid, url)
        with embedded.running(tmp_path) as node:
            assert (node.pid, node.url) == (pid, url)
        for process in (first, second):
            assert alive(pid)
            process.send_signal(signal.SIGKILL)
            process.wait(5)
        assert within(10, lambda: not alive(pid))


def test_data_survives_a_restart_and_a_kill_of_the_node(tmp_path: Path) -> None:
    with embedded.running(tmp_path) as node, Elasticsearch(node.url) as client:
        client.index(index="kept", id="1", document={"a": 1}, refresh=True)
        os.kill(node.pid, signal.SIGKILL)
        assert within(5, lambda: not alive(node.pid))
        assert json.loads((tmp_path / "node.json").read_text())["pid"] == node.pid
        with embedded.running(tmp_path) as again, Elasticsearch(again.url) as other:
            assert again.pid != node.pid
            assert other.get(index="kept", id="1")["_source"] == {"a": 1}
    assert within(1, lambda: not alive(again.pid))


def test_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(NodeError, match="ended while it was starting") as error,
            embedded.running(tmp_path, Launch(port=port)),
        ):
            pass
    assert str(port) in error.value.message
    assert "node.log" in (error.value.hint or "")


def test_served_node_outlives_nobody_and_refuses_another_port(tmp_path: Path) -> None:
    with user(tmp_path, SERVE) as served:
        pid, url = told(served)
        wrong = Launch(port=1 + int(url.rpartition(":")[2]) % 60000)
        with pytest.raises(NodeError, match="already runs at"), embedded.running(tmp_path, wrong):
            pass
        served.send_signal(signal.SIGINT)
        assert served.wait(15) == 0
        assert not alive(pid)
        with embedded.running(tmp_path) as next_one:
            assert next_one.pid != pid


def test_served_node_that_dies_ends_its_server_with_an_error(tmp_path: Path) -> None:
    with user(tmp_path, SERVE) as served:
        os.kill(told(served)[0], signal.SIGKILL)
        assert served.wait(10) == 1


def test_missing_packages_are_one_error_with_a_hint(tmp_path: Path) -> None:
    script = USER.replace("import sys", "import sys; sys.modules['jpype'] = None", 1)
    command = [sys.executable, "-c", script, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "NodeError: the embedded Elasticsearch is not installed" in ended.stderr
