"""An item added to a list in a YAML file: all else stays, letter by letter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import DetectorError
from detector.text import yaml, yamledit

ITEM = {
    "name": "n: 1",
    "event": {"@timestamp": "-30s", "a": {"b": [1, "no"], "long": "a" * 62}},
    "alert": True,
}
LINES = [
    '- name: "n: 1"',
    "  event:",
    '    "@timestamp": -30s',
    '    a: {b: [1, "no"], long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}',
    "  alert: true",
]


def block(indent: int = 0, end: str = "\n") -> str:
    return "".join(f"{' ' * indent}{line}{end}" for line in LINES)


def data(text: str) -> Any:
    (read,) = yaml.read(text, "file")
    return read.data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "examples:\n" + block(2)),
        ("a: 1", "a: 1\nexamples:\n" + block(2)),
        ("a: 1\nexamples: []\nb: 2\n", "a: 1\nexamples:\n" + block(2) + "b: 2\n"),
        ("examples:\nb: 2\n", "examples:\n" + block(2) + "b: 2\n"),
        ("examples: null # why\n", "examples: # why\n" + block(2)),
        (
            "# top\nexamples:  # list\n- {x: 1}  # one\n\n# end\nb: 1\n",
            "# top\nexamples:  # list\n- {x: 1}  # one\n" + block() + "\n# end\nb: 1\n",
        ),
        (
            "examples:\n    - x: {a: [1,\n        2]}\n    # after\n",
            "examples:\n    - x: {a: [1,\n        2]}\n" + block(4) + "    # after\n",
        ),
        (
            "examples:\r\n  - x: 1\r\nb: é\u2028\r\n",
            "examples:\r\n  - x: 1\r\n" + block(2, "\r\n") + "b: é\u2028\r\n",
        ),
        (
            "examples:\n  - x: |\n      y\nb: 1\n",
            "examples:\n  - x: |\n      y\n" + block(2) + "b: 1\n",
        ),
        ("examples:\n  - x: 1\n...\n", "examples:\n  - x: 1\n" + block(2) + "...\n"),
    ],
)  # fmt: skip
def test_the_item_comes_last_and_nothing_else_changes(before: str, after: str) -> None:
    assert yamledit.appended(before, ("examples",), ITEM, "file") == after


def test_a_file_of_examples_is_a_list_or_has_one_for_each_rule() -> None:
    first = yamledit.appended("", (), ITEM, "file")
    assert first == block()
    assert data(yamledit.appended(first, (), ITEM, "file")) == [ITEM, ITEM]
    by_rule = yamledit.appended("", ("8d3d: 1",), ITEM, "file")
    more = yamledit.appended(by_rule, ("other",), ITEM, "file")
    assert data(yamledit.appended(more, ("8d3d: 1",), ITEM, "file")) == {
        "8d3d: 1": [ITEM, ITEM],
        "other": [ITEM],
    }


@pytest.mark.parametrize(
    "text",
    ["examples: [{a: 1}]\n", "{a: 1}\n", "a: 1\n...\n", "examples: 1\n", "examples: {a: 1}\n"],
)
def test_what_cannot_be_added_to_is_left_to_a_person(text: str) -> None:
    with pytest.raises(DetectorError) as raised:
        yamledit.appended(text, ("examples",), ITEM, "file")
    assert raised.value.hint == yamledit.BY_HAND


def test_a_text_that_yaml_cannot_hold_is_refused() -> None:
    with pytest.raises(DetectorError):
        yamledit.appended("", (), {"name": "\ud800"}, "file")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["no", "1e5", "-30s", "null", "~", "- a", "a: b", "#", "0x1", "1_000", "="]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["name", "event", "on", "x y"]), VALUES, min_size=1))
def test_any_item_is_read_back_as_it_was_or_refused(item: dict[str, Any]) -> None:
    try:
        text = yamledit.appended("a: 1\n", ("examples",), item, "file")
    except DetectorError as error:
        assert error.hint == yamledit.BY_HAND
        assert any(isinstance(n, int) and len(str(abs(n))) > 30 for n in numbers(item))
        return
    assert text.startswith("a: 1\nexamples:\n")
    assert data(text) == {"a": 1, "examples": [item]}


def numbers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers(inner)]
    if isinstance(value, list):
        return [n for inner in value for n in numbers(inner)]
    return [value]
