from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from detector import packaged, rulefile
from detector.detect import threshold, verdict
from detector.language import evaluate, tree
from detector.model import Problem, Rule, Suppression
from detector.rulefile import Loaded

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

RULE = """\
rule_id: one
name: One
description: A rule.
type: eql
index: [logs-*]
severity: high
risk_score: 73
query: |
  process where event.type == "start" and
    user.name == "root"
"""

TOML = """\
[metadata]
maturity = "production"

[rule]
rule_id = "one"
name = "One"
description = '''
severity = "not here"
[rule.threat]
'''
type = "eql"
index = ["logs-*"]
severity = "high"
risk_score = 73
query = '''
process where event.type == "start" and
  user.name == "root"
'''

[[rule.threat]]
framework = "MITRE ATT&CK"
[rule.threat.tactic]
id = "TA0002"
name = "Execution"

[[rule.threat]]
framework = "MITRE ATT&CK"
[rule.threat.tactic]
id = "TA0003"
name = "Persistence"
"""


def load(folder: Path, **files: str) -> Loaded:
    """Load `folder` with these files; `one_yaml` names `one.yaml`."""
    for name, content in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(content)
    return rulefile.load([folder])


def only(problems: tuple[Problem, ...]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def rule(folder: Path, text: str = RULE) -> Rule:
    loaded = load(folder, one_yaml=text)
    assert not loaded.problems
    return loaded.rules[0]


def place(problem: Problem) -> tuple[int | None, int | None, str | None]:
    return problem.line, problem.column, problem.text


def test_rule_in_yaml_has_defaults(tmp_path: Path) -> None:
    found = rule(tmp_path)
    assert (found.rule_id, found.index, found.risk_score) == ("one", ("logs-*",), 73)
    assert (found.interval, found.lookback) == (timedelta(minutes=5), timedelta(minutes=6))
    assert (found.delay, found.max_signals, found.enabled) == (timedelta(0), 100, True)
    assert found.where is not None
    assert found.unsupported is None
    assert found.timestamp_fallback
    assert found.file == tmp_path / "one.yaml"


def test_parameters_hold_kibanas_defaults_under_its_names(tmp_path: Path) -> None:
    parameters = rule(tmp_path).parameters
    expected = {
        "from": "now-6m",
        "to": "now",
        "language": "eql",
        "version": 1,
        "max_signals": 100,
        "threat": [],
        "exceptions_list": [],
        "immutable": False,
        "rule_source": {"type": "internal"},
        "setup": "",
        "filters": [],
        "risk_score": 73,
    }
    assert {key: parameters[key] for key in expected} == expected
    assert not {"threshold", "examples", "identity", "note"} & set(parameters)


def test_toml_and_yaml_make_the_same_rule(tmp_path: Path) -> None:
    in_toml = load(tmp_path, one_toml=TOML).rules[0]
    threat = [
        {"framework": "MITRE ATT&CK", "tactic": {"id": "TA0002", "name": "Execution"}},
        {"framework": "MITRE ATT&CK", "tactic": {"id": "TA0003", "name": "Persistence"}},
    ]
    description = 'severity = "not here"\n[rule.threat]\n'
    text = RULE.replace("A rule.", json.dumps(description)) + f"threat: {json.dumps(threat)}\n"
    (tmp_path / "one.toml").unlink()
    in_yaml = rule(tmp_path, text)
    assert in_yaml.parameters == in_toml.parameters
    assert in_yaml.hash == in_toml.hash


def test_hash_ignores_format_order_and_examples(tmp_path: Path) -> None:
    first = rule(tmp_path)
    moved = RULE.replace("name: One\n", "") + "name: 'One'\nexamples: []\n# a comment\n"
    assert rule(tmp_path, moved).hash == first.hash
    assert rule(tmp_path, RULE.replace("73", "74")).hash != first.hash
    assert rule(tmp_path, RULE + "identity: [event.id]\n").hash != first.hash


def test_scalars_of_an_event_are_those_of_json(tmp_path: Path) -> None:
    text = RULE + (
        "examples:\n"
        "  - name: scalars\n"
        "    event:\n"
        "      a: [no, on, 007, 12:30, 2026-01-01, ~, true, 1.5, -3, 1e3]\n"
        "      '@timestamp': -30s\n"
        "    alerts: 2\n"
    )
    (example,) = rule(tmp_path, text).examples
    assert example.events[0] == {
        "a": ["no", "on", "007", "12:30", "2026-01-01", None, True, 1.5, -3, 1000.0],
        "@timestamp": "-30s",
    }
    assert (example.name, example.alerts, example.line) == ("scalars", 2, 12)


WRONG: list[tuple[tuple[str, str], str, str | None, tuple[int, int]]] = [
    (("severity: high", "severity: hihg"), "`low`, `medium`", "did you mean `high`?", (6, 11)),
    (("rule_id: one", "rule_id: lease:1"), "`rule_id` must not begin", "a UUID", (1, 10)),
    (("rule_id: one", f"rule_id: {'x' * 501}"), "`rule_id` is longer", "a UUID", (1, 10)),
    (("73", "101"), "`risk_score` must be at most 100, not 101", None, (7, 13)),
    (("73", "-1"), "`risk_score` must be at least 0, not -1", None, (7, 13)),
    (("73", "high"), "`risk_score` must be a number, not text", None, (7, 13)),
    (("[logs-*]", "logs-*"), "`index` must be a list, not text", "write [logs-*]", (5, 8)),
    (("[logs-*]", "[]"), "`index` must not be empty", None, (5, 8)),
    (("name: One", "name: 1"), "`name` must be text, not a number", None, (2, 7)),
    (("name: One\n", ""), "`name` is missing", None, (1, 1)),
    (("index: [logs-*]\n", ""), "`index` or `data_view_id` is missing", "a rule of type", (1, 1)),
    (("type: eql", "type: eqll"), "`type` must be `eql`", "did you mean `eql`?", (4, 7)),
    (("severity", "interval: 5x\nseverity"), "`5x` is no duration", "a number and a unit", (6, 11)),
    (("severity", "interval: 1M\nseverity"), "`1M` is no duration", "`30d`", (6, 11)),
    (("severity", "interval: 0m\nseverity"), "`interval` must not be zero", None, (6, 11)),
    (("severity", "from: now-1M\nseverity"), "no time before now", "`now-30d`", (6, 7)),
    (("severity", "from: now/d\nseverity"), "no time before now", "rounding", (6, 7)),
    (("severity", "to: now+1m\nseverity"), "no time before now", "future", (6, 5)),
    (("severity", "from: now-999999w\nseverity"), "too long a time", "ten years", (6, 7)),
    (
        ("severity", "from: now-1m\nto: now-1m\nseverity"),
        "`from` must lie before `to`",
        None,
        (6, 7),
    ),
    (("severity", "language: kuery\nseverity"), "`language` must be `eql`", None, (6, 11)),
    (("severity", "enabled: yes\nseverity"), "`enabled` must be true or false", None, (6, 10)),
    (("severity", "name: Two\nseverity"), "`name` is given twice", None, (6, 1)),
    (("severity", "note: !python/name:os.system x\nseverity"), "is not allowed", None, (6, 7)),
]


@pytest.mark.parametrize(("change", "message", "hint", "at"), WRONG)
def test_wrong_key_is_an_error_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str, hint: str | None, at: tuple[int, int]
) -> None:
    loaded = load(tmp_path, one_yaml=RULE.replace(*change, 1))
    problem = only(loaded.problems)
    assert message in problem.message
    assert (hint or "") in (problem.hint or "")
    assert (problem.level, problem.line, problem.column) == ("error", *at)
    assert problem.file == str(tmp_path / "one.yaml")
    assert not loaded.rules


