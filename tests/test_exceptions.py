"""Exceptions in files: which events they mute, for which rules, until when, and what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detector import rulefile
from detector.language import dsl, evaluate, tree
from detector.model import Rule
from detector.rulefile import Loaded
from detector.rulefile.tuning import Tuning

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULE = """\
rule_id: {id}
name: Rule {id}
description: A rule.
type: {type}
index: [logs-*]
severity: high
risk_score: 73
tags: [Linux, "Use Case: Threat Detection"]
query: '{query}'
"""
EQL, KQL = "process where true", "event.category:process"

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Rules, exceptions and value lists by name; `extra` are keys of rule `one`."""

    def made(
        files: dict[str, str],
        *,
        extra: str = "",
        query: str = KQL,
        now: datetime | None = NOW,
        hold: bool = False,
    ) -> Loaded:
        written = {"rules/one.yaml": rule("one", query) + extra, **files}
        for name, text in written.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        tuning = Tuning((tmp_path / "exceptions",), (), hold, now)
        return rulefile.load([tmp_path / "rules"], tuning)

    (tmp_path / "exceptions").mkdir()
    return made


def rule(id_: str, query: str = KQL) -> str:
    return RULE.format(id=id_, type="query" if query == KQL else "eql", query=query)


def item(*entries: dict[str, Any], **keys: Any) -> str:
    made = {"list_id": "trusted", "item_id": "i", "name": "A", "type": "simple"}
    return json.dumps({**made, "entries": entries, **keys})


def entry(field: str, type_: str, value: Any = None, **keys: Any) -> dict[str, Any]:
    return {"field": field, "type": type_, "operator": "included", "value": value, **keys}


LIST = '{"list_id": "trusted", "type": "detection", "name": "Trusted"}\n'
NAMES = "exceptions_list: [{id: x, list_id: trusted, type: detection, namespace_type: single}]\n"


def muted(rule: Rule, document: dict[str, Any]) -> bool:
    """Whether an event that the rule's own query is true of makes no alert."""
    event = {"event": {"category": "process"}, **document}
    assert rule.where is not None
    assert not isinstance(rule.where, tree.Piped | tree.Sequence | tree.Sample)
    return not evaluate.matches(rule.where, event)


def host(name: str) -> dict[str, Any]:
    return {"host": {"name": name}}


def source(address: str) -> dict[str, Any]:
    return {"source": {"ip": address}}


BY_LIST = {"id": "l", "type": "keyword"}
SIGNED = {"process": {"code_signature": {"trusted": True, "subject_name": "Elastic"}}}
UNSIGNED = {"process": {"code_signature": {"trusted": False, "subject_name": "Elastic"}}}
INNER = [entry("subject_name", "match", "Elastic"), entry("trusted", "match", "true")]
KIBANAS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("match", item(entry("host.name", "match", "a")), host("a"), host("A")),
    ("match_any", item(entry("host.name", "match_any", ["a", "b"])), host("b"), host("c")),
    ("exists", item(entry("host.name", "exists")), host("a"), {}),
    ("wildcard", item(entry("host.name", "wildcard", "web-*")), host("web-1"), host("Web-1")),
    ("excluded", item(entry("host.name", "match", "a", operator="excluded")), host("b"), host("a")),
    ("both", item(entry("host.name", "match", "a"), entry("user.name", "exists")),
     host("a") | {"user": {"name": "x"}}, host("a")),
    ("nested", item(entry("process.code_signature", "nested", entries=INNER)), SIGNED, UNSIGNED),
    ("list", item(entry("host.name", "list", list=BY_LIST)), host("h2"), host("h4")),
    ("list of addresses", item(entry("source.ip", "list", list={"id": "ips.txt", "type": "ip"})),
     source("10.0.0.1"), source("10.0.0.2")),
    ("ranges", item(entry("source.ip", "list", list={"id": "nets", "type": "ip_range"})),
     source("10.1.0.7"), source("10.1.0.9")),
    ("not in a list", item(entry("host.name", "list", list=BY_LIST, operator="excluded")),
     host("h4"), host("h1")),
    ("os", item(entry("host.name", "exists"), os_types=["linux", "macos"]),
     {"host": {"name": "a", "os": {"type": "linux"}}},
     {"host": {"name": "a", "os": {"type": "windows"}}}),
    ("os by name", item(entry("host.name", "exists"), os_types=["windows"]),
     {"host": {"name": "a", "os": {"name": "Windows"}}}, host("a")),
]  # fmt: skip
LISTS = {
    "exceptions/lists/l.txt": "# a comment\nh1\nh2\n\nh3\n",
    "exceptions/lists/ips.txt": "10.0.0.1\n2001:db8::1\n",
    "exceptions/lists/nets.csv": "10.1.0.3-10.1.0.8,a note\n10.2.0.0/16\n",
}


