"""Whatever stands in a file, whatever a file is: rules and settings end in errors of our own."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector import packaged, rulefile
from detector import settings as configuration
from detector.errors import DetectorError, SettingsError
from detector.text import durations
from tests.language.shared import ROOT

pytestmark = pytest.mark.slow

SECONDS = 5.0  # of processor time, for the worst of files on a slow machine
FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

YAML, TOML, NDJSON = ".yaml", ".toml", ".ndjson"
BOMBS: dict[str, tuple[str, bytes]] = {
    "brackets": (YAML, b"[" * 1_000_000),
    "braces": (YAML, b"{a: " * 100_000),
    "dashes": (YAML, b"- " * 100_000),
    "question marks": (YAML, b"? " * 100_000),
    "indents": (YAML, b"\n".join(b" " * depth + b"a:" for depth in range(2_000))),
    "aliases of lists": (
        YAML,
        b"a0: &a0 [x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9))
                   for n in range(1, 12)),
    ),
    "an alias inside itself": (YAML, b"a: &a [*a]\n"),
    "anchors": (YAML, b"".join(b"a%d: &x%d 1\n" % (n, n) for n in range(150_000))),
    "keys": (YAML, b"".join(b"k%d: 1\n" % n for n in range(300_000))),
    "one key over and over": (YAML, b"a: 1\n" * 400_000),
    "documents": (YAML, b"---\n" * 100_000),
    "a long word": (YAML, b"rule_id: " + b"x" * 4_900_000),
    "too large": (YAML, b"#" * 5_000_001),
    "a tag that would act": (YAML, b"a: !!python/object/apply:os.system ['true']\n"),
    "a query of parentheses": (YAML, b'type: eql\nquery: "any where ' + b"(" * 200_000 + b'"\n'),
    "a query of nots": (YAML, b'type: eql\nquery: "any where ' + b"not " * 50_000 + b'a"\n'),
    "TOML arrays": (TOML, b"a=" + b"[" * 100_000),
    "TOML inline tables": (TOML, b"a=" + b"{a=" * 100_000),
    "a dotted key": (TOML, b"[rule]\n" + b"a." * 100_000 + b"b=1"),
    "a dotted key in quotes": (TOML, b"[rule]\n" + b'"\\"" . ' * 60_000 + b"b=1"),
    "a dotted table": (TOML, b"[" + b"a." * 100_000 + b"b]"),
    "a dotted key in a table": (TOML, b"[rule]\nx={" + b"a." * 100_000 + b"b=1}"),
    "arrays of tables": (TOML, b"[[rule.x]]\n" * 60_000),
    "unknown keys": (TOML, b"[rule]\n" + b"".join(b"a%d.b=1\n" % n for n in range(30_000))),
    "a table of spaces": (TOML, b"[rule]\nx=[\n[" + b" " * 20_000 + b"\n]]\n"),
    "quotes": (TOML, b"[rule]\nx=" + b'"' * 400_001),
    "a string never closed": (TOML, b'[rule]\nx="""' + b'\\"' * 400_000),
    "a number of digits": (TOML, b"[rule]\na=" + b"9" * 100_000),
    "JSON brackets": (NDJSON, b"[" * 1_000_000),
    "JSON objects": (NDJSON, b'{"a":' * 900 + b"1" + b"}" * 900),
    "broken lines": (NDJSON, b"{\n" * 100_000),
    "unknown keys in JSON": (
        NDJSON,
        b'{"rule_id":"x",' + b",".join(b'"k%d":1' % n for n in range(30_000)) + b"}",
    ),
}  # fmt: skip


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def loaded(folder: Path, suffix: str, content: bytes) -> rulefile.Loaded:
    file = folder / f"rule{suffix}"
    file.write_bytes(content)
    return rulefile.load([file])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(("suffix", "content"), BOMBS.values(), ids=BOMBS.keys())
def test_a_file_made_to_hang_or_to_fill_memory_is_a_problem(
    folder: Path, suffix: str, content: bytes
) -> None:
    with in_time():
        found = loaded(folder, suffix, content)
    assert not found.rules
    assert found.problems
    assert all(len(problem.message) < 1_000 for problem in found.problems)


@pytest.mark.parametrize("suffix", [YAML, TOML, NDJSON])
@pytest.mark.parametrize(
    "content",
    ["a: b".encode("utf-16"), "a = 1".encode("utf-32"), b"\xff", b"a: \xed\xa0\x80", b"a: \0",
     b"\xef\xbb\xbf", b'{"rule_id": "\\ud800"}', "a: \u2028b\u0085".encode(), b"\r", b""],
)  # fmt: skip
def test_a_file_in_another_encoding_is_no_rule(folder: Path, suffix: str, content: bytes) -> None:
    assert not loaded(folder, suffix, content).rules


@cache
def real() -> list[tuple[str, bytes]]:
    """Rules as people wrote them: our own and, where it lies beside, some of Elastic's."""
    folders = [packaged.find("rules"), ROOT / "corpus"]
    files = [file for folder in folders for file in sorted(folder.rglob("*"))]
    named = [file for file in files if file.suffix in {YAML, TOML, NDJSON}]
    return [(file.suffix, file.read_bytes()) for file in named[:6] + named[6::60]]