def test_all_problems_of_a_file_are_gathered(tmp_path: Path) -> None:
    text = RULE.replace("high", "hihg").replace("73", "101").replace("user.name ==", "lenght(a) ==")
    problems = load(tmp_path, one_yaml=text + "intervall: 5m\n").problems
    assert sorted(problem.line or 0 for problem in problems) == [6, 7, 10, 11]


def test_unknown_key_warns_with_a_suggestion_and_the_rule_runs(tmp_path: Path) -> None:
    loaded = load(tmp_path, one_yaml=RULE + "intervall: 10m\nthreat: []\nauthors: [me]\n")
    first, second = loaded.problems
    assert (first.level, first.hint, first.line) == ("warning", "did you mean `interval`?", 11)
    assert (second.hint, second.width) == ("did you mean `author`?", len("authors"))
    assert loaded.rules[0].where is not None
    assert "intervall" not in loaded.rules[0].parameters


def test_key_of_another_type_warns(tmp_path: Path) -> None:
    loaded = load(tmp_path, one_yaml=RULE + "threshold: {field: [a], value: 1}\n")
    assert only(loaded.problems).message == "`threshold` means nothing in a rule of type `eql`"


def test_look_back_shorter_than_the_interval_warns_of_a_gap(tmp_path: Path) -> None:
    problem = only(load(tmp_path, one_yaml=RULE + "interval: 10m\n").problems)
    assert (problem.level, problem.hint) == ("warning", "from: now-660s")


