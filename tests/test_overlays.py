"""Overlays: which rules they choose and change, where their faults are, what they have hit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from detector import rulefile
from detector.model import Rule
from detector.rulefile import Loaded
from detector.rulefile.tuning import Tuning

RULE = """\
rule_id: {id}
name: Rule {id}
description: A rule.
type: {type}
language: {language}
index: [{index}]
interval: 5m
from: now-9m
severity: {severity}
risk_score: 73
tags: [{tag}]
related_integrations: [{{package: {package}, version: "1", integration: {part}}}]
query: {query}
"""
SHELL = RULE.format(
    id="shell", type="eql", language="eql", index="logs-endpoint.events.process-*", severity="high",
    tag='"OS: Linux"', package="endpoint", part="events", query="process where true",
)  # fmt: skip
TRAIL = RULE.format(
    id="trail", type="query", language="kuery", index="filebeat-*, logs-aws.cloudtrail-*",
    severity="low", tag='"Domain: Cloud"', package="aws", part="cloudtrail", query="event.action:*",
)  # fmt: skip

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def made(*overlays: str) -> Loaded:
        files = {"rules/a.yaml": SHELL, "rules/b.yaml": TRAIL}
        files |= {f"overlays/{number}.yaml": text for number, text in enumerate(overlays)}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return rulefile.load([tmp_path / "rules"], Tuning((), (tmp_path / "overlays",)))

    return made


def overlay(select: str, patch: str) -> str:
    return f"overlays:\n- select: {{{select}}}\n  patch: {{{patch}}}\n"


def by_id(loaded: Loaded) -> dict[str, Rule]:
    return {rule.rule_id: rule for rule in loaded.rules}


SELECTIONS = [
    ("id: shell", {"shell"}),
    ("id: [shell, trail]", {"shell", "trail"}),
    ('id: "*"', {"shell", "trail"}),
    ("name: rule tr*", {"trail"}),
    ('tag: "os: linux"', {"shell"}),
    ('tag: ["OS: *", "Domain: *"]', {"shell", "trail"}),
    ("type: query", {"trail"}),
    ("index: logs-aws*", {"trail"}),
    ("index: logs-*", {"shell", "trail"}),
    ("integration: aws", {"trail"}),
    ("integration: aws.cloudtrail", {"trail"}),
    ("integration: aws.s3", set()),
    ("severity: [high, critical]", {"shell"}),
    ("severity: high, type: query", set()),
    ("severity: high, type: eql", {"shell"}),
]


@pytest.mark.parametrize(("select", "hit"), SELECTIONS)
def test_a_selection_hits_by_all_its_keys(load: Load, select: str, hit: set[str]) -> None:
    loaded = load(overlay(select, "risk_score: 5"))
    (effect,) = loaded.effects
    assert set(effect.rules) == hit
    assert effect.keys == ("risk_score",)
    assert {rule.rule_id for rule in loaded.rules if rule.risk_score == 5} == hit
    errors = [problem.message for problem in loaded.problems if problem.level == "error"]
    assert errors == ([] if hit else ["this overlay hits no rule"])
    assert (effect.place.line, effect.place.column) == (2, 3)


def test_every_key_is_read_as_if_the_rule_had_it(load: Load) -> None:
    patch = (
        "severity: low, risk_score: 21, interval: 1h, from: now-2h, index: [mine-*], "
        "max_signals: 7, enabled: false, mode: shadow, "
        "exceptions: [{query: 'process.name == \"a\"', reason: known}]"
    )
    before, loaded = by_id(load())["shell"], load(overlay("id: shell", patch))
    assert not loaded.problems
    shell = by_id(loaded)["shell"]
    assert (shell.severity, shell.risk_score, shell.max_signals) == ("low", 21, 7)
    assert (shell.interval, shell.lookback) == (timedelta(hours=1), timedelta(hours=2))
    assert (shell.index, shell.enabled, shell.shadow) == (("mine-*",), False, True)
    assert shell.parameters["severity"] == "low", "alerts say so as well"
    assert shell.where != before.where
    assert shell.hash != before.hash
    assert "mode" not in shell.parameters
    assert by_id(loaded)["trail"].severity == "low"
    assert by_id(loaded)["trail"].hash == by_id(load())["trail"].hash


def test_selections_see_rules_as_upstream_wrote_them_and_the_later_patch_wins(load: Load) -> None:
    first = overlay("severity: high", "severity: low, risk_score: 1")
    loaded = load(first, overlay("severity: high", "severity: medium"))
    shell = by_id(loaded)["shell"]
    assert (shell.severity, shell.risk_score) == ("medium", 1)
    assert [effect.rules for effect in loaded.effects] == [("shell",), ("shell",)]


def test_a_null_takes_a_key_away(load: Load) -> None:
    assert by_id(load(overlay("id: shell", "from: null")))["shell"].lookback.total_seconds() == 360


def test_a_toml_rules_integrations_are_in_its_metadata(load: Load, tmp_path: Path) -> None:
    load(overlay("integration: okta", "risk_score: 5"))
    toml = '[metadata]\nintegration = ["aws", "okta"]\n[rule]\nrule_id = "okta"\nname = "Okta"\n'
    toml += 'description = "d"\ntype = "query"\nindex = ["a"]\nseverity = "low"\nrisk_score = 1\n'
    (tmp_path / "rules" / "okta.toml").write_text(toml + 'query = "a:b"\n')
    loaded = rulefile.load([tmp_path / "rules"], Tuning((), (tmp_path / "overlays",)))
    assert not loaded.problems
    assert loaded.effects[0].rules == ("okta",)
    assert "packages" not in by_id(loaded)["okta"].parameters


ONLY = [
    ("only: [{tag: 'OS: Linux'}]", {"shell"}),
    ("only: [{id: shell}, {severity: low}]", {"shell", "trail"}),
    ("only: []", {"shell", "trail"}),
    ("only: [{id: '*'}]\noverlays: [{select: {id: trail}, patch: {enabled: false}}]", {"shell"}),
    ("only: [{nonsense: 1}]", set()),
]


@pytest.mark.parametrize(("text", "enabled"), ONLY)
def test_only_what_is_chosen_runs(load: Load, text: str, enabled: set[str]) -> None:
    assert {rule.rule_id for rule in load(text).rules if rule.enabled} == enabled


def test_of_rules_that_are_not_chosen_only_errors_are_said(load: Load, tmp_path: Path) -> None:
    load("only: [{id: shell}]")
    text = "\nactions: [{}]\nexceptions_list: [{id: a, list_id: a, type: a, namespace_type: a}]\n"
    (tmp_path / "rules" / "b.yaml").write_text(TRAIL + text)
    tuning = Tuning((), (tmp_path / "overlays",))
    assert not rulefile.load([tmp_path / "rules"], tuning).problems
    assert len(rulefile.load([tmp_path / "rules"]).problems) == 2


WRONG = [
    (overlay("id: shell", "severity: hihg"),
     "`patch.severity` must be `low`, `medium`, `high` or `critical`", (3, 21)),
    (overlay("id: shell", "name: other"), "unknown key `patch.name`", (3, 11)),
    (overlay("id: shell", "interval: soon"), "`patch.interval`: `soon` is no duration", (3, 21)),
    (overlay("tags: a", "enabled: false"), "unknown key `select.tags`", (2, 12)),
    (overlay("", "enabled: false"), "a selection that selects by nothing", (2, 3)),
    (overlay("id: gone", "enabled: false"), "this overlay hits no rule", (2, 3)),
    ("only: [{id: gone}]\n", "this overlay hits no rule", (1, 8)),
    (overlay("id: shell", "from: now, to: now-1m"), "`from` must lie before `to`", (3, 17)),
    (overlay("id: shell", "exceptions: [{query: 'a ==', reason: r}]"), "the query ends too early",
     (3, 36)),
    (overlay("id: shell", "exceptions: [{query: 'a', reason: r, all: true}]"),
     "an exception beside its rule names no other", (3, 24)),
    ("- id: shell\n", "a mapping of keys is wanted", (1, 1)),
    ("overlay: []\n", "unknown key `overlay`", (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "place"), WRONG, ids=[one[1] for one in WRONG])
def test_a_fault_has_its_place_in_the_overlays_file(
    load: Load, text: str, message: str, place: tuple[int, int]
) -> None:
    wrong = [problem for problem in load(text).problems if problem.level == "error"]
    assert [(one.message, one.line, one.column) for one in wrong] == [(message, *place)]
    assert (wrong[0].file or "").endswith("overlays/0.yaml")


def test_a_faulty_overlay_leaves_the_others(load: Load) -> None:
    text = (
        overlay("id: shell", "severity: hihg") + "- {select: {id: shell}, patch: {risk_score: 1}}\n"
    )
    loaded = load(text)
    assert by_id(loaded)["shell"].risk_score == 1
    assert not loaded.tuned


def test_a_named_file_alone_may_be_missed_by_overlays(load: Load, tmp_path: Path) -> None:
    load(overlay("id: trail", "risk_score: 1"))
    loaded = rulefile.load([tmp_path / "rules" / "a.yaml"], Tuning((), (tmp_path / "overlays",)))
    assert not loaded.problems


def test_a_path_that_is_not_there_is_said_unless_it_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHELL)
    defaults = Tuning((Path("exceptions"),), (Path("overlays"),))
    assert not rulefile.load([tmp_path], defaults).problems
    gone = Tuning((tmp_path / "gone",), (tmp_path / "lost",))
    said = [(one.message, one.file) for one in rulefile.load([tmp_path], gone).problems]
    assert said == [("no such file or folder", str(tmp_path / name)) for name in ("gone", "lost")]
