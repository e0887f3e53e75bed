"""How long run records are kept in, a lifecycle policy out, where the cluster has such a thing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from detector.errors import Forbidden, Rejected
from detector.store.elastic import ElasticStore
from detector.store.indices import HIDDEN

LONGEST_MONTH = timedelta(days=31)
"""An index is as old as its first record: the last one comes up to a month later."""


def policy(keep: timedelta) -> dict[str, Any]:
    """A policy that deletes a month once its last record is older than `keep`; equal by `_meta`.

    https://www.elastic.co/docs/reference/elasticsearch/index-lifecycle-actions/ilm-delete
    """
    age = f"{int((keep + LONGEST_MONTH).total_seconds())}s"
    return {
        "_meta": {"managed_by": "detector", "min_age": age},
        "phases": {"delete": {"min_age": age, "actions": {"delete": {}}}},
    }


def lacking(store: ElasticStore) -> str | None:
    """Why no policy can be made here, if so. Raises `StoreError`."""
    try:
        store.call(store.client.ilm.get_status)
    except Forbidden:
        return "not allowed to manage lifecycles; `detector prune` drops old months"
    except Rejected:  # 400 without the module, 410 on serverless
        return "no lifecycle management here; `detector prune` drops old months"
    return None


def put(
    store: ElasticStore, name: str, keep: timedelta
) -> Literal["created", "updated", "unchanged"]:
    """Make or renew the policy, and lay it upon the months that are there. Raises `StoreError`."""
    wanted = policy(keep)
    found = store.call(
        lambda: store.client.options(ignore_status=404).ilm.get_lifecycle(name=name)
    ).get(name)
    if found and found["policy"].get("_meta") == wanted["_meta"]:
        return "unchanged"
    store.call(lambda: store.client.ilm.put_lifecycle(name=name, policy=wanted))
    store.call(
        lambda: store.client.indices.put_settings(
            index=store.names.all_runs,
            settings={"index.lifecycle.name": name},
            expand_wildcards=HIDDEN,
        )
    )
    return "updated" if found else "created"


def applied(template: dict[str, Any], name: str) -> dict[str, Any]:
    """The index template with the policy in its settings and, for comparison, in its `_meta`."""
    inner = template["template"]
    settings = inner["settings"] | {"index.lifecycle.name": name}
    meta = template["_meta"] | {"lifecycle": name}
    return template | {"_meta": meta, "template": inner | {"settings": settings}}
