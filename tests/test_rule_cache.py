from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from detector import packaged, rulefile
from detector.model import Rule
from detector.rulefile import Loaded, cache, cachefile, rules
from detector.rulefile.tuning import Tuning
from tests.language import shared

TRACE = "made by a pickle"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where what was read is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "detector" / "rules"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Enough rules to be kept: the package's and small ones, some with something wrong."""
    above = tmp_path / "rules"
    above.mkdir()
    for file in packaged.find("rules").glob("*.yaml"):
        (above / file.name).write_bytes(file.read_bytes())
    for number in range(cache.LEAST):
        (above / f"{number:02}.toml").write_text(RULE.format(number))
    (above / "suppressed.toml").write_text(SUPPRESSED)
    (above / "broken.yaml").write_text("rule_id: [1\n")
    (above / "faulty.toml").write_text(FAULTY)
    (above / "faulty.examples.yaml").write_text("- name: says nothing\n- 7\n")
    (above / "twice.toml").write_text(RULE.format(0))
    return above


RULE = """\
[rule]
rule_id = "rule {0}"
name = "Rule {0}"
description = "A rule."
type = "eql"
index = ["logs-*"]
severity = "high"
risk_score = 73
query = 'process where process.name == "{0}"'
"""
SUPPRESSED = (
    RULE.format("suppressed")
    + """
[rule.alert_suppression]
group_by = ["host.id"]
duration = {unit = "m", value = 5}
"""
)
FAULTY = """\
[metadata]
creation_date = 2026-01-01

[rule]
rule_id = "faulty"
name = "Faulty"
description = "A rule."
type = "eql"
index = ["logs-*"]
severity = "high"
risk_score = 73
unheard_of = 1
query = '''
process where process.name == "a" and
  lenght(user.name) > 64
'''
"""


def content(loaded: Loaded) -> list[Any]:
    """All that tells one load from another; rules are compared by what they hold."""
    rules = [[(one.name, getattr(rule, one.name)) for one in fields(Rule)] for rule in loaded.rules]
    return [rules, loaded.problems, loaded.effects, loaded.until, loaded.tuned]


def only(kept: Path) -> Path:
    (file,) = kept.iterdir()
    return file


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read anew from now on."""
    read: list[Path] = []
    original = rules.read

    def counting(source: cache.Source, *others: Any) -> cache.Reading:
        read.append(source.path)
        return original(source, *others)

    monkeypatch.setattr(rules, "read", counting)
    return read


@pytest.mark.usefixtures("kept")
def test_what_is_kept_is_what_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = content(rulefile.load([folder]))
    assert content(rulefile.load([folder], cached=True)) == fresh
    read = counted(monkeypatch)
    assert content(rulefile.load([folder], cached=True)) == fresh
    assert not read
    assert {problem.level for problem in rulefile.load([folder], cached=True).problems} == {
        "error",
        "warning",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("kept")
def test_every_rule_of_the_corpus_is_kept_as_it_is() -> None:
    corpus = shared.needed("corpus")
    fresh = content(rulefile.load([corpus], cached=True))
    assert content(rulefile.load([corpus], cached=True)) == fresh


@pytest.mark.usefixtures("kept")
def test_a_changed_file_is_read_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rulefile.load([folder], cached=True)
    (folder / "03.toml").write_text((folder / "03.toml").read_text() + 'note = "changed"')
    (folder / "04.toml").unlink()
    (folder / "05.examples.yaml").write_text("- 7\n")
    read = counted(monkeypatch)
    changed = rulefile.load([folder], cached=True)
    assert read == [folder / "03.toml", folder / "05.toml"]
    assert content(changed) == content(rulefile.load([folder]))
    read.clear()
    assert content(rulefile.load([folder], cached=True)) == content(changed)
    assert not read


@pytest.mark.usefixtures("kept")
def test_an_overlay_is_seen_at_once(folder: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlays" / "one.yaml"
    overlay.parent.mkdir()
    tuning = Tuning((), (overlay.parent,))
    for severity in ("low", "critical"):
        overlay.write_text(f'overlays: [{{select: {{id: "*"}}, patch: {{severity: {severity}}}}}]')
        loaded = rulefile.load([folder], tuning, cached=True)
        assert {rule.severity for rule in loaded.rules} == {severity}
        assert content(loaded) == content(rulefile.load([folder], tuning))
        assert content(rulefile.load([folder], tuning, cached=True)) == content(loaded)


def test_other_code_knows_nothing(
    kept: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rulefile.load([folder], cached=True)
    monkeypatch.setattr(cachefile, "_code", lambda: "of another version")
    read = counted(monkeypatch)
    rulefile.load([folder], cached=True)
    assert len(read) > cache.LEAST
    assert len([*kept.iterdir()]) == 2


class Harmful:
    """A pickle of it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"echo {TRACE} > {self.file}",)


def signed(written: bytes) -> bytes:
    """As `cachefile` would have it."""
    return b"detector rules\n" + hashlib.sha256(written).digest() + written


ODD: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda good: good[:-9],
    "a flipped bit": lambda good: good[:-99] + bytes([good[-99] ^ 1]) + good[-98:],
    "not a pickle": lambda _: signed(b"rules: []"),
    "no mapping": lambda _: signed(pickle.dumps([1])),
    "other values": lambda _: signed(pickle.dumps({b"key": 1})),
    "a pickle alone": lambda good: good[len(signed(b"")) :],
    "a builtin": lambda _: signed(pickle.dumps({b"key": print})),
    "a class that is not listed": lambda _: signed(pickle.dumps({b"key": Path("/")})),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_cache_is_none_and_is_replaced(kept: Path, folder: Path, odd: str) -> None:
    fresh = content(rulefile.load([folder], cached=True))
    good = only(kept).read_bytes()
    only(kept).write_bytes(ODD[odd](good))
    assert content(rulefile.load([folder], cached=True)) == fresh
    assert len(only(kept).read_bytes()) == len(good)


def test_a_pickle_that_would_run_something_runs_nothing(
    kept: Path, folder: Path, tmp_path: Path
) -> None:
    rulefile.load([folder], cached=True)
    good, trace = only(kept).read_bytes(), tmp_path / "trace"
    harmful = pickle.dumps({b"key": Harmful(trace)})
    pickle.loads(harmful)  # noqa: S301 - it does run something
    assert trace.read_text().strip() == TRACE
    trace.unlink()
    only(kept).write_bytes(signed(harmful))
    rulefile.load([folder], cached=True)
    assert not trace.exists()
    assert len(only(kept).read_bytes()) == len(good)


def test_a_file_that_others_could_write_is_not_read(
    kept: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rulefile.load([folder], cached=True)
    only(kept).chmod(0o666)
    read = counted(monkeypatch)
    rulefile.load([folder], cached=True)
    assert len(read) > cache.LEAST
    assert only(kept).stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


def test_without_a_place_rules_are_read_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    fresh = content(rulefile.load([folder]))
    for place in (tmp_path / "file", Path("/proc/nowhere")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert content(rulefile.load([folder], cached=True)) == fresh


@pytest.mark.slow
def test_few_files_are_not_kept_and_old_caches_go(kept: Path, folder: Path, tmp_path: Path) -> None:
    rulefile.load([packaged.find("rules")], cached=True)
    assert not kept.exists()
    for number in range(cachefile.MOST_FILES + 2):
        link = tmp_path / f"link{number}"
        link.symlink_to(folder)
        rulefile.load([link], cached=True)
    assert len([*kept.iterdir()]) == cachefile.MOST_FILES
