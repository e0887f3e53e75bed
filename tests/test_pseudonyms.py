"""Who an event tells of, and what stands in an example instead."""

from __future__ import annotations

from typing import Any

import pytest

from detector.rulefile.pseudonyms import Pseudonyms, kind_of


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("user.name", "alice", "user"),
        ("user.name.text", "alice", "user"),
        ("process.parent.real_user.id", "1000", "user"),
        ("user.target.full_name", "Alice B", "user"),
        ("aws.cloudtrail.user_identity.arn", "arn:aws:iam::123:user/alice", "user"),
        ("winlog.event_data.TargetUserName", "alice", "user"),
        ("winlog.event_data.SubjectUserSid", "S-1-5-21-1", "user"),
        ("related.user", "alice", "user"),
        ("user.email", "alice@corp.com", "email"),
        ("message", "alice@corp.com", "email"),
        ("host.name", "web-1", "host"),
        ("host.hostname", "web-1", "host"),
        ("agent.id", "123", "host"),
        ("winlog.computer_name", "WEB1", "host"),
        ("related.hosts", "web-1", "host"),
        ("host.mac", "00-15-5D-01-02-03", "mac"),
        ("source.ip", "10.0.0.1", "ip"),
        ("anything", "2001:4860::8888", "ip"),
        ("destination.domain", "db.corp.com", "domain"),
        ("cloud.account.id", "123456789012", "account"),
        ("source.ip", "127.0.0.1", None),
        ("user_agent.name", "curl", None),
        ("user.group.name", "wheel", None),
        ("host.os.name", "Linux", None),
        ("host.os.type", "linux", None),
        ("process.name", "bash", None),
        ("event.id", "abc", None),
        ("user.id", 1000, None),
        ("user.name", "", None),
    ],
)
def test_a_field_or_its_value_says_what_it_tells_of(
    name: str, value: Any, kind: str | None
) -> None:
    assert kind_of(name, value) == kind


def test_the_same_value_has_the_same_name_everywhere() -> None:
    given = Pseudonyms()
    given.learn(
        {"user": {"name": "alice"}, "host": {"name": "web-1", "ip": ["10.1.2.3", "fe80::1"]}}
    )
    assert given.of("user.name", "bob") == "user-1"
    assert given.of("process.user.name", "alice") == "user-2"
    assert given.of("related.user", "bob") == "user-1"
    assert given.of("host.ip", "10.1.2.3") == "192.0.2.1"
    assert given.of("host.ip", "fe80::1") == "2001:db8::2"
    assert given.of("process.command_line", "ssh Alice@web-1 10.1.2.3:22 /home/alice/.ssh") == (
        "ssh user-2@host-1 192.0.2.1:22 /home/user-2/.ssh"
    )


def test_other_words_and_what_everybody_has_stay() -> None:
    given = Pseudonyms()
    given.learn({"user": {"name": "root"}, "host": {"name": "web"}, "related": {"user": ["al"]}})
    text = "/root/al webserver web_x my-web v1.2 127.0.0.1 1.2.3.4.example"
    assert given.within(text) == text
    assert (
        given.within("web and 8.8.8.8, a.b@corp.com") == "host-1 and 192.0.2.1, mail-1@example.com"
    )
    assert given.within("192.0.2.1") == "192.0.2.1"


def test_many_addresses_stay_within_the_documentation_ranges() -> None:
    given = Pseudonyms()
    named = [given.of("ip", f"10.0.{n // 250}.{n % 250 + 1}") for n in range(600)]
    assert len(set(named)) == 600
    assert all(one.startswith(("192.0.2.", "198.51.100.", "203.0.113.")) for one in named)