@pytest.mark.parametrize("query", [KQL, EQL], ids=["kuery", "eql"])
@pytest.mark.parametrize(
    ("text", "mute", "alert"), [k[1:] for k in KIBANAS], ids=[k[0] for k in KIBANAS]
)
def test_a_kibana_item_mutes_as_in_kibana(
    load: Load, query: str, text: str, mute: dict[str, Any], alert: dict[str, Any]
) -> None:
    loaded = load({"exceptions/k.ndjson": LIST + text, **LISTS}, extra=NAMES, query=query)
    assert not loaded.problems
    assert muted(loaded.rules[0], mute)
    assert not muted(loaded.rules[0], alert)


OURS: list[tuple[str, str, bool]] = [
    ("- {all: true, reason: r, query: 'host.name:a'}", KQL, True),
    ("- {all: true, reason: r, query: 'host.name == \"a\"'}", EQL, True),
    ("- {all: true, reason: r, query: 'any where host.name == \"a\"'}", EQL, True),
    ("- {rules: [one], reason: r, query: 'host.name:a'}", KQL, True),
    ("- {rules: one, reason: r, query: 'host.name:a'}", KQL, True),
    ("- {rules: [two], reason: r, query: 'host.name:a'}", KQL, False),
    ("- {tags: [Linux], reason: r, query: 'host.name:a'}", KQL, True),
    ("- {tags: [Windows], rules: [one], reason: r, query: 'host.name:a'}", KQL, True),
    ("- {tags: [Windows], reason: r, query: 'host.name:a'}", KQL, False),
    ("{all: true, reason: r, language: kuery, query: 'host.name:a'}", EQL, True),
    ("{all: true, reason: r, values: [{field: host.name, list: l}]}", KQL, False),
    ("{all: true, reason: r, values: [{field: host.name, list: known}]}", KQL, True),
    ("{all: true, reason: r, query: 'a:*', values: [{field: host.name, list: known}]}", KQL, False),
]


@pytest.mark.parametrize(("text", "query", "mutes"), OURS, ids=[one[0] for one in OURS])
def test_our_exception_mutes_for_the_rules_it_names(
    load: Load, text: str, query: str, mutes: bool
) -> None:
    files = {"exceptions/a.yaml": text, "exceptions/lists/known.txt": "a\n", **LISTS}
    loaded = load({**files, "rules/two.yaml": rule("two", query)}, query=query)
    assert not [one for one in loaded.problems if one.level == "error"]
    (one,) = (found for found in loaded.rules if found.rule_id == "one")
    assert muted(one, host("a")) == mutes
    assert not muted(one, host("z"))


def test_an_exception_may_stand_in_its_rule(load: Load) -> None:
    loaded = load({}, extra="exceptions: [{query: 'host.name:a', reason: known}]\n")
    assert muted(loaded.rules[0], host("a"))
    assert "exceptions" not in loaded.rules[0].parameters


def test_each_event_of_a_sequence_is_filtered(load: Load) -> None:
    text = "{all: true, reason: r, query: 'host.name == \"a\"'}"
    query = (
        "sequence by user.name [process where true] [network where true] until [any where false]"
    )
    where = load({"exceptions/a.yaml": text}, query=query).rules[0].where
    assert isinstance(where, tree.Sequence)
    last = [list(dsl.conjuncts(step.where))[-1] for step in tree.steps_of(where)]
    assert last[:2] == [tree.Not(tree.Equals("host.name", "a"))] * 2


