"""`setup --kibana-url` hands the data view and the dashboard over as Kibana's import wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from detector import cli

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("at_node")]


class Kibana(HTTPServer):
    """Takes saved objects as Kibana does, or refuses them; keeps what it was sent."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Import)
        self.status = status
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Import(BaseHTTPRequestHandler):
    server: Kibana

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.sent.append((self.path, headers, body))
        answer = b'{"success": true}' if self.server.status == 200 else b'{"message": "no"}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture(params=[200])
def kibana(request: pytest.FixtureRequest) -> Iterator[Kibana]:
    with Kibana(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_objects_are_imported_as_one_file(es: Elasticsearch, kibana: Kibana) -> None:
    assert es.ping()
    result = CliRunner().invoke(cli.app, ["setup", "--kibana-url", kibana.url])
    assert result.exit_code == 0, result.output
    ((path, headers, body),) = kibana.sent
    assert path == "/api/saved_objects/_import?overwrite=true"
    assert headers["kbn-xsrf"] == "true"
    kind = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    (part,) = BytesParser(policy=HTTP).parsebytes(kind + body).iter_parts()
    assert part.get_filename() == "kibana.ndjson"
    text = part.get_payload(decode=True)
    assert isinstance(text, bytes)
    objects = [json.loads(line) for line in text.decode().splitlines() if line]
    assert {one["type"] for one in objects} == {"index-pattern", "dashboard"}
    assert Path("kibana.ndjson").read_text().strip() == text.decode().strip()


@pytest.mark.parametrize("kibana", [403], indirect=True)
def test_a_refusal_is_said(es: Elasticsearch, kibana: Kibana) -> None:
    assert es.ping()
    result = CliRunner().invoke(cli.app, ["setup", "--kibana-url", kibana.url])
    assert result.exit_code == 1
    assert "Kibana answered 403" in result.output
