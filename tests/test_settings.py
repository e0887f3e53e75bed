from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from detector import packaged, settings
from detector.model import Problem
from detector.settings import InvalidSettingsError, Settings


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return written(tmp_path, "")


def written(folder: Path, text: str) -> Path:
    path = folder / "detector.yaml"
    path.write_text(text)
    return path


def problems(file: Path | None, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSettingsError) as caught:
        settings.load(file, environ)
    return caught.value.problems


def test_shipped_file_says_the_defaults() -> None:
    assert settings.load(packaged.find("config") / "detector.yaml", {}) == Settings()


def test_defaults_are_those_of_the_design(empty: Path) -> None:
    found = settings.load(empty, {})
    assert found.elasticsearch.url is None
    assert found.elasticsearch.verify_certs
    assert found.elasticsearch.request_timeout == timedelta(seconds=30)
    assert (found.space, found.page_size, found.searches_per_request) == ("default", 1000, 200)
    assert (found.max_signals, found.exclude_tiers, found.rules) == (None, ("data_frozen",), ())
    assert found.schedule.catch_up == timedelta(hours=24)
    assert found.schedule.chunk == timedelta(hours=1)
    assert (found.log.level, found.log.format) == ("info", "auto")
    assert found.identity == (
        ("logs-cloud_defend*", ("event.id",)),
        ("*", ("event.id", "event.dataset", "@timestamp")),
    )


def test_file_is_read(tmp_path: Path) -> None:
    text = """\
elasticsearch: {url: "https://one:9200/", request_timeout: 2m}
rules: [mine, yours.yaml]
identity:
  "z*": [event.id]
  "a*": [event.hash, "@timestamp"]
log:
  level: debug
kibana:
"""
    found = settings.load(written(tmp_path, text), {})
    assert found.elasticsearch.url == "https://one:9200"
    assert found.elasticsearch.request_timeout == timedelta(minutes=2)
    assert found.rules == (Path("mine"), Path("yours.yaml"))
    assert found.identity == (("z*", ("event.id",)), ("a*", ("event.hash", "@timestamp")))
    assert found.log.level == "debug"
    assert found.kibana.url is None


@pytest.mark.parametrize("written_as", ["[https://a:1/, http://b]", "'https://a:1/, http://b'"])
def test_several_nodes_are_a_list_or_have_commas(tmp_path: Path, written_as: str) -> None:
    file = written(tmp_path, f"elasticsearch: {{url: {written_as}}}\n")
    assert settings.load(file, {}).elasticsearch.url == "https://a:1,http://b"
    environ = {"DETECTOR_ELASTICSEARCH_URL": "http://c,http://d:2"}
    assert settings.load(file, environ).elasticsearch.url == "http://c,http://d:2"


def test_environment_overrides_each_kind_of_key(tmp_path: Path) -> None:
    file = written(tmp_path, "space: one\npage_size: 10\nrules: [a]\n")
    environ = {
        "DETECTOR_ELASTICSEARCH_URL": "embedded",
        "DETECTOR_ELASTICSEARCH_VERIFY_CERTS": "false",
        "DETECTOR_ELASTICSEARCH_REQUEST_TIMEOUT": "45s",
        "DETECTOR_RULES": "b, c/d",
        "DETECTOR_IDENTITY": '{"x*": ["a", "b"]}',
        "DETECTOR_PAGE_SIZE": "500",
        "DETECTOR_MAX_SIGNALS": "7",
        "DETECTOR_EXCLUDE_TIERS": "data_frozen,data_cold",
        "DETECTOR_SCHEDULE_CATCH_UP": "2d",
        "DETECTOR_LOG_FORMAT": "json",
        "DETECTOR_SPACE": "",
        "PATH": "/bin",
    }
    found = settings.load(file, environ)
    assert found.elasticsearch.url == "embedded"
    assert not found.elasticsearch.verify_certs
    assert found.elasticsearch.request_timeout == timedelta(seconds=45)
    assert found.rules == (Path("b"), Path("c/d"))
    assert found.identity == (("x*", ("a", "b")),)
    assert (found.page_size, found.max_signals, found.space) == (500, 7, "one")
    assert found.exclude_tiers == ("data_frozen", "data_cold")
    assert found.schedule.catch_up == timedelta(days=2)
    assert found.log.format == "json"


