"""What was read of rule files -> a file of this user, and back; anything odd about it is no cache.

See docs/decisions/0010.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from detector import folders

MOST_BYTES = 200_000_000
MOST_FILES = 8
"""As many sets of rule files are kept; that which was longest not asked for goes first."""

CODE = ("errors", "folders", "language", "model", "packaged", "rulefile", "text")
"""The parts of the package that decide what is read: when one changes, nothing is known."""

_LIBRARIES = ("lark", "orjson", "pydantic", "pydantic-core", "pyyaml")
_MARK = b"detector rules\n"
_SUM = hashlib.sha256().digest_size
_UNFINISHED = "unfinished-"


def of(paths: Sequence[Path]) -> Path | None:
    """The cache of these files and folders, as this code reads them; None where it has no place."""
    try:
        named = "\0".join([_code(), *(str(path.absolute()) for path in paths)])
        folder = folders.cache() / "rules"
    except (OSError, RuntimeError, metadata.PackageNotFoundError):
        return None  # no home, or a package that is no folder
    return folder / hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def read(file: Path, classes: Iterable[type]) -> Mapping[bytes, Any]:
    """What was written, made of `classes` and plain data alone.

    Nothing where the file is not there, not this user's alone, damaged or something else.
    """
    content = _content(file)
    written = content[len(_MARK) + _SUM :]
    if content[: len(_MARK) + _SUM] != _MARK + hashlib.sha256(written).digest():
        return {}
    try:
        found = _Reader(written, classes).load()
    except Exception:  # noqa: BLE001 - what is no pickle of ours may raise anything
        return {}
    return found if isinstance(found, dict) else {}


def write(file: Path, kept: Mapping[bytes, object]) -> None:
    """Put `kept` into the file, at once or not at all; that it cannot be written is no error."""
    with suppress(OSError, RecursionError):
        written = _written(kept)
        if len(written) > MOST_BYTES:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        _replace(file, _MARK + hashlib.sha256(written).digest() + written)
        _prune(file.parent)


def _written(kept: Mapping[bytes, object]) -> bytes:
    memory = io.BytesIO()
    _Writer(memory, protocol=5).dump(kept)
    return memory.getvalue()


class _Writer(pickle.Pickler):
    """Frozen data as a call of its class: made three times as quickly as from its state."""

    def reducer_override(self, value: Any) -> Any:
        if not is_dataclass(type(value)):
            return NotImplemented
        return type(value), tuple(getattr(value, one.name) for one in fields(value))


class _Reader(pickle.Unpickler):
    """Makes instances of `classes` and nothing else: any other name ends the reading."""

    def __init__(self, written: bytes, classes: Iterable[type]) -> None:
        super().__init__(io.BytesIO(written))
        self._classes = {(one.__module__, one.__qualname__): one for one in classes}

    def find_class(self, module: str, name: str) -> Any:
        found = self._classes.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a rule")
        return found


def _content(file: Path) -> bytes:
    """What others could have written into is not looked at."""
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            found = os.fstat(opened.fileno())
            ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
            if not ours or not stat.S_ISREG(found.st_mode) or found.st_size > 2 * MOST_BYTES:
                return b""
            os.utime(file)
            return opened.read()
    except OSError:
        return b""


def _replace(file: Path, content: bytes) -> None:
    """Whoever reads meanwhile has the old file, whole."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=_UNFINISHED)  # for this user alone
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _prune(folder: Path) -> None:
    """What a killed process left unfinished goes with the oldest."""
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)


@cache
def _code() -> str:
    """The digest of all that decides what is read."""
    digest = hashlib.sha256(sys.version.encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}\n".encode())
    for file in sorted(_sources(Path(str(resources.files("detector"))))):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _sources(package: Path) -> Iterator[Path]:
    for part in CODE:
        if (folder := package / part).is_dir():
            yield from (file for file in folder.rglob("*.*") if file.suffix in {".py", ".lark"})
        else:
            yield package / f"{part}.py"
