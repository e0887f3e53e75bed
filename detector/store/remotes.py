"""Index patterns in, which remote clusters they name and which of those are there out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from detector.store.connection import Connection
from detector.store.msearch import Lack


def named(index: Sequence[str]) -> bool:
    """Whether some pattern names a remote cluster: `remote:pattern`, not date math (`<...>`)."""
    return any(_split(pattern) for pattern in index)


def connected(connection: Connection) -> dict[str, bool]:
    """The remotes a cluster knows, and whether it is connected to each. Raises `StoreError`."""
    known = connection.call(connection.client.cluster.remote_info)
    return {name: bool(about["connected"]) for name, about in known.items()}


def without_absent(
    index: Sequence[str], known: Mapping[str, bool]
) -> tuple[tuple[str, ...], Lack | None]:
    """The patterns of clusters that are there, and what is lacking without the others.

    A remote nobody has configured lacks for good; one that is away, for now.
    """
    present: list[str] = []
    away: set[str] = set()
    unknown: set[str] = set()
    for pattern in index:
        parts = _split(pattern)
        if parts is None:
            present.append(pattern)
            continue
        cluster, rest = parts
        meant = [name for name in known if fnmatchcase(name, cluster)]
        present += [f"{name}:{rest}" for name in meant if known[name]]
        away |= {name for name in meant if not known[name]}
        if not meant:
            unknown.add(cluster)
    return tuple(present), _lack(away, unknown)


def _lack(away: set[str], unknown: set[str]) -> Lack | None:
    if away:
        return Lack(f"remote clusters are away: {', '.join(sorted(away))}")
    if unknown:
        return Lack(f"no such remote cluster: {', '.join(sorted(unknown))}", transient=False)
    return None


def _split(pattern: str) -> tuple[str, str] | None:
    cluster, colon, rest = pattern.partition(":")
    return (cluster, rest) if colon and "<" not in cluster else None