def test_what_is_not_done_for_a_rule_is_said(tmp_path: Path) -> None:
    text = RULE + "actions: [{id: mail}]\n"
    problem = only(load(tmp_path, one_yaml=text).problems)
    assert (problem.level, problem.line) == ("warning", 11)
    assert "actions" in problem.message


SUPPRESSION = [
    ("{group_by: [a, b, c, d]}", "group_by", None),
    ("{group_by: []}", "group_by", None),
    ("{duration: {value: 5, unit: m}}", "`group_by` is missing", None),
    ("{group_by: a, duration: {value: 0, unit: m}}", "value", None),
    ("{group_by: a, duration: {value: 5, unit: d}}", "unit", None),
    ("{group_by: a, duration: {value: 99999999, unit: h}}", "too long", None),
    ("{group_by: a, missing_fields_strategy: drop}", "missing_fields_strategy", None),
    ("{group_by: a}", "means nothing in a rule of type `threshold`", "threshold"),
    ("{}", "`duration` is missing", "threshold"),
]


@pytest.mark.parametrize(("written", "expected", "kind"), SUPPRESSION)
def test_suppression_that_cannot_be_is_said_with_its_place(
    tmp_path: Path, written: str, expected: str, kind: str | None
) -> None:
    text = RULE + f"alert_suppression: {written}\n"
    if kind:
        text = text.replace("type: eql", "type: threshold\nthreshold: {field: [a], value: 2}")
    loaded = load(tmp_path, one_yaml=text)
    found = [one for one in loaded.problems if expected in one.message]
    assert found, loaded.problems
    assert (found[0].level, found[0].line) == ("error", 12 if kind else 11)
    assert not loaded.rules


LASTING = [
    ("{group_by: a}", Suppression(("a",), timedelta(minutes=5))),
    (
        "{group_by: [a, b], duration: {value: 2, unit: h}, missing_fields_strategy: doNotSuppress}",
        Suppression(("a", "b"), timedelta(hours=2), missing=False),
    ),
]


@pytest.mark.parametrize(("written", "expected"), LASTING)
def test_suppression_lasts_an_interval_where_nothing_is_said(
    tmp_path: Path, written: str, expected: Suppression
) -> None:
    loaded = load(tmp_path, one_yaml=RULE + f"alert_suppression: {written}\n")
    assert [one.suppression for one in loaded.rules] == [expected]


HEAD = RULE[: RULE.index("query")]
QUERY_PLACES = [
    ("one_yaml", RULE, 10, '    lenght(a) == "root"'),
    ("one_yaml", HEAD + "query: any where lenght(a) == 1\n", 8, "query: any where lenght(a) == 1"),
    (
        "one_yaml",
        HEAD + 'query: "any where lenght(a) == 1"\n',
        8,
        'query: "any where lenght(a) == 1"',
    ),
    ("one_toml", TOML, 17, '  lenght(a) == "root"'),
    ("one_toml", TOML.replace("query = '''\n", "query = '''"), 16, '  lenght(a) == "root"'),
    (
        "one_toml",
        TOML.replace("query = '''", 'query = """').replace("\n'''\n\n[[", '\n"""\n\n[['),
        17,
        '  lenght(a) == "root"',
    ),
]


@pytest.mark.parametrize(("name", "text", "line", "shown"), QUERY_PLACES)
def test_place_inside_a_query_is_the_files(
    tmp_path: Path, name: str, text: str, line: int, shown: str
) -> None:
    problem = only(load(tmp_path, **{name: text.replace("user.name", "lenght(a)")}).problems)
    assert place(problem) == (line, shown.index("lenght") + 1, shown)


SPELT_OTHERWISE = [
    ('query: "any where true and\\n\\t lenght(a) == 1"', "\t lenght(a) == 1"),
    ("query: >\n  any where true and\n  lenght(a) == 1", "any where true and lenght(a) == 1"),
]


@pytest.mark.parametrize(("query", "shown"), SPELT_OTHERWISE)
def test_query_that_the_file_spells_otherwise_is_shown_as_it_is_read(
    tmp_path: Path, query: str, shown: str
) -> None:
    problem = only(load(tmp_path, one_yaml=HEAD + query + "\n").problems)
    assert place(problem) == (8, shown.index("lenght") + 1, shown)


