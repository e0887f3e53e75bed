"""The sentence that says what happened."""

from __future__ import annotations

from typing import Any

import pytest

from detector.alerts import reason
from detector.alerts.overrides import Judgement

FULL = {
    "event": {"category": ["test"]},
    "process": {"name": "doingThings.exe", "parent": {"name": "didThings.exe"}},
    "file": {"name": "sample"},
    "source": {"ip": ["1.11.11.1"], "port": ["1234"]},
    "destination": {"ip": ["9.99.99.9"], "port": ["6789"]},
    "user": {"name": "test-user"},
    "host": {"name": "host"},
}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, "event"),
        (
            FULL,
            """test event with process doingThings.exe, parent process didThings.exe, file sample,
            source 1.11.11.1:1234, destination 9.99.99.9:6789, by test-user on host""",
        ),
        ({"host": {"name": "DC01"}}, "event on DC01"),
        (
            {
                "event.category": "authentication",
                "source.ip": "192.168.4.101",
                "user.name": "denny",
                "host": {"name": "desktop"},
            },
            "authentication event with source 192.168.4.101 by denny on desktop",
        ),
        ({"source": {"ip": "192.168.70.130"}}, "event with source 192.168.70.130"),
        ({"destination": {"port": 443}}, "event with:443,"),
        (
            {"event": {"category": ["process", "network"]}, "user": {"name": ["ann", "bob"]}},
            "process, network event by ann, bob",
        ),
        ({"process": {"name": ""}, "file": {"name": []}, "user": {"name": ["-"]}}, "event"),
        (
            {"process": {"name": [None, "", "a"]}, "host": {"name": "-"}},
            "event with process a,",
        ),
        (
            {"process.name": "a", "process": {"parent.name": "b"}},
            "event with process a, parent process b,",
        ),
        ({"process": "a", "host": [{"name": "b"}]}, "event on b"),
    ],
)
def test_a_part_is_said_when_its_field_is_there(source: dict[str, Any], said: str) -> None:
    text = reason.text(source, Judgement("medium", 47, "my-rule"))
    assert text == f"{' '.join(said.split())} created medium alert my-rule."