def test_file_is_looked_up_as_argument_variable_folder_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    variable = {"DETECTOR_CONFIG": "variable.yaml"}
    assert settings.locate(Path("argument.yaml"), variable) == Path("argument.yaml")
    assert settings.locate(None, variable) == Path("variable.yaml")
    assert settings.locate(None, {}) == packaged.find("config") / "detector.yaml"
    (tmp_path / "config").mkdir()
    written(tmp_path / "config", "space: here\n")
    assert settings.load(None, {}).space == "here"


def test_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "nowhere.yaml")
    assert problem.message == "cannot be read: no such file or directory"
    (problem,) = problems(None, DETECTOR_CONFIG=str(tmp_path / "nowhere.yaml"))
    assert problem.file == str(tmp_path / "nowhere.yaml")


WRONG = [
    ("page_sise: 3", "unknown key `page_sise`", "did you mean `page_size`?", (1, 1)),
    ("log: {levle: info}", "unknown key `log.levle`", "did you mean `level`?", (1, 7)),
    ("log: {level: trace}", "`log.level` must be `debug`", None, (1, 14)),
    ("page_size: 0", "`page_size` must be at least 1, not 0", None, (1, 12)),
    ("page_size: many", "`page_size` must be a whole number, not text", None, (1, 12)),
    (
        "late_sweep: {every: 6h, reach: 6h}",
        "`late_sweep.reach`: must be longer than `every`, or time is left out",
        "as in 6h",
        (1, 32),
    ),
    ("max_signals: 0", "`max_signals` must be at least 1, not 0", None, (1, 14)),
    ("space: my-space", "`my-space` is no name for a space", "no hyphen", (1, 8)),
    ("space: Mine", "`Mine` is no name for a space", "lower case", (1, 8)),
    ("schedule: {chunk: 1x}", "`1x` is no duration", "a number and a unit", (1, 19)),
    ("schedule: {chunk: 0s}", "must be longer than nothing", None, (1, 19)),
    ("identity: {'*': event.id}", "`*` needs a list of fields", "[event.id]", (1, 11)),
    ("identity: {}", "must not be empty", "event.id", (1, 11)),
    ("kibana: {url: kibana:5601}", "not an http or https URL", "https://", (1, 15)),
    ("elasticsearch: {url: 'https://h:port'}", "not an http or https URL", "https://", (1, 22)),
    ("elasticsearch: {url: 'https://h,,'}", "not an http or https URL", "https://", (1, 22)),
    ("elasticsearch: {url: 'https://h,embedded'}", "not an http or https URL", None, (1, 22)),
    ("elasticsearch: 5", "`elasticsearch` must be a mapping, not a number", None, (1, 16)),
    ("elasticsearch: {ca_certs: /no/ca.pem}", "there is no file /no/ca.pem", None, (1, 27)),
    ("elasticsearch: {username: me}", "a user name needs a password", "_PASSWORD", (1, 27)),
    ("- 1", "a configuration must be a mapping of keys", None, (1, 1)),
    ("a: b: c", "not valid YAML", None, (1, 5)),
]


@pytest.mark.parametrize(("text", "message", "hint", "at"), WRONG)
def test_wrong_key_is_an_error_with_its_place(
    tmp_path: Path, text: str, message: str, hint: str | None, at: tuple[int, int]
) -> None:
    (problem,) = problems(written(tmp_path, text))
    assert message in problem.message
    assert (hint or "") in (problem.hint or "")
    assert (problem.line, problem.column) == at
    assert problem.file == str(tmp_path / "detector.yaml")


