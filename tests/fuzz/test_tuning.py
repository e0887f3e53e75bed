"""Whatever stands in exceptions, value lists and overlays ends in rules and problems."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from detector import rulefile
from detector.rulefile.entries import Entry, Item, ListNamed
from detector.rulefile.tuning import Tuning
from detector.rulefile.tuningkeys import ExceptionKeys, InList, Overlay, OverlayFile, Patch, Select

RULE = """\
rule_id: a
name: A
description: d
type: query
index: [logs-*]
severity: high
risk_score: 73
query: a:b
exceptions_list: [{id: l, list_id: l, type: detection, namespace_type: single}]
"""
TABLES = (ExceptionKeys, InList, Item, Entry, ListNamed, OverlayFile, Overlay, Select, Patch)
KEYS = sorted(
    {field.alias or name for table in TABLES for name, field in table.model_fields.items()}
)
WORDS = (
    "a", "l", "*", "eql", "kuery", "match", "match_any", "wildcard", "list", "nested", "exists",
    "excluded", "ip_range", "keyword", "ip", "2026-11-24", "0001-01-01", "9999-12-31", "low",
    "shadow", "a:b", "a:(", "5m", "now-9m", "process where true", "10.0.0.0/8", "linux",
)  # fmt: skip
SCALARS = st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-3, 3) | st.text()
DATA: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=20,
)
ITEMS = st.fixed_dictionaries({"list_id": st.just("l"), "entries": DATA}, optional={"name": DATA})
OURS = st.fixed_dictionaries(
    {"reason": st.just("r"), "all": st.just(True)},
    optional={"query": SCALARS, "values": DATA, "expires": SCALARS, "language": SCALARS},
)
OVERLAYS = st.fixed_dictionaries(
    {}, optional={"only": st.lists(DATA, max_size=2), "overlays": st.lists(
        st.fixed_dictionaries({"select": st.just({"id": "*"}), "patch": DATA}), max_size=3
    )},
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ours=OURS | DATA, item=ITEMS | DATA, over=OVERLAYS | DATA, entries=st.text())
def test_whatever_tunes_ends_in_rules_and_problems(
    ours: Any, item: Any, over: Any, entries: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for below in ("rules", "exceptions/lists"):
            (folder / below).mkdir(parents=True)
        (folder / "rules" / "a.yaml").write_text(RULE)
        (folder / "exceptions" / "a.yaml").write_text(json.dumps(ours))
        (folder / "exceptions" / "b.ndjson").write_text(json.dumps(item))
        (folder / "exceptions" / "lists" / "l.csv").write_text(entries, "utf-8", "replace")
        (folder / "overlays.yaml").write_text(json.dumps(over))
        now = datetime(2026, 11, 24, tzinfo=UTC)
        tuning = Tuning((folder / "exceptions",), (folder / "overlays.yaml",), now=now)
        loaded = rulefile.load([folder / "rules"], tuning)
        assert all((rule.where is None) == bool(rule.unsupported) for rule in loaded.rules)
        assert loaded.rules or any(one.level == "error" for one in loaded.problems)
