"""The pinned table of jars -> verified files in the cache."""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from detector.errors import NodeError
from detector.node import maven
from detector.node.progress import Progress, silent

VERSION = "9.1.0"
SERVER = "server"  # the class path; every other place is a module's folder
WORKERS = 6


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of Maven Central; `place` is `server` or the module that loads it."""

    place: str
    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


@dataclass(slots=True)
class Tally:
    """Bytes so far; each worker writes under its own name, so no lock is needed."""

    received: dict[str, int] = field(default_factory=dict)
    stopped: bool = False

    def total(self) -> int:
        return sum(list(self.received.values()))


def table() -> tuple[Jar, ...]:
    """Return every jar of the embedded node, as `jars.tsv` pins it."""
    return read(files("detector.node").joinpath("jars.tsv").read_text("utf-8"))


def read(text: str) -> tuple[Jar, ...]:
    """Return the jars that a table such as `jars.tsv` pins."""
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(
        Jar(
            row["place"],
            row["group"],
            row["artifact"],
            row["version"],
            int(row["size"]),
            row["sha256"],
        )
        for row in rows
    )


def fetch(jars: Sequence[Jar], folder: Path, progress: Progress = silent) -> dict[Jar, Path]:
    """Download what `folder` lacks, verify everything, return where each jar is.

    Raises NodeError for a file whose SHA-256 is not the pinned one (cached or downloaded alike),
    when the repository cannot be reached, and when `folder` cannot be used.
    """
    try:
        return _verified(jars, folder, progress)
    except OSError as error:
        raise NodeError(f"cannot use the cache {folder}: {error.strerror or error}") from error


def _verified(jars: Sequence[Jar], folder: Path, progress: Progress) -> dict[Jar, Path]:
    paths = {jar: folder / jar.name for jar in jars}
    missing = [jar for jar, path in paths.items() if not path.exists()]
    for jar, path in paths.items():
        if path.exists() and not _intact(jar, path):
            raise _wrong(jar, f"in the cache, {path}", f"delete {path} and start again")
    if missing:
        _download(missing, folder, progress)
    return paths


def _download(jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    repository, tally = maven.configured(), Tally()
    expected = sum(jar.size for jar in jars)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        pending: set[Future[None]] = {
            pool.submit(_download_one, repository, jar, folder / jar.name, tally) for jar in jars
        }
        try:
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                progress(f"fetching Elasticsearch {VERSION}", tally.total(), expected)
                for future in done:
                    future.result()
        finally:  # an error or Ctrl-C: the pool's own exit waits for the rest to notice
            tally.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)


def _download_one(repository: maven.Repository, jar: Jar, path: Path, tally: Tally) -> None:
    with _replacing(path) as partial, partial.open("wb") as file:
        for chunk in maven.read(repository, jar.path):
            if tally.stopped:
                raise NodeError(f"the download of {jar.name} was given up")
            if not chunk:
                file.seek(0)
                file.truncate()
            file.write(chunk)
            tally.received[jar.name] = file.tell()
        file.flush()
        if not _intact(jar, partial):
            raise _wrong(
                jar, f"from {repository.host}", "a mirror that alters files cannot be used"
            )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to; `path` appears whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _intact(jar: Jar, path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _wrong(jar: Jar, origin: str, hint: str) -> NodeError:
    return NodeError(f"wrong checksum for {jar.name} {origin}: refused", hint=hint)