@cache
def pieces() -> list[bytes]:
    """What structure is made of in each form, and what readers stumble over."""
    written = (
        "\n", " ", "  ", "\t", ":", ": ", "- ", "#", "'", '"', '"""', "'''", "|", ">", "&a ", "*a",
        "!!int ", "!x ", "? ", "{", "}", "[", "]", "[[", "]]", ",", "=", ".", "---\n", "...", "%",
        "null", "~", "true", "9" * 400, "1e999", "nan", "2020-01-01", "now-1M", "\\", "\\ud800",
        "\\x1b", "\u202e", "\u0085", "\ufeff", "rule_id", "query", "type", "eql", "sequence by",
        "threat", "index", "examples", "event", "(", ")", " and ", " not ", "interval", "0s",
    )  # fmt: skip
    return [*(one.encode() for one in written), b"\0", b"\xff", b"\x1b[31m", b"\xed\xa0\x80"]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, taken out, doubled or moved; some pieces put in."""
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, size = chance.randrange(len(content) + 1), chance.choice((0, 1, 1, 8, 80, 2_000))
        cut = content[at : at + size]
        put = chance.choice((b"", cut * 2, chance.randbytes(2), chance.choice(pieces())))
        content = content[:at] + put + content[at + size :]
    return content


def test_a_rule_of_which_some_bytes_were_changed_is_read_or_refused(folder: Path) -> None:
    chance, until = random.Random(20261124), time.monotonic() + 4
    for number in range(1_500):
        suffix, content = chance.choice(real())
        changed = mutated(content, chance)
        with in_time():
            found = loaded(folder, chance.choice((suffix, suffix, YAML)), changed)
        assert found.rules or found.problems, f"{number}: {changed!r}"
        if time.monotonic() > until:
            break


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(),
    st.sampled_from(["eql", "now-6m", "5m", "any where true", "high", "", "0s", "\ud800"]),
)  # fmt: skip
KEYS = [*configuration.Settings.model_fields, *rulefile.keys.Keys.model_fields, "from", "x"]
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
WHOLE = {
    "rule_id": "r", "name": "n", "description": "d", "type": "eql", "severity": "high",
    "risk_score": 1, "index": ["logs-*"], "query": "any where true",
}  # fmt: skip


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_a_rule_with_any_values_is_checked(data: dict[str, object]) -> None:
    from detector.rulefile import check  # noqa: PLC0415

    check.check(WHOLE | data)


VARIABLES = st.sampled_from(
    [
        "DETECTOR_" + "_".join(map(str, path)).upper()
        for path in configuration._keys(configuration.Settings)
    ]
)
ANY_TEXT = st.text(st.characters(exclude_characters="\0"), max_size=20) | st.sampled_from(
    [
        "{",
        '{"*":[""]}',
        "[",
        "1",
        "-1",
        "9" * 30,
        "5m",
        "true",
        "http://[",
        "http://a:b",
        "embedded",
    ]
)


@FUZZ
@given(st.dictionaries(VARIABLES, ANY_TEXT, min_size=1, max_size=3))
def test_settings_of_any_variables_are_read_or_refused(environ: dict[str, str]) -> None:
    try:
        configuration.load(None, environ)
    except SettingsError as error:
        assert error.message


@FUZZ
@given(st.binary(max_size=60) | st.lists(st.sampled_from(pieces()), max_size=12).map(b"".join))
def test_a_configuration_of_any_bytes_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "detector.yaml"
        file.write_bytes(content)
        for parse in (lambda: configuration.load(file, {}), lambda: rulefile.load([file])):
            try:
                parse()
            except SettingsError as error:
                assert error.message


@FUZZ
@given(st.text(max_size=12) | st.text("now-+/0123456789smhdwMy \n٣", max_size=12))
def test_a_duration_of_any_text_is_read_or_refused(text: str) -> None:
    for parse in (durations.parse, durations.ago):
        try:
            assert parse(text) <= durations.LONGEST
        except DetectorError as error:
            assert error.message


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_folder(path: Path) -> None:
    path.mkdir()


ODD = [fifo, endless, loop, a_folder]


@pytest.mark.parametrize("make", ODD)
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    odd = tmp_path / "odd.yaml"
    make(odd)
    assert rulefile.load([odd]).problems
    assert rulefile.load([tmp_path]).problems
    for environ in ({}, {"DETECTOR_ELASTICSEARCH_API_KEY_FILE": str(odd)}):
        with pytest.raises(SettingsError):
            configuration.load(None if environ else odd, environ)


def test_examples_beside_a_rule_that_are_no_file_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_bytes(b"[rule]")
    fifo(tmp_path / "rule.examples.yaml")
    assert "not a regular file" in {one.message for one in rulefile.load([tmp_path]).problems}


@pytest.mark.parametrize("name", ["x" * 5_000 + ".yaml", "a\0b.yaml", "a\udcff.yaml", "x/" * 3_000])
def test_a_name_that_no_file_has_is_a_problem(name: str) -> None:
    assert rulefile.load([Path(name)]).problems
    for variable in ("API_KEY_FILE", "CA_CERTS"):
        with pytest.raises(SettingsError):
            configuration.load(None, {f"DETECTOR_ELASTICSEARCH_{variable}": name})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_without_permission_is_a_problem_and_no_silence(folder: Path) -> None:
    closed = folder / "team" / "closed"
    closed.mkdir(parents=True)
    (closed / "rule.yaml").write_text("a: b")
    closed.chmod(0)
    os.seteuid(65534)
    try:
        for path in (folder / "team", closed, closed / "rule.yaml"):
            said = [problem.message for problem in rulefile.load([path]).problems]
            assert "cannot be read: permission denied" in said
    finally:
        os.seteuid(0)


def test_folders_in_a_ring_are_read_once(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "up").symlink_to("..")
    (inner / "rule.yaml").write_text("rule_id: [")
    assert len(rulefile.load([tmp_path, inner]).problems) == 1
