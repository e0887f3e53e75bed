from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detector.errors import NodeError
from detector.node import home, jars
from detector.node.jars import Jar

CONTENT = b"classes, in a manner of speaking" * 5000


def jar(content: bytes = CONTENT, artifact: str = "thing") -> Jar:
    digest = hashlib.sha256(content).hexdigest()
    return Jar("server", "org.example", artifact, "1.0", len(content), digest)


def place(mirror: Path, one: Jar, content: bytes = CONTENT) -> None:
    path = mirror / one.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTOR_MAVEN_URL", (tmp_path / "mirror").as_uri())
    return tmp_path / "mirror"


def test_table_pins_every_jar_once() -> None:
    table = jars.table()
    assert len({one.name for one in table}) == len(table) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", one.sha256) and one.size > 0 for one in table)
    assert {one.place for one in table} == {"server", *home.MODULES}


def test_jar_is_fetched_once_and_reports_progress(mirror: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, float | None]] = []
    wanted = [jar(), jar(b"other", "other")]
    place(mirror, wanted[0])
    place(mirror, wanted[1], b"other")
    cache = tmp_path / "cache"
    paths = jars.fetch(wanted, cache, lambda _, done, total: seen.append((done, total)))
    assert [path.read_bytes() for path in paths.values()] == [CONTENT, b"other"]
    assert seen[-1] == (len(CONTENT) + 5, len(CONTENT) + 5)
    (mirror / wanted[0].path).unlink()
    assert jars.fetch(wanted, cache) == paths


def test_jar_with_a_wrong_checksum_is_refused_and_not_kept(mirror: Path, tmp_path: Path) -> None:
    place(mirror, jar(), CONTENT + b"!")
    with pytest.raises(NodeError, match=r"wrong checksum for thing-1\.0\.jar"):
        jars.fetch([jar()], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_jar_altered_in_the_cache_is_refused(mirror: Path, tmp_path: Path) -> None:
    place(mirror, jar())
    paths = jars.fetch([jar()], tmp_path / "cache")
    paths[jar()].write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(
        NodeError, match=r"wrong checksum for thing-1\.0\.jar in the cache"
    ) as error:
        jars.fetch([jar()], tmp_path / "cache")
    assert "delete" in (error.value.hint or "")


@pytest.mark.slow
def test_no_network_and_an_empty_cache_give_one_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound, never listening: every connection is refused
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("DETECTOR_MAVEN_URL", f"http://{address}")
        began = time.monotonic()
        with pytest.raises(NodeError, match=f"cannot reach {address}: .*refused") as error:
            jars.fetch(jars.table(), tmp_path / "cache")
    assert "DETECTOR_MAVEN_URL" in (error.value.hint or "")
    assert time.monotonic() - began < 15
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_that_cannot_be_written_is_a_node_error(mirror: Path, tmp_path: Path) -> None:
    place(mirror, jar())
    (tmp_path / "file").touch()
    with pytest.raises(NodeError, match="cannot use the cache"):
        jars.fetch([jar()], tmp_path / "file" / "cache")


class Repository(BaseHTTPRequestHandler):
    """Fails twice, once in the middle of a file; then answers who knows the password."""

    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        if len(self.asked) == 1:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if len(self.asked) > 2 else CONTENT[:70000])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


@pytest.fixture
def repository() -> Iterator[str]:
    Repository.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_download_survives_a_busy_server_and_a_broken_connection(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR_MAVEN_URL", f"http://ann:p%40ss@{repository}/")
    paths = jars.fetch([jar()], tmp_path / "cache")
    assert paths[jar()].read_bytes() == CONTENT
    assert Repository.asked == ["Basic YW5uOnBAc3M="] * 3
