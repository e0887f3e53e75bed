"""Jars in the cache -> the folder Elasticsearch calls its home: modules, plugins, configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detector.node.jars import SERVER, VERSION, Jar


@dataclass(frozen=True, slots=True)
class Module:
    """A part of the server that is loaded by its class; it sees the classes of what it extends."""

    classname: str
    extends: str | None = None


MODULES = {"transport-netty4": Module("org.elasticsearch.transport.netty4.Netty4Plugin")}
DESCRIPTOR = """\
name={name}
description={name}
classname={classname}
version={version}
elasticsearch.version={version}
java.version=21
"""


def build(
    folder: Path,
    jars: Mapping[Jar, Path],
    modules: Mapping[str, Module] = MODULES,
    version: str = VERSION,
) -> Path:
    """Fill `folder` with links to `jars`; it holds no data, so every node may share it."""
    for name in ("config", "plugins"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "config" / "elasticsearch.yml").touch()
    for name, module in modules.items():
        place = folder / "modules" / name
        place.mkdir(parents=True, exist_ok=True)
        for jar, path in jars.items():
            if jar.place == name:
                _link(place / jar.name, path)
        _write(place / "plugin-descriptor.properties", _descriptor(name, module, version))
    return folder


def class_path(jars: Mapping[Jar, Path]) -> list[str]:
    """Return the server's own jars, which no module may bring a second time."""
    return [str(path) for jar, path in jars.items() if jar.place == SERVER]


def _descriptor(name: str, module: Module, version: str) -> str:
    text = DESCRIPTOR.format(name=name, classname=module.classname, version=version)
    return text + (f"extended.plugins={module.extends}\n" if module.extends else "")


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(target)
    except FileExistsError:  # another process is building the same home
        return


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
