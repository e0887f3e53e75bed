"""An Elasticsearch in, the same with nothing in it out."""

from __future__ import annotations

from elasticsearch import Elasticsearch


def clear(client: Elasticsearch) -> None:
    """Delete every index and template, and reset every setting of the cluster.

    A data stream stays, with its template: these nodes cannot delete one, so its name must be
    unique.
    """
    names = list(client.indices.get_alias(index="*", expand_wildcards="all").body)
    for start in range(0, len(names), 20):  # a request's first line has at most 4096 bytes
        client.indices.delete(index=names[start : start + 20], ignore_unavailable=True)
    for template in client.indices.get_index_template()["index_templates"]:
        client.options(ignore_status=400).indices.delete_index_template(name=template["name"])
    for component in client.cluster.get_component_template()["component_templates"]:
        client.cluster.delete_component_template(name=component["name"])
    if settings := client.cluster.get_settings(flat_settings=True)["persistent"]:
        client.cluster.put_settings(persistent=dict.fromkeys(settings))
