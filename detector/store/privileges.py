"""The names of a space and the rules' patterns -> the least that a daemon must be allowed to do.

As a role, as an API key's body, and as the question that asks a cluster whether it is. Privileges:
https://www.elastic.co/docs/deploy-manage/users-roles/cluster-or-deployment-auth/elasticsearch-privileges
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.model import Rule
from detector.store.indices import Names

Json = dict[str, Any]

CLUSTER = ("monitor",)  # version, clock, templates
SEEN = ("read", "view_index_metadata")
ADDED = (*SEEN, "create_doc", "auto_configure", "maintenance")
"""Documents are added and never changed or deleted; a month's index appears with the first."""

CHANGED = (*ADDED, "index")
"""Alerts that others are suppressed into say how many; nothing less lets them be updated."""

KEPT = (*SEEN, "index")
TIDIED = (*KEPT, "delete")
"""Beside checkpoints lies how far a backfill got, which is removed when it is done."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`privileges` on the indices of `names`, in the remote clusters of `cluster` where given."""

    names: tuple[str, ...]
    privileges: tuple[str, ...]
    cluster: str | None = None

    def body(self) -> Json:
        body: Json = {"names": list(self.names), "privileges": list(self.privileges)}
        return body | ({"clusters": [self.cluster]} if self.cluster else {})


@dataclass(frozen=True, slots=True)
class Missing:
    """Privileges that the credentials lack on an index pattern; on the cluster where it is None."""

    privileges: tuple[str, ...]
    pattern: str | None = None


def patterns(rules: Sequence[Rule]) -> set[str]:
    """Where the rules read: events, and the indicators they are compared with."""
    read = {pattern for rule in rules for pattern in rule.index}
    asked = (rule.indicators for rule in rules)
    return read | {pattern for one in asked if one is not None for pattern in one.index}


def grants(names: Names, rules: Sequence[Rule]) -> list[Grant]:
    """What is needed on indices: the rules' read, detector's own written.

    Their patterns are taken as they are written: with exclusions, date math and remote clusters.
    """
    written = CHANGED if any(rule.suppression for rule in rules) else ADDED
    local: set[str] = set()
    remote: dict[str, set[str]] = {}
    for cluster, inside in filter(None, map(_parts, patterns(rules))):
        (remote.setdefault(cluster, set()) if cluster else local).add(inside)
    read = [Grant(tuple(sorted(local)), SEEN)] if local else []
    read += [Grant(tuple(sorted(inside)), SEEN, at) for at, inside in sorted(remote.items())]
    return [
        *read,
        Grant((names.alerts, f"{names.alerts}-*", names.shadow, f"{names.shadow}-*"), written),
        Grant((names.state,), TIDIED),
        Grant((names.all_runs,), (*KEPT, "auto_configure", "maintenance")),
        Grant((names.deadletter,), KEPT),
    ]


def role(names: Names, rules: Sequence[Rule]) -> Json:
    """The body for `PUT _security/role/NAME`."""
    given = grants(names, rules)
    body: Json = {
        "cluster": list(CLUSTER),
        "indices": [grant.body() for grant in given if grant.cluster is None],
    }
    remote = [grant.body() for grant in given if grant.cluster is not None]
    return body | ({"remote_indices": remote} if remote else {})


def api_key(names: Names, rules: Sequence[Rule]) -> Json:
    """The body for `POST _security/api_key`: a key of that role alone, whoever makes it."""
    return {"name": role_name(names), "role_descriptors": {role_name(names): role(names, rules)}}


def role_name(names: Names) -> str:
    """What the role is called."""
    return f"detector-{names.space}"


def question(names: Names, rules: Sequence[Rule]) -> Json:
    """The body for `POST _security/user/_has_privileges`, which knows nothing of remote indices."""
    asked = role(names, rules)
    return {"cluster": asked["cluster"], "index": asked["indices"]}


def missing(answer: Mapping[str, Any]) -> Iterator[Missing]:
    """What the answer to `question` denies."""
    if lacking := _denied(answer.get("cluster", {})):
        yield Missing(lacking)
    for pattern, allowed in answer.get("index", {}).items():
        if lacking := _denied(allowed):
            yield Missing(lacking, pattern)


def local(pattern: str) -> str | None:
    """What a pattern asks for in this cluster; None for an exclusion and for a remote cluster."""
    cluster, inside = _parts(pattern) or ("", None)
    return None if cluster else inside


def _denied(allowed: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, has in allowed.items() if not has)


def _parts(pattern: str) -> tuple[str, str] | None:
    """The remote cluster (or nothing) and the pattern there; None for an exclusion.

    Date math becomes a wildcard: a role cannot follow the time. Its colons are no cluster's.
    """
    head, math, rest = pattern.partition("<")
    cluster, _, inside = head.rpartition(":")
    if math:
        inside = re.sub(r"\{.*\}", "*", rest.removesuffix(">"))
    return None if pattern.startswith("-") or inside.startswith("-") else (cluster, inside)