def test_a_small_list_goes_into_the_query_and_a_large_one_is_the_residuals(load: Load) -> None:
    text = "{all: true, reason: r, values: [{field: host.name, list: l}]}"
    found = {}
    for count in (9_000, 100_000):
        lines = "\n".join(f"h{number}" for number in range(count))
        loaded = load({"exceptions/a.yaml": text, "exceptions/lists/l.txt": lines})
        where = loaded.rules[0].where
        assert isinstance(where, tree.And)
        assert muted(loaded.rules[0], host(f"h{count - 1}"))
        assert not muted(loaded.rules[0], host("other"))
        found[count] = dsl.translate(where).residual is None
    assert found == {9_000: True, 100_000: False}


ENDS = [
    ("2026-11-23", False, "has ended"),
    ("2026-11-24", True, "ends"),  # the day itself is included
    ("2026-11-24T11:59:59Z", False, "has ended"),
    ("2026-11-24T14:00:00+01:00", True, "ends"),
    ("2026-11-30", True, "ends"),
    ("2026-12-24", True, ""),
    ("9999-12-31", True, ""),
]


@pytest.mark.parametrize(("expires", "mutes", "said"), ENDS)
@pytest.mark.parametrize("kibana", [False, True])
def test_an_exception_ends_and_check_warns_before(
    load: Load, expires: str, mutes: bool, said: str, kibana: bool
) -> None:
    if kibana:
        one = item(entry("host.name", "match", "a"), expire_time=expires)
        loaded = load({"exceptions/a.ndjson": one}, extra=NAMES)
    else:
        one = f"{{all: true, reason: r, query: 'host.name:a', expires: {expires}}}"
        loaded = load({"exceptions/a.yaml": one})
    assert muted(loaded.rules[0], host("a")) == mutes
    warned = [found.message for found in loaded.problems if found.level == "warning"]
    assert [said in one for one in warned] == ([True] if said else [])
    assert (loaded.until is not None) == mutes


def test_without_a_time_nothing_ends(load: Load) -> None:
    text = "{all: true, reason: r, query: 'host.name:a', expires: 2001-01-01}"
    loaded = load({"exceptions/a.yaml": text}, now=None)
    assert muted(loaded.rules[0], host("a"))
    assert not loaded.problems


