"""`detector check` with a key that lacks much, on a cluster that lacks much: all of it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector import cli, packaged
from tests.security.node import Secured

pytestmark = pytest.mark.node
RULES = packaged.find("rules")
RULE = """\
rule_id: 6a4c0f0e-8a0e-4d7a-9f4e-2d1f5f0c0001
name: A check
description: A check.
type: eql
language: eql
index: [checked-events]
interval: 5m
from: now-6m
severity: low
risk_score: 1
query: process where process.name == "x" and process.nmae == "y" and process.pid > 3
"""


def check(*arguments: str, **said: str) -> tuple[int, list[dict[str, Any]]]:
    environ = {f"DETECTOR_{name}": value for name, value in said.items()}
    result = CliRunner().invoke(cli.app, ["check", "--json", *arguments], env=environ)
    return result.exit_code, json.loads(result.stdout)["problems"]


def test_everything_is_said_at_once_with_the_fix(secured: Secured, tmp_path: Path) -> None:
    admin = secured.client()
    admin.indices.create(
        index="checked-events",
        mappings={
            "properties": {
                "@timestamp": {"type": "date"},
                "process": {"properties": {"name": {"type": "text"}, "pid": {"type": "keyword"}}},
            }
        },
    )
    (tmp_path / "rule.yaml").write_text(RULE)
    descriptor = {
        "indices": [
            {"names": ["checked-*"], "privileges": ["read", "view_index_metadata"]},
            {"names": ["alerts-detector-checked"], "privileges": ["read"]},
        ],
        "cluster": ["monitor"],
    }
    key = admin.security.create_api_key(name="weak", role_descriptors={"weak": descriptor})
    admin.cluster.put_settings(persistent={"action.auto_create_index": "logs-*,-alerts-*"})
    try:
        code, problems = check(
            "--rules",
            str(tmp_path),
            SPACE="checked",
            ELASTICSEARCH_URL=secured.url,
            ELASTICSEARCH_CA_CERTS=str(secured.ca),
            ELASTICSEARCH_API_KEY=key["encoded"],
        )
    finally:
        admin.cluster.put_settings(persistent={"action.auto_create_index": None})
    said = "\n".join(problem["message"] for problem in problems)
    for part in (
        "lack delete, index, read, view_index_metadata on detector-state-checked",
        "lack auto_configure, create_doc, maintenance, view_index_metadata on alerts-detector-chec",
        "maintenance, read, view_index_metadata on alerts-detector-checked-*",
        "on detector-runs-checked-*",
        "on detector-deadletter-checked",
        "the index template alerts-detector-checked is missing",
        "`action.auto_create_index` keeps alerts-detector-checked-2026.01 from being created",
        "process.name is text in checked-events: every event is fetched",
        "process.pid is keyword in checked-events, where the rule needs a number",
        "no index of checked-events maps event.category, process.nmae",
    ):
        assert part in said, said
    assert all(problem["hint"] for problem in problems)
    assert code == 1
    assert key["encoded"] not in json.dumps(problems)


def test_a_key_that_is_none_is_one_problem(secured: Secured) -> None:
    code, problems = check(
        "--rules",
        str(RULES),
        ELASTICSEARCH_URL=secured.url,
        ELASTICSEARCH_CA_CERTS=str(secured.ca),
        ELASTICSEARCH_API_KEY="aHVzaDp3cm9uZw==",
    )
    assert code == 1
    assert len([one for one in problems if one["level"] == "error"]) == 1
    assert "401" in problems[-1]["message"]
    assert "revoked" in problems[-1]["hint"]
