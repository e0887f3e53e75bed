from __future__ import annotations

from datetime import timedelta

import pytest

from detector.model import Rule, Suppression
from detector.store import privileges
from detector.store.indices import Names
from detector.store.privileges import Missing
from tests.builders import make_rule

NAMES = Names("default")
READ = ["read", "view_index_metadata"]
PATTERNS = [
    (["logs-*", "auditbeat-*"], [["auditbeat-*", "logs-*"]], []),
    (["logs-*", "-logs-noise-*"], [["logs-*"]], []),
    (["<logs-{now/d}>", "<x-{now/d{yyyy.MM.dd|+02:00}}-y>"], [["logs-*", "x-*-y"]], []),
    (["eu:logs-*", "*:b-*"], [], [("*", ["b-*"]), ("eu", ["logs-*"])]),
    (["us:<logs-{now/d}>", "us:-logs-x"], [], [("us", ["logs-*"])]),
    ([], [], []),
]


@pytest.mark.parametrize(("patterns", "read", "remote"), PATTERNS, ids=str)
def test_a_role_reads_what_the_rules_name(
    patterns: list[str], read: list[list[str]], remote: list[tuple[str, list[str]]]
) -> None:
    role = privileges.role(NAMES, reading(patterns))
    assert [one["names"] for one in role["indices"] if one["privileges"] == READ] == read
    said = [(*one["clusters"], one["names"]) for one in role.get("remote_indices", ())]
    assert said == remote


def test_no_grant_covers_another_space_or_all_that_may_be_done() -> None:
    for one in privileges.role(NAMES, reading(["logs-*"]))["indices"]:
        assert not {"all", "manage", "write", "delete_index"} & set(one["privileges"])
        assert all("default" in name or name == "logs-*" for name in one["names"])


def test_alerts_are_added_and_never_changed_but_where_a_rule_suppresses_some() -> None:
    changing = {"index", "delete", "write", "create_index"}
    assert not changing & on_alerts(make_rule())
    asked = Suppression(("host.name",), timedelta(hours=1))
    assert changing & on_alerts(make_rule(suppression=asked)) == {"index"}


def on_alerts(rule: Rule) -> set[str]:
    found = privileges.role(NAMES, [rule])["indices"]
    (alerts,) = (one for one in found if one["names"][0] == "alerts-detector-default")
    return set(alerts["privileges"])


def reading(patterns: list[str]) -> list[Rule]:
    return [make_rule(index=tuple(patterns))]


def test_what_is_denied_is_named_by_its_pattern() -> None:
    answer = {
        "cluster": {"monitor": False},
        "index": {"a": {"read": True, "index": False}, "b": {"read": True}},
    }
    assert list(privileges.missing(answer)) == [Missing(("monitor",)), Missing(("index",), "a")]
