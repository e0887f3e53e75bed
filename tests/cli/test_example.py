"""`detector example add`, but for the cluster: what of an event becomes an example, and where."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector import cli, packaged, rulefile
from detector.cli import example, reducing
from detector.errors import DetectorError, SettingsError
from detector.model import Rule
from detector.settings import Settings
from tests.builders import NOW, iso, shell_event

RULES = packaged.find("rules")
RULE: dict[str, Any] = {
    "rule_id": "r",
    "name": "A rule",
    "description": "d",
    "severity": "high",
    "risk_score": 73,
    "index": ["logs-*"],
    "from": "now-6m",
    "type": "query",
    "language": "kuery",
}


def loaded(folder: Path, **keys: Any) -> Rule:
    file = folder / "rule.ndjson"
    file.write_text(json.dumps(RULE | keys))
    (rule,) = rulefile.load([file]).rules
    return rule


def reduced(folder: Path, query: str, *events: dict[str, Any], **keys: Any) -> reducing.Reduced:
    return reducing.reduced(loaded(folder, query=query, **keys), events)


def test_only_what_the_rule_names_and_what_identifies_stays(tmp_path: Path) -> None:
    event = {
        "@timestamp": iso(NOW),
        "event": {"id": "1", "category": ["process"], "dataset": "d", "action": "x"},
        "process": {"name": "bash", "pid": 5},
        "process.parent.name": "sshd",
        "user": {"name": "alice"},
        "files": [{"name": "a", "size": 1}, {"size": 2}],
        "message": "secret",
    }
    found = reduced(tmp_path, "process.name: bash and files.name: a and process.parent.*: *", event)
    assert found.events == (
        {
            "@timestamp": "-30s",
            "event": {"id": "1", "category": ["process"], "dataset": "d"},
            "process": {"name": "bash"},
            "process.parent.name": "sshd",
            "files": [{"name": "a"}],
        },
    )
    assert (found.replaced, found.kept) == (frozenset(), frozenset())


def test_users_hosts_and_addresses_are_replaced_where_the_rule_does_not_compare_them(
    tmp_path: Path,
) -> None:
    event = {
        "@timestamp": iso(NOW),
        "user": {"name": "alice", "id": "S-1-5"},
        "host": {"name": ["web-1", "db"]},
        "source": {"ip": "10.2.3.4"},
        "destination": {"ip": "10.9.9.9"},
        "process": {"command_line": "cat /home/alice/x on web-1 by 10.9.9.9"},
    }
    query = (
        "user.name: * and user.id: S-1-5 and host.name: * and source.ip: * "
        'and destination.ip: "10.0.0.0/8" and process.command_line: cat*'
    )
    found = reduced(tmp_path, query, event)
    (small,) = found.events
    assert small["user"] == {"name": "user-1", "id": "S-1-5"}
    assert small["host"] == {"name": ["host-1", "host-2"]}
    assert small["source"] == {"ip": "192.0.2.1"}
    assert small["destination"] == {"ip": "10.9.9.9"}
    assert small["process"] == {"command_line": "cat /home/user-1/x on host-1 by 10.9.9.9"}
    assert found.replaced == {"user.name", "host.name", "source.ip"}
    assert found.kept == {"user.id", "destination.ip"}


def test_a_name_stays_where_without_it_the_answer_would_be_another(tmp_path: Path) -> None:
    event = {"user": {"name": "alice"}, "process": {"args": ["x", "/home/alice"], "title": "alice"}}
    query = "process.args: */alice and process.title: * and user.name: *"
    (small,) = reduced(tmp_path, query, event).events
    assert small == {
        "user": {"name": "user-1"},
        "process": {"args": ["x", "/home/alice"], "title": "user-1"},
    }


def test_times_are_counted_back_from_the_newest_and_compared_ones_stay(tmp_path: Path) -> None:
    first, second = (
        {
            "@timestamp": iso(NOW + timedelta(seconds=n)),
            "event": {"ingested": iso(NOW + timedelta(seconds=2 * n, milliseconds=250))},
            "file.created": "2024-01-01T00:00:00Z",
        }
        for n in (0, 10)
    )
    found = reduced(
        tmp_path, 'file.created < "2025-01-01"', first, second, timestamp_override="event.ingested"
    )
    assert [one["@timestamp"] for one in found.events] == ["-50250ms", "-40250ms"]
    assert [one["event"]["ingested"] for one in found.events] == ["-50s", "-30s"]
    assert {one["file.created"] for one in found.events} == {"2024-01-01T00:00:00Z"}


def test_keys_of_a_sequence_join_as_before(tmp_path: Path) -> None:
    query = 'sequence by host.id, user.name [any where a == 1] [any where a == 2 and b : "web-1"]'
    events = [
        {"@timestamp": iso(NOW + timedelta(seconds=n)), "a": n, "b": "web-1", "host.id": "web-1"}
        | {"user": {"name": "alice"}}
        for n in (1, 2)
    ]
    rule = loaded(tmp_path, type="eql", language="eql", query=query)
    small = reducing.reduced(rule, events)
    assert [one["host.id"] for one in small.events] == ["host-1", "host-1"]
    item = example.described(rule, "two", small, Settings(), negative=False)
    assert item["alert"] is True
    assert [one["@timestamp"] for one in item["events"]] == ["-31s", "-30s"]


@pytest.mark.parametrize(("user", "negative"), [("alice", True), ("bob", False)])
def test_new_terms_have_their_history(user: str, negative: bool, tmp_path: Path) -> None:
    keys = {"new_terms_fields": ["user.name"], "history_window_start": "now-7d"}
    rule = loaded(tmp_path, type="new_terms", query="a: 1", **keys)
    now, before = (
        {"@timestamp": iso(NOW - timedelta(hours=hours)), "a": 1, "user.name": name}
        for hours, name in ((0, user), (30, "alice"))
    )
    small = reducing.reduced(rule, [now], [before])
    item = example.described(rule, "x", small, Settings(), negative=negative)
    assert item["history"] == [{"@timestamp": "-108030s", "a": 1, "user.name": "user-1"}]
    assert item["event"]["user.name"] == ("user-1" if negative else "user-2")
    example.put(rule, item)
    assert CliRunner().invoke(cli.app, ["test", str(rule.file)]).exit_code == 0


def test_what_only_elasticsearch_can_judge_becomes_no_example(tmp_path: Path) -> None:
    near = {"query": {"geo_distance": {"distance": "1km", "place": [0, 0]}}}
    with pytest.raises(DetectorError, match="only Elasticsearch"):
        reduced(tmp_path, "a: 1", {"a": 1}, filters=[near])


@pytest.mark.parametrize("ending", ["yaml", "yml", "toml", "ndjson"])
@pytest.mark.parametrize("negative", [False, True])
def test_an_example_is_added_and_holds(ending: str, negative: bool, tmp_path: Path) -> None:
    file = tmp_path / f"rule.{ending}"
    query = "process.name: bash and user.name: *"
    if ending == "toml":
        keys = RULE | {"query": query}
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        file.write_text("\n".join(["[rule]", *lines, ""]))
    else:
        file.write_text(json.dumps(RULE | {"query": query}))
    if ending in {"yaml", "yml"}:
        lines = [f"{key}: {json.dumps(value)}" for key, value in RULE.items()]
        file.write_text("\n".join(["# mine", *lines, f"query: '{query}'  # why", ""]))
    before = file.read_text()
    event = {"process.name": "zsh" if negative else "bash", "user.name": "alice"}
    for name in ("one", "two"):
        (rule,) = rulefile.load([file]).rules
        small = reducing.reduced(rule, [event])
        item = example.described(rule, name, small, Settings(), negative=negative)
        put = example.put(rule, item)
    assert put.name == (file.name if ending in {"yaml", "yml"} else "rule.examples.yaml")
    assert file.read_text().startswith(before)
    loaded = rulefile.load([file])
    assert not loaded.problems
    assert [(one.name, one.alerts) for one in loaded.rules[0].examples] == [
        ("one", int(not negative)),
        ("two", int(not negative)),
    ]
    tested = CliRunner().invoke(cli.app, ["test", str(file), "--json"])
    assert (tested.exit_code, json.loads(tested.stdout)["examples"]) == (0, 2)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_rules_of_the_package_take_examples_in_their_own_layout(tmp_path: Path) -> None:
    file = tmp_path / "shell.yaml"
    shutil.copy(RULES / "interactive_shell_in_container.yaml", file)
    before = file.read_text()
    file.chmod(0o640)
    (rule,) = rulefile.load([file]).rules
    small = reducing.reduced(rule, [shell_event(NOW)])
    example.put(rule, example.described(rule, "mine", small, Settings(), negative=False))
    assert file.read_text().startswith(before)
    assert file.stat().st_mode & 0o777 == 0o640
    added = file.read_text().removeprefix(before)
    assert added.startswith('  - name: mine\n    event:\n      "@timestamp": -30s\n')
    assert "node-1" not in added
    (again,) = rulefile.load([file]).rules
    assert [one.name for one in again.examples][-1] == "mine"
    assert len(again.examples) == len(rule.examples) + 1


def test_what_the_package_installed_is_not_edited() -> None:
    installed = Path(packaged.__file__).parent / "data" / "rules" / "shell.yaml"
    with pytest.raises(SettingsError, match="of the package itself"):
        example.refuse_packaged(installed)


def test_a_link_stays_one(tmp_path: Path) -> None:
    rule = loaded(tmp_path, query="a: 1")
    beside, real = tmp_path / "rule.examples.yaml", tmp_path / "real.yaml"
    real.write_text("# ours\n")
    beside.symlink_to(real)
    example.put(rule, {"name": "x", "event": {"a": 1}, "alert": True})
    assert beside.is_symlink()
    assert real.read_text().startswith("# ours\nr:\n  - name: x\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("example",), 2, "Usage:"),
        (("example", "add", "nobody", "logs-x/1"), 2, "no rule is called `nobody`"),
        (("example", "add", "interactive_shell_in_container"), 2, "INDEX/ID"),
        (("example", "add", "interactive_shell_in_container", "logs-x/1"), 2, "--url"),
        (("example", "add", "interactive_shell_in_container", "logs-x"), 2, "no event is called"),
    ],
)
def test_what_is_missing_is_said(arguments: tuple[str, ...], code: int, said: str) -> None:
    result = CliRunner().invoke(cli.app, ["--rules", str(RULES), *arguments])
    assert (result.exit_code, said in result.output) == (code, True), result.output
