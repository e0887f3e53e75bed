"""Saved objects and credentials go to Kibana alone, and what is no success is an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from detector.cli import credentials, kibana
from detector.errors import StoreError
from detector.settings import Elasticsearch, Settings

CONFIGURED = Settings(elasticsearch=Elasticsearch(api_key=SecretStr("hush")))
TAKEN = b'{"success": true, "successCount": 2}'
LOGIN = b"<html>please log in</html>"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


class Server(HTTPServer):
    """Answers everything alike; keeps the `Authorization` it was sent."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = status, body, headers
        self.sent: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.sent.append(self.headers.get("Authorization"))
        status, body, headers = self.server.answer
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None: ...


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def begin(status: int = 200, body: bytes = TAKEN, **headers: str) -> Server:
        server = Server(status, body, headers)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        servers.append((server, thread))
        return server

    yield begin
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_kibana_took_is_no_error(serve: Serve) -> None:
    server = serve()
    kibana.load(server.url, "{}", CONFIGURED)
    assert server.sent == ["ApiKey hush"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_follow_no_redirect(serve: Serve, status: int) -> None:
    other = serve()
    server = serve(status, b"", Location=f"{other.url}/login")
    with pytest.raises(StoreError, match=f"Kibana answered {status}"):
        kibana.load(server.url, "{}", CONFIGURED)
    assert other.sent == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": LOGIN}, "something other than Kibana answered"),
        ({"body": b""}, "something other than Kibana answered"),
        ({"body": b"[]"}, "something other than Kibana answered"),
        ({"body": b"{}"}, "something other than Kibana answered"),
        (
            {"body": b'{"success": false, "errors": [{"error": {"type": "missing_references"}}]}'},
            "Kibana did not import everything: missing_references",
        ),
        ({"body": b'{"success": false, "errors": [null, 1]}'}, "did not import everything"),
        ({"status": 500, "body": b"no"}, "Kibana answered 500: no"),
        ({"body": TAKEN[:9], "Content-Length": "99"}, "something other than Kibana answered"),
    ],
    ids=str,
)
def test_what_is_no_success_is_an_error(serve: Serve, answer: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        kibana.load(serve(**answer).url, "{}", CONFIGURED)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://kibana.example:5601", True),
        ("https://kibana.example", False),
        ("http://localhost:5601", False),
    ],
)
def test_credentials_that_go_to_kibana_unencrypted_are_warned_of(url: str, warned: bool) -> None:
    said = list(credentials.unencrypted(url, CONFIGURED))
    assert bool(said) is warned
    assert all("kibana.example" in one for one in said)