WRONG_VARIABLES = [
    ("DETECTOR_PAGE_SIZES", "1", "unknown variable DETECTOR_PAGE_SIZES", "DETECTOR_PAGE_SIZE`"),
    ("DETECTOR_VERBOSE", "1", "unknown variable DETECTOR_VERBOSE", None),
    ("DETECTOR_PAGE_SIZE", "x", "DETECTOR_PAGE_SIZE must be a whole number, not text", None),
    ("DETECTOR_SCHEDULE_CHUNK", "1", "DETECTOR_SCHEDULE_CHUNK: `1` is no duration", "a unit"),
    ("DETECTOR_IDENTITY", "{", "DETECTOR_IDENTITY: not valid JSON", None),
    ("DETECTOR_LOG_LEVEL", "inof", "DETECTOR_LOG_LEVEL must be `debug`", "`info`"),
    ("DETECTOR_ELASTICSEARCH_PASSWORD", "x", "a password needs `elasticsearch.username`", None),
]


@pytest.mark.parametrize(("name", "value", "message", "hint"), WRONG_VARIABLES)
def test_wrong_variable_is_an_error_that_names_it(
    empty: Path, name: str, value: str, message: str, hint: str | None
) -> None:
    (problem,) = problems(empty, **{name: value})
    assert problem.message.startswith(message)
    assert (hint or "") in (problem.hint or "")
    assert problem.file is None


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "page_sise: 3\nspace: a-b\n")
    found = problems(file, DETECTOR_PAGE_SIZE="x", DETECTOR_SPCE="a")
    assert len(found) == 4


