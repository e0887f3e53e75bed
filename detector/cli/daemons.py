"""The table of daemons in, who runs what out: for `status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from detector.cli import reports
from detector.model import Leases, Member

if TYPE_CHECKING:
    from detector.store.elastic import ElasticStore

PATIENCE = timedelta(seconds=10)


def read(store: ElasticStore) -> Leases:
    """The daemons of the space as they last told; raises `StoreError`."""
    from detector.store.leases import ElasticLeases  # noqa: PLC0415 - with the store's libraries

    return ElasticLeases(store, PATIENCE).read()


def document(leases: Leases) -> list[dict[str, Any]]:
    """For `--json`; `renewed` is by the daemon's own clock."""
    return [
        {
            "daemon": member.id,
            "shards": list(member.shards),
            "of": _of(member),
            "renewed": None if member.renewed is None else reports.iso(member.renewed),
        }
        for member in leases.members
    ]


def lines(leases: Leases) -> Iterator[str]:
    """For people, one a daemon."""
    for member in leases.members:
        renewed = "" if member.renewed is None else f", renewed {reports.iso(member.renewed)}"
        yield f"daemon {member.id} {share(member.shards, _of(member))}{renewed}"


def share(shards: tuple[int, ...], of: int) -> str:
    """What a daemon does of all there is to do."""
    if not shards:
        return "stands by"
    if len(shards) == of:
        return "runs all rules"
    return f"runs {len(shards)} of {of} shards ({', '.join(map(str, shards))})"


def _of(member: Member) -> int:
    """Into how many shards its group divides the rules, as `run.lease.group` wrote it."""
    return int(member.group.partition(":")[0])