WRONG = [
    ("a.yaml", "{all: true, query: 'a:b'}", "`reason` is missing", (1, 1)),
    ("a.yaml", "{reason: r, query: 'a:b'}", "an exception names its rules", (1, 1)),
    ("a.yaml", "{all: true, reason: r}", "an exception needs `query` or `values`", (1, 1)),
    ("a.yaml", "- all: true\n  reason: r\n  query: 'a:('\n", "the query ends too early", (3, 13)),
    ("a.yaml", "all: true\nreason: r\nqurey: a\n", "unknown key `qurey`", (3, 1)),
    ("a.yaml", "all: true\nreason: r\nquery: host.name:a\nexpires: soon",
     "`expires` is no date", (4, 10)),
    ("a.yaml", "- text\n", "a mapping of keys is wanted", (1, 3)),
    ("a.yaml", "all: true\nreason: r\nvalues: [{field: a, list: gone}]\n",
     "there is no value list `gone`", (1, 1)),
    ("a.yaml", "all: true\nreason: r\nvalues: [{field: a, list: l, type: ip}]\n",
     "`h1` is no address", (1, 1)),
    ("a.yaml", "all: true\nreason: r\nvalues: [{field: a, list: l, type: ip_range}]\n",
     "`h1` is no range of addresses", (1, 1)),
    ("a.yaml", "all: true\nreason: r\nlanguage: eql\nquery: sequence [a where b] [a where b]\n",
     "an exception asks of one event", (1, 1)),
    ("k.ndjson", item(entry("a", "list", list={"id": "l", "type": "text"})),
     "value lists of type `text` are not read", (1, 1)),
    ("k.ndjson", item(), "`entries` must not be empty", (1, None)),
    ("k.ndjson", item(entry("a", "match")), "an entry lacks `value`", (1, 1)),
    ("k.ndjson", "{", "not valid JSON: unexpected end of data", (1, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message", "place"), WRONG, ids=[w[2] for w in WRONG])
def test_what_is_wrong_is_said_with_its_place_and_the_rule_alerts(
    load: Load, name: str, text: str, message: str, place: tuple[int, int | None]
) -> None:
    loaded = load({f"exceptions/{name}": text, **LISTS}, extra=NAMES)
    (wrong,) = (one for one in loaded.problems if one.level == "error")
    assert wrong.message == message
    assert wrong.line == place[0]
    assert place[1] is None or wrong.column == place[1]
    assert (wrong.file or "").endswith(name)
    assert not loaded.tuned
    assert loaded.rules[0].unsupported is None
    assert not muted(loaded.rules[0], host("a"))


def test_a_list_that_is_in_no_file_is_said_with_each_run_and_the_rule_alerts(load: Load) -> None:
    (one,) = load({}, extra=NAMES).rules
    assert one.warnings == (
        "the exception list `trusted` is in no file: nothing is excepted by it",
    )
    assert one.unsupported is None
    (held,) = load({}, extra=NAMES, hold=True).rules
    assert held.unsupported == f"held: {one.warnings[0]}"
    assert held.where is None


def test_an_item_that_cannot_be_read_is_said_with_each_run(load: Load) -> None:
    loaded = load({"exceptions/k.ndjson": LIST + item()}, extra=NAMES)
    assert loaded.rules[0].warnings == (
        "the exception `trusted: A` cannot be applied: it is not valid",
    )


def test_a_list_without_items_is_found(load: Load) -> None:
    assert load({"exceptions/k.ndjson": LIST}, extra=NAMES).rules[0].warnings == ()


def test_exceptions_come_with_an_export_of_rules(load: Load) -> None:
    exported = {
        "rule_id": "two", "name": "Two", "description": "d", "type": "query", "index": ["a"],
        "severity": "low", "risk_score": 1, "query": "event.category:process",
        "exceptions_list": [
            {"id": "x", "list_id": "trusted", "type": "detection", "namespace_type": "single"}
        ],
    }  # fmt: skip
    lines = "\n".join([json.dumps(exported), LIST.strip(), item(entry("host.name", "match", "a"))])
    loaded = load({"rules/two.ndjson": lines})
    assert not loaded.problems
    assert muted(loaded.rules[1], host("a"))


def test_an_exception_of_no_rule_is_said(load: Load) -> None:
    loaded = load({"exceptions/a.yaml": "{rules: [gone], name: n, reason: r, query: 'a:b'}"})
    (said,) = loaded.problems
    assert (said.level, said.message) == ("warning", "no rule has the exception `n`")


def test_what_the_documentation_shows_is_read(load: Load, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "exceptions.md").read_text()
    exceptions, overlays = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    extra = "tags: ['Domain: Network', 'OS: Linux']\n"
    rule = RULE.format(id="8d3d0794-c776-476b-8674-ee2e685f6470", type="query", query=KQL)
    load({"exceptions/a.yaml": exceptions, "exceptions/lists/scanners.txt": "10.0.0.1-10.0.0.3"})
    (tmp_path / "rules" / "one.yaml").write_text(re.sub("tags: .*\n", extra, rule))
    (tmp_path / "overlays.yaml").write_text(overlays)
    tuning = Tuning((tmp_path / "exceptions",), (tmp_path / "overlays.yaml",), now=NOW)
    (one,) = (loaded := rulefile.load([tmp_path / "rules" / "one.yaml"], tuning)).rules
    assert not loaded.problems
    assert muted(one, {"source": {"ip": "10.0.0.2"}})
    assert (one.severity, one.shadow, one.enabled) == ("low", True, True)


def test_a_rules_hash_changes_with_its_exceptions_and_with_nothing_else(load: Load) -> None:
    plain = load({}).rules[0].hash
    text = "{{rules: [{}], reason: r, query: 'host.name:{}'}}"
    hashes = [
        load({"exceptions/a.yaml": text.format(*about)}).rules[0].hash
        for about in (("one", "a"), ("one", "b"), ("other", "a"), ("one", "a"))
    ]
    assert hashes[0] == hashes[3]
    assert len({plain, *hashes[:2]}) == 3
    assert hashes[2] == plain