def test_place_in_toml_is_found_by_table_and_key(tmp_path: Path) -> None:
    text = TOML.replace('"TA0003"', "3").replace('severity = "high"', 'severity = "hihg"')
    first, second = load(tmp_path, one_toml=text).problems
    assert place(first) == (13, 12, 'severity = "hihg"')
    assert place(second) == (29, 6, "id = 3")
    assert second.message == "`threat[1].tactic.id` must be text, not a number"


def test_toml_forms_become_kibanas(tmp_path: Path) -> None:
    text = TOML[: TOML.index("[[rule.threat]]")].replace('"eql"', '"new_terms"')
    text = text.replace("process where event.type ==", "event.type:").replace(
        "user.name ==", "user.name:"
    )
    text += (
        'note = "see $investigate_0"\n'
        "[rule.new_terms]\n"
        'field = "new_terms_fields"\n'
        'value = ["user.name"]\n'
        "[[rule.new_terms.history_window_start]]\n"
        'field = "history_window_start"\n'
        'value = "now-14d"\n'
        "[[transform.investigate]]\n"
        'label = "all"\n'
    )
    loaded = load(tmp_path, one_toml=text)
    parameters = loaded.rules[0].parameters
    assert parameters["new_terms_fields"] == ["user.name"]
    assert parameters["history_window_start"] == "now-14d"
    assert parameters["language"] == "kuery"
    assert parameters["note"] == 'see !{investigate{"label": "all"}}'
    assert "new_terms" not in parameters


UNSUPPORTED = [
    (RULE.replace("type: eql", "type: saved_query") + "saved_id: x\n", "a saved query lives in"),
    (RULE.replace("index: [logs-*]", "data_view_id: x"), "data views live in Kibana"),
]


@pytest.mark.parametrize(("text", "reason"), UNSUPPORTED)
def test_rule_that_cannot_run_yet_is_loaded_and_named(
    tmp_path: Path, text: str, reason: str
) -> None:
    loaded = load(tmp_path, one_yaml=text)
    problem = only(loaded.problems)
    assert problem.level == "warning"
    assert problem.message.startswith(reason)
    assert loaded.rules[0].unsupported == problem.message
    assert loaded.rules[0].where is None


@pytest.mark.parametrize(
    "query",
    ["sequence [any where true] [any where true]", "sample by a [any where true] [any where true]"],
)
def test_sequence_and_sample_are_loaded(tmp_path: Path, query: str) -> None:
    loaded = load(tmp_path, one_yaml=RULE[: RULE.index("query")] + f"query: {query}\n")
    assert loaded.problems == ()
    assert isinstance(loaded.rules[0].where, tree.Sequence | tree.Sample)


BROKEN = [
    ("a_yaml", "a: [1\nb: 2\n", "not valid YAML", 2),
    ("a_yaml", "- a\n", "a rule must be a mapping of keys", 1),
    ("a_yaml", "", "a rule must be a mapping of keys", 1),
    ("a_yaml", RULE + "---\n" + RULE, "expected a single document", 11),
    ("a_yaml", "[" * 300_000, "nested too deeply", 1),
    ("a_yaml", "a: &a [*a]\n", "an alias inside itself", 1),
    ("a_yaml", "x" * 5_000_001, "larger than 5 MB", 1),
    ("a_toml", "[rule\n", "not valid TOML", 1),
    ("a_toml", "[rules]\n", "no `[rule]` table", 1),
    ("a_toml", "a = " + "[" * 200 + "]" * 200, "nested too deeply", 1),
    ("a_ndjson", "{}\n{bad\n", "not valid JSON", 2),
    ("a_ndjson", "[" * 200 + "]" * 200, "nested too deeply", 1),
]


@pytest.mark.parametrize(
    ("name", "text", "message", "line"), BROKEN, ids=[f"{b[0]}-{b[2]}-{b[3]}" for b in BROKEN]
)
def test_broken_file_never_stops_the_others(
    tmp_path: Path, name: str, text: str, message: str, line: int
) -> None:
    loaded = load(tmp_path, **{name: text, "z_yaml": RULE})
    assert [found.rule_id for found in loaded.rules] == ["one"]
    assert (message, line) in {
        (message if message in problem.message else problem.message, problem.line)
        for problem in loaded.problems
    }


