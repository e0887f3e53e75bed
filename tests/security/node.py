"""A folder and certificates -> an Elasticsearch with users, roles, API keys and HTTPS.

The embedded node with two more modules (x-pack-core, x-pack-security, basic licence), for tests
alone. Their jars are pinned and fetched as the embedded node's are; the one class that is missing
from Maven Central is compiled on the node's own Java runtime.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme
from elasticsearch import Elasticsearch

from detector import folders
from detector.node import home, jars, jvm
from detector.node.jars import VERSION, Jar
from tests import processes
from tests.node import assembled

HERE = Path(__file__).parent
PASSWORD = "DETECTOR_TEST_BOOTSTRAP"  # noqa: S105 - the variable's name
NETTY = "transport-netty4"
TLS = "elasticsearch-ssl-config"
SECURITY = "x-pack-security"
MODULES = home.MODULES | {
    "analysis": home.Module("detector.Analysis"),
    "x-pack-core": home.Module("org.elasticsearch.xpack.core.XPackPlugin"),
    SECURITY: home.Module("org.elasticsearch.xpack.security.Security", extends="x-pack-core"),
}


@dataclass(frozen=True, slots=True)
class Secured:
    """A node that answers: its address, the superuser's password, and files of certificates.

    The client's certificate is signed by the authority that signed the node's.
    """

    url: str
    password: str
    ca: Path
    client_cert: Path
    client_key: Path

    def client(self, **login: Any) -> Elasticsearch:
        """A client with a certificate, as superuser unless another `login` is given."""
        return Elasticsearch(
            self.url,
            ca_certs=str(self.ca),
            client_cert=str(self.client_cert),
            client_key=str(self.client_key),
            **(login or {"basic_auth": ("elastic", self.password)}),
        )


@contextmanager
def running(folder: Path, extra: Mapping[str, str] | None = None) -> Iterator[Secured]:
    """A node in `folder`, ended when left; `extra` are settings of Elasticsearch's."""
    _certify(folder)
    port = assembled.free_port()
    node = Secured(
        f"https://127.0.0.1:{port}",
        secrets.token_hex(16),
        folder / "ca.pem",
        folder / "client.pem",
        folder / "client.key",
    )
    fetch()
    settings = _settings(folder, port) | dict(extra or {})
    process = assembled.spawned(Path(__file__), folder, settings, {PASSWORD: node.password})
    try:
        assembled.await_answer(node.client, process, folder)
        yield node
    finally:
        processes.end(process)


def fetch() -> dict[Jar, Path]:
    """The embedded node's jars and ours, in the same cache, and the class that we compile."""
    plain = jars.fetch(jars.table(), folders.cache() / "jars")
    more = assembled.fetched(HERE / "jars.tsv")
    compiler = next(path for jar, path in more.items() if jar.place == assembled.COMPILER)
    shared = {
        replace(jar, place="x-pack-core" if jar.artifact == TLS else SECURITY): path
        for jar, path in plain.items()
        if jar.place == NETTY  # what the plain node loads with its HTTP, these two load as well
    }
    analysis = Jar("analysis", "detector", "analysis", VERSION, 0, "")
    built = assembled.compiled(compiler, home.class_path(plain), [HERE / "Analysis.java"])
    return plain | more | shared | {analysis: built}


def _installed(folder: Path) -> jvm.Installation:
    files = fetch()
    place = home.build(folder, files, MODULES)
    keystore = {"bootstrap.password": os.environ[PASSWORD]}
    return jvm.Installation(place, home.class_path(files), keystore)


def _certify(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, told in (("node", "127.0.0.1"), ("client", "client.example")):
        issued = authority.issue_cert(told, "localhost", common_name=name)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        for pem in (*issued.cert_chain_pems, authority.cert_pem):
            pem.write_to_path(folder / f"{name}.pem", append=True)


def _settings(folder: Path, port: int) -> dict[str, str]:
    tls = "xpack.security.http.ssl"
    return {
        "http.port": str(port),
        "xpack.security.enabled": "true",
        f"{tls}.enabled": "true",
        f"{tls}.key": str(folder / "node.key"),
        f"{tls}.certificate": str(folder / "node.pem"),
        f"{tls}.certificate_authorities": str(folder / "ca.pem"),
    }


if __name__ == "__main__":
    assembled.serve(_installed)