def test_error_says_the_first_problem_and_how_many_more(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        settings.load(written(tmp_path, "page_sise: 3\nspce: a\n"), {})
    assert str(caught.value) == "unknown key `page_sise` (and 1 more)"
    assert str(caught.value.place) == f"{tmp_path}/detector.yaml:1:1"


def test_variables_of_other_parts_and_of_kubernetes_are_left_alone(empty: Path) -> None:
    environ = {
        "DETECTOR_MAVEN_URL": "https://mirror",
        "DETECTOR_SERVICE_HOST": "10.0.0.1",
        "DETECTOR_SERVICE_PORT_HTTP": "80",
        "DETECTOR_PORT": "tcp://10.0.0.1:80",
        "DETECTOR_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert settings.load(empty, environ) == Settings()


def test_secrets_come_from_the_environment_and_never_show(empty: Path) -> None:
    key = settings.load(empty, {"DETECTOR_ELASTICSEARCH_API_KEY": "hush"}).elasticsearch.api_key
    assert key is not None
    assert key.get_secret_value() == "hush"
    assert "hush" not in f"{key!r} {key} {settings.load(empty, {})!r}"


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    text = f"elasticsearch: {{username: me, password_file: {tmp_path}/secret}}\n"
    password = settings.load(written(tmp_path, text), {}).elasticsearch.password
    assert password is not None
    assert password.get_secret_value() == "hush"


@pytest.mark.parametrize("name", ["api_key", "bearer_token"])
def test_a_key_or_token_comes_from_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("hush\n")
    read = settings.load(
        written(tmp_path, f"elasticsearch: {{{name}_file: {tmp_path}/secret}}\n"), {}
    )
    secret = getattr(read.elasticsearch, name)
    assert secret.get_secret_value() == "hush"
    assert "hush" not in repr(read)


ODD = [
    "hush\n# hush",
    "hush hush",
    "hush\thush",
    "h\u00fcsh-hush",
    "hush\u2026",
    "hush\x00",
    "hush\r\nX: 1",
]


@pytest.mark.parametrize("name", ["api_key", "bearer_token"])
@pytest.mark.parametrize("secret", ODD)
def test_a_secret_that_no_header_can_carry_is_refused_and_not_shown(
    tmp_path: Path, name: str, secret: str
) -> None:
    (tmp_path / "secret").write_bytes(secret.encode())
    text = f"elasticsearch: {{{name}_file: {tmp_path}/secret}}\n"
    variable = f"DETECTOR_ELASTICSEARCH_{name.upper()}"
    (of_file,) = problems(written(tmp_path, text))
    (of_variable,) = problems(written(tmp_path, ""), **{variable: secret})
    assert f"{tmp_path}/secret" in of_file.message
    assert variable in of_variable.message
    assert "hush" not in repr((of_file, of_variable))


def test_a_password_may_have_blanks_and_letters_but_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("h\u00fcsh hush\n", "utf-8")
    text = f"elasticsearch: {{username: me, password_file: {tmp_path}/secret}}\n"
    password = settings.load(written(tmp_path, text), {}).elasticsearch.password
    assert password is not None
    assert password.get_secret_value() == "h\u00fcsh hush"
    (tmp_path / "secret").write_text("hush\nhush\n")
    (problem,) = problems(written(tmp_path, text))
    assert "hush" not in repr(problem)


def test_a_fingerprint_is_read_with_and_without_colons(empty: Path) -> None:
    for written_so in ("ab" * 32, ":".join(["AB"] * 32)):
        environ = {"DETECTOR_ELASTICSEARCH_CA_FINGERPRINT": written_so}
        assert settings.load(empty, environ).elasticsearch.ca_fingerprint == "ab" * 32


def test_secret_in_the_environment_wins_over_its_file(tmp_path: Path) -> None:
    file = written(tmp_path, "elasticsearch: {api_key_file: /nowhere}\n")
    key = settings.load(file, {"DETECTOR_ELASTICSEARCH_API_KEY": "hush"}).elasticsearch.api_key
    assert key is not None
    assert key.get_secret_value() == "hush"


def test_secret_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, message in (("nowhere", "cannot be read: no such file"), ("empty", "is empty")):
        text = f"elasticsearch: {{api_key_file: {tmp_path}/{name}}}\n"
        (problem,) = problems(written(tmp_path, text))
        assert message in problem.message


LEAKS = [
    "elasticsearch: {api_key: hush}",
    "heartbeat_url: ftp://beat.example/hush",
    "heartbeat_url: 'https://beat.example/hush hush'",
    "heartbeat_url: https://me:hush@beat.example/",
    "heartbeat_url: [https://beat.example/hush]",
    "heartbeat_url: 'https://beat.example/hush",
    "elasticsearch:\n  password: hush",
    "elasticsearch: {bearer_token: hush}",
    "elasticsearch: {url: 'https://me:hush@host:9200'}",
    "elasticsearch: {url: 'https://me:hush@host:9200', urll: 1}",
    "kibana: {url: 'https://me:hush@host'}",
    'elasticsearch:\n  password: "hush\n',
    "elasticsearch: {password: hush, password: hush}",
    "elasticsearch:\n  password: !hush",
    "elasticsearch:\n  password: *hush",
    "elasticsearch:\n  password: !!int hush",
    "elasticsearch:\n  password:hush\n  url: x",
]


@pytest.mark.parametrize("text", LEAKS)
def test_secret_in_the_file_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    found = problems(written(tmp_path, text))
    assert "hush" not in repr(found)
    assert found


def test_secret_in_the_environment_is_not_shown_when_something_is_wrong(empty: Path) -> None:
    found = problems(
        empty,
        DETECTOR_ELASTICSEARCH_URL="https://me:hush@host",
        DETECTOR_ELASTICSEARCH_API_KEY="hush",
        DETECTOR_ELASTICSEARCH_USERNAME="me",
    )
    assert len(found) == 2
    assert "hush" not in repr(found)


def test_api_key_and_user_name_exclude_each_other(empty: Path) -> None:
    (problem,) = problems(
        empty, DETECTOR_ELASTICSEARCH_API_KEY="a", DETECTOR_ELASTICSEARCH_USERNAME="b"
    )
    assert problem.message == "both an API key and a user name are given"