@pytest.mark.slow
def test_aliases_that_multiply_end_in_an_error(tmp_path: Path) -> None:
    levels = [
        f"{name}: &{name} [{','.join(['*' + of] * 10)}]"
        for of, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    loaded = load(tmp_path, one_yaml="a: &a [x]\n" + "\n".join(levels))
    assert "too many values" in only(loaded.problems).message


def test_file_that_is_no_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_bytes(b"a: b\nc: \xff\n")
    assert only(rulefile.load([tmp_path]).problems).line == 2


def test_missing_path_and_foreign_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "rule.txt").write_text(RULE)
    loaded = rulefile.load([tmp_path / "nowhere", tmp_path / "rule.txt"])
    assert [problem.message for problem in loaded.problems] == [
        "no such file or folder",
        "not a rule file",
    ]


def test_rule_id_taken_by_another_file_is_an_error(tmp_path: Path) -> None:
    loaded = load(tmp_path, a_yaml=RULE, b_yaml=RULE)
    problem = only(loaded.problems)
    assert place(problem) == (1, 10, "rule_id: one")
    assert problem.hint == f"the first one is {tmp_path}/a.yaml:1:10"
    assert [found.file for found in loaded.rules] == [tmp_path / "a.yaml"]


def test_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(RULE)
    loaded = rulefile.load([tmp_path / "one.yaml", tmp_path])
    assert len(loaded.rules) == 1
    assert not loaded.problems


def test_folders_are_read_in_order_of_path_but_for_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/two.yml", "a/three.yaml", ".git/four.yaml", "b/.five.yaml", "b/six.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(RULE.replace("rule_id: one", f"rule_id: {path.stem}"))
    loaded = rulefile.load([tmp_path])
    assert [found.rule_id for found in loaded.rules] == ["three", "two"]
    assert not loaded.problems


def test_empty_folder_warns(tmp_path: Path) -> None:
    assert only(rulefile.load([tmp_path]).problems).level == "warning"


def exported(**keys: Any) -> str:
    written = {
        "rule_id": "one",
        "name": "One",
        "description": "A rule.",
        "type": "eql",
        "index": ["logs-*"],
        "severity": "high",
        "risk_score": 73,
        "query": "any where true",
        "id": "saved-object",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "revision": 3,
        "immutable": False,
        "throttle": None,
    }
    return json.dumps({**written, **keys}) + "\n"


def test_kibanas_export_is_a_rule_a_line(tmp_path: Path) -> None:
    text = (
        exported()
        + exported(rule_id="two", severity="hihg")
        + '{"list_id": "l", "type": "detection"}\n'
        + '{"list_id": "l", "item_id": "i"}\n'
        + '{"id": "c", "type": "action", "attributes": {}}\n'
        + '{"exported_count": 2, "exported_rules_count": 2}\n'
    )
    loaded = load(tmp_path, one_ndjson=text)
    connectors, wrong = loaded.problems
    assert (connectors.level, connectors.line) == ("warning", 5)
    assert (wrong.line, wrong.rule_id, wrong.level) == (2, "two", "error")
    assert [found.rule_id for found in loaded.rules] == ["one"]
    assert "updated_at" not in loaded.rules[0].parameters


EXAMPLES = "- {name: a, event: {x: 1}, alert: true}\n- {name: b, events: [{}, {}], alerts: 0}\n"


def test_examples_of_a_toml_rule_stand_beside_it(tmp_path: Path) -> None:
    loaded = load(tmp_path, **{"one_toml": TOML, "one.examples_yaml": EXAMPLES})
    assert not loaded.problems
    assert [(e.name, e.alerts, e.line) for e in loaded.rules[0].examples] == [
        ("a", 1, 1),
        ("b", 0, 2),
    ]


def test_examples_of_an_export_are_kept_by_rule_id(tmp_path: Path) -> None:
    beside = "one:\n  - {name: a, event: {}, alert: false}\nthree: []\n"
    files = {"one_ndjson": exported() + exported(rule_id="two"), "one.examples_yaml": beside}
    loaded = load(tmp_path, **files)
    assert [len(found.examples) for found in loaded.rules] == [1, 0]
    problem = only(loaded.problems)
    assert (problem.message, problem.line) == ("no rule `three` in the file beside", 3)


