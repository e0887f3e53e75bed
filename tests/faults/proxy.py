"""An HTTP proxy between the engine and a node that fails as networks and clusters do.

Only tests use it. It listens on loopback, forwards to one address, and applies the faults it has
been given to the requests they name, in their order.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

JSON = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}


@dataclass(slots=True)
class Fault:
    """What happens to the requests whose `METHOD /path` matches `where`, `times` times.

    `skip` lets that many through first, `body` all whose body it is false of. `applied` forwards
    the request to the node before failing, so that the node has done what the client never hears
    of.
    """

    where: str
    happen: Callable[[Request, Answer | None], None]
    times: int = 1
    skip: int = 0
    applied: bool = False
    body: Callable[[bytes], bool] = lambda _: True
    hits: int = field(default=0, init=False)

    def takes(self, line: str, body: bytes) -> bool:
        if not re.search(self.where, line) or not self.body(body):
            return False
        self.hits += 1
        return self.skip < self.hits <= self.skip + self.times


@dataclass(frozen=True, slots=True)
class Answer:
    """What the node said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Request(BaseHTTPRequestHandler):
    """One request on its way to the node."""

    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        line = f"{self.command} {self.path}"
        self.server.watch(line, body)
        fault = self.server.fault_for(line, body)
        if fault is None:
            self.send(self.forward(body))
            return
        fault.happen(self, self.forward(body) if fault.applied else None)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one  # noqa: N815 - http.server's names

    def forward(self, body: bytes) -> Answer:
        node = http.client.HTTPConnection(*self.server.node, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            node.request(self.command, self.path, body=body, headers=headers)
            answer = node.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            node.close()

    def send(self, answer: Answer, *, upto: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:upto])

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


class Server(ThreadingHTTPServer):
    """The listening side; `faults` are asked in order, the first that takes a request has it."""

    daemon_threads = True

    def __init__(self, node: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.node = node
        self.faults: list[Fault] = []
        self.lines: list[str] = []
        self.watch: Callable[[str, bytes], None] = lambda _line, _body: None
        self._lock = threading.Lock()

    def fault_for(self, line: str, body: bytes) -> Fault | None:
        with self._lock:
            self.lines.append(line)
            return next((fault for fault in self.faults if fault.takes(line, body)), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that gives up is what the tests provoke


class Proxy:
    """`with Proxy(node_url) as proxy:` gives `proxy.url`; `proxy.inject` adds faults."""

    def __init__(self, node_url: str) -> None:
        parts = urlsplit(node_url)
        self._server = Server((parts.hostname or "127.0.0.1", parts.port or 9200))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def lines(self) -> list[str]:
        """Every request so far, as `METHOD /path`."""
        return self._server.lines

    def inject(self, *faults: Fault) -> None:
        self._server.faults += faults

    def watch(self, watcher: Callable[[str, bytes], None]) -> None:
        """Show `watcher` every request, as `METHOD /path` and body, before faults have it."""
        self._server.watch = watcher

    def heal(self) -> None:
        """No more faults."""
        self._server.faults.clear()


def status(code: int, body: bytes = b'{"error":"injected"}', **headers: str) -> Any:
    """The request is answered with `code`."""

    def happen(request: Request, _: Answer | None) -> None:
        extra = [(name.replace("_", "-"), value) for name, value in headers.items()]
        request.send(Answer(code, [*JSON.items(), *extra], body))

    return happen


def page(body: bytes, kind: str = "text/html") -> Any:
    """The request is answered 200 with something that is not Elasticsearch's."""

    def happen(request: Request, _: Answer | None) -> None:
        request.send(Answer(200, [("Content-Type", kind)], body))

    return happen


def garbage(request: Request, _: Answer | None) -> None:
    """200, and a body that is no JSON."""
    request.send(Answer(200, list(JSON.items()), b'{"took": 3, "respon'))


def cut(request: Request, answer: Answer | None) -> None:
    """The connection closes in the middle of the answer."""
    answer = answer or request.forward(b"")
    request.send(answer, upto=len(answer.body) // 2)
    request.hang_up()


def drop(request: Request, _: Answer | None) -> None:
    """The connection closes without an answer."""
    request.hang_up()


def hang(seconds: float) -> Any:
    """No answer for `seconds`, then none at all."""

    def happen(request: Request, _: Answer | None) -> None:
        time.sleep(seconds)
        request.hang_up()

    return happen


def delay(seconds: float) -> Any:
    """The answer comes, late; for faults with `applied`."""

    def happen(request: Request, answer: Answer | None) -> None:
        time.sleep(seconds)
        if answer is not None:
            request.send(answer)

    return happen
