"""An address in, the node that is asked out."""

from __future__ import annotations

import pytest

from detector.store import connection


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://es.example:9200", "es.example", 9200, ""),
        ("https://es.example", "es.example", 443, ""),
        ("http://es.example", "es.example", 80, ""),
        ("https://es.example/behind/a/proxy", "es.example", 443, "/behind/a/proxy"),
        ("https://es.example:", "es.example", 443, ""),
        ("http://[::1]", "::1", 80, ""),
    ],
)
def test_an_address_without_a_port_has_its_schemes(
    url: str, host: str, port: int, path: str
) -> None:
    with connection.connect(url) as client:
        (node,) = client.transport.node_pool.all()
        assert (node.config.host, node.config.port, node.config.path_prefix) == (host, port, path)


def test_each_of_several_addresses_is_a_node() -> None:
    with connection.connect("http://one:9200,https://two") as client:
        nodes = {node.base_url for node in client.transport.node_pool.all()}
    assert nodes == {"http://one:9200", "https://two:443"}