WRONG_EXAMPLES = [
    ("{name: a, alert: true}", "either `event` or `events` must be given"),
    ("{name: a, event: {}, events: [], alert: true}", "either `event` or `events` must be given"),
    ("{name: a, event: {}}", "either `alert` or `alerts` must be given"),
    ("{name: a, event: [], alert: true}", "`event` must be a mapping, not a list"),
    ("{name: a, event: {}, alerts: true}", "`alerts` must be a whole number, not a boolean"),
    ("{name: a, event: {}, alerts: -1}", "`alerts` must be at least 0, not -1"),
    ("{event: {}, alert: true}", "`name` is missing"),
    ("{name: a, evnt: {}, event: {}, alert: true}", "unknown key `evnt`"),
    ("a", "an example must be a mapping of keys"),
]


@pytest.mark.parametrize(("example", "message"), WRONG_EXAMPLES)
def test_wrong_example_is_an_error_and_the_rule_stays(
    tmp_path: Path, example: str, message: str
) -> None:
    loaded = load(tmp_path, one_yaml=RULE + f"examples:\n  - {example}\n")
    problem = only(loaded.problems)
    assert (problem.message, problem.level, problem.line) == (message, "error", 12)
    assert len(loaded.rules) == 1
    assert not loaded.rules[0].examples


def test_rules_are_looked_up_as_option_configuration_folder_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    option, configured = Path("option"), Path("configured")
    assert rulefile.find([option], [configured]) == [option]
    assert rulefile.find([], [configured]) == [configured]
    assert rulefile.find([], []) == [packaged.find("rules")]
    (tmp_path / "rules").mkdir()
    assert rulefile.find([], []) == [Path("rules")]


@pytest.mark.slow
def test_every_rule_of_the_corpus_loads_and_can_run() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real rules is not here: ../shared/corpus")
    loaded = rulefile.load([CORPUS])
    assert [problem for problem in loaded.problems if problem.level == "error"] == []
    assert len(loaded.rules) == 1043
    assert not [found.rule_id for found in loaded.rules if found.unsupported]
    assert all(found.where is not None for found in loaded.rules)


QUERY = """\
rule_id: one
name: One
description: A rule.
type: query
index: [logs-*]
severity: high
risk_score: 73
"""
READ = [
    ("query: process.name:bash and not user.name:root\n", {"process": {"name": "bash"}}, True),
    ("query: process.name:bash\n", {"process": {"name": "zsh"}}, False),
    ("language: lucene\nquery: process.name:b?sh\n", {"process": {"name": "bash"}}, True),
    ("filters: [{query: {term: {process.name: bash}}}]\n", {"process": {"name": "bash"}}, True),
    ("language: lucene\nquery: ' '\n", {"process": {"name": "bash"}}, True),
    (
        "query: a:*\nfilters: [{meta: {negate: true}, query: {exists: {field: user.name}}}]\n",
        {"a": "bash", "user": {"name": "a"}},
        False,
    ),
]


@pytest.mark.parametrize(("text", "event", "held"), READ)
def test_query_rule_is_read_in_its_language_with_its_filters(
    tmp_path: Path, text: str, event: dict[str, Any], held: bool
) -> None:
    loaded = load(tmp_path, one_yaml=QUERY + text)
    assert loaded.problems == ()
    where = loaded.rules[0].where
    assert where is not None
    assert not isinstance(where, tree.Sequence | tree.Sample | tree.Piped)
    assert evaluate.matches(where, event) is held


def test_a_threshold_of_all_events_may_be_written_as_older_kibanas_did(tmp_path: Path) -> None:
    text = QUERY.replace("type: query", "type: threshold") + "query: a:b\n"
    (rule,) = load(tmp_path, one_yaml=text + "threshold: {field: '', value: 5}\n").rules
    assert threshold.limits(rule).by == ()
    assert [one.title for one in verdict.questions(rule)] == ["query"]


def test_kql_that_cannot_be_read_has_its_place(tmp_path: Path) -> None:
    problem = only(load(tmp_path, one_yaml=QUERY + "query: a:b and (c:d\n").problems)
    assert (problem.message, problem.line, problem.column) == ("the query ends too early", 8, 19)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ("query: a:b\nfilters: [{query: {script: {script: 'true'}}}]\n", "filter"),
        ("query: a:b\nfilters: [{query: {term: {message: error}}}]\n", "filter"),
        ("language: lucene\nquery: process.name:bsh~\n", "query"),
    ],
)
def test_what_only_elasticsearch_can_answer_is_named(tmp_path: Path, keys: str, named: str) -> None:
    loaded = load(tmp_path, one_yaml=QUERY + keys)
    said = only(loaded.problems).message
    assert said == f"only Elasticsearch can answer this {named}: `test` cannot tell"
    assert loaded.rules[0].unsupported is None
