"""A folder -> an Elasticsearch 8.19.0 with ES|QL (x-pack-core, x-pack-esql, basic licence).

For tests alone: the embedded node's version has no ES|QL on Maven Central, and this one is the
oldest that is supported. What x-pack-esql needs of modules that are not there is small and ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elasticsearch import Elasticsearch

from detector.node import home, jvm
from detector.node.jars import Jar
from tests import processes
from tests.node import assembled

HERE = Path(__file__).parent
VERSION = "8.19.0"
CORE = "x-pack-esql-core"
PLUGIN = "org.elasticsearch.xpack"
MODULES = home.MODULES | {
    "x-pack-core": home.Module(f"{PLUGIN}.core.XPackPlugin"),
    CORE: home.Module(f"{PLUGIN}.esql.core.plugin.EsqlCorePlugin", extends="x-pack-core"),
    "x-pack-esql": home.Module(f"{PLUGIN}.esql.plugin.EsqlPlugin", extends=CORE),
}


@dataclass(frozen=True, slots=True)
class WithEsql:
    """A node that answers."""

    url: str

    def client(self) -> Elasticsearch:
        return Elasticsearch(self.url, request_timeout=30)


@contextmanager
def running(folder: Path) -> Iterator[WithEsql]:
    """A node in `folder`, ended when left."""
    fetch()
    port = assembled.free_port()
    settings = {"http.port": str(port), "xpack.security.enabled": "false"}
    node = WithEsql(f"http://127.0.0.1:{port}")
    process = assembled.spawned(Path(__file__), folder, settings)
    try:
        assembled.await_answer(node.client, process, folder)
        yield node
    finally:
        processes.end(process)


def fetch() -> dict[Jar, Path]:
    """All jars, and the one of the classes that we compile."""
    found = assembled.fetched(HERE / "jars.tsv")
    compiler = next(path for jar, path in found.items() if jar.place == assembled.COMPILER)
    sources = sorted((HERE / "java").glob("*.java"))
    missing = Jar(CORE, "detector", "missing", VERSION, 0, "")
    return found | {missing: assembled.compiled(compiler, home.class_path(found), sources)}


def _installed(folder: Path) -> jvm.Installation:
    files = fetch()
    place = home.build(folder, files, MODULES, VERSION)
    return jvm.Installation(place, home.class_path(files), version=VERSION)


if __name__ == "__main__":
    assembled.serve(_installed)
