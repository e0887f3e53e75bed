"""Elastic's rules all load, and the documentation says of each type what becomes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from detector.cli.scan import SCANNED
from detector.detect import DETECTORS
from detector.rulefile import rules
from detector.rulefile.check import LANGUAGES
from tests.corpus import table
from tests.language import shared

DOCUMENT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
WHOLE = {
    ("eql", "eql"): {"whole": 496, "residual": 13},
    ("query", "kuery"): {"whole": 217, "residual": 2},
    ("new_terms", "kuery"): {"whole": 125},
    ("esql", "esql"): {"passed on": 113},
    ("machine_learning", "-"): {"whole": 55},
    ("threshold", "kuery"): {"whole": 17},
    ("threat_match", "kuery"): {"whole": 5},
}


@pytest.mark.slow
def test_every_rule_of_elastic_loads_and_compiles() -> None:
    corpus = table.read(shared.needed("corpus"))
    assert (corpus.errors, corpus.those("crashed")) == ((), [])
    assert corpus.counts == WHOLE
    others = {"esql", "machine_learning", "saved_query"}
    left = [one for one in corpus.those("unsupported") if one.rule.type not in others]
    assert len(left) <= 10


def test_a_folder_with_a_broken_rule_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.yaml").write_text("name: no more than that\n", encoding="utf-8")
    assert table.main([str(tmp_path), "--json"]) == 1
    assert "broken.yaml:1" in json.loads(capsys.readouterr().out)["errors"][0]
    assert table.main([str(tmp_path)]) == 1
    assert "broken.yaml:1" in capsys.readouterr().out


def test_the_document_names_every_type_and_what_runs() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| .+? \| (yes|no)\b.*? \| .+ \| .+ \| (yes|no)\b.*? \|$",
        DOCUMENT,
        re.MULTILINE,
    )
    assert {kind for kind, runs, _ in rows if runs == "yes"} == set(DETECTORS) == rules.RUN
    assert {kind for kind, runs, _ in rows if runs == "no"} == {"saved_query"}
    assert {kind for kind, _, scanned in rows if scanned == "yes"} == SCANNED


def test_the_document_names_the_languages_of_every_type() -> None:
    names = {"KQL": "kuery", "Lucene": "lucene", "EQL": "eql", "ES\\|QL": "esql"}
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (?:yes|no)\b", DOCUMENT, re.MULTILINE)
    told = {
        kind: tuple(names[word] for word in languages.replace(",", "").split() if word in names)
        for kind, languages in rows
    }
    saved = {"saved_query": ()}  # whatever its language is, it stands elsewhere
    assert told == {kind: LANGUAGES.get(kind, ()) for kind in told} | saved
