"""A configuration file and the environment -> settings; or all that is wrong with them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from detector import packaged
from detector.errors import DetectorError, Place, SettingsError
from detector.model import Problem
from detector.settings.source import Source
from detector.text import durations
from detector.text import file as textfile
from detector.text.faults import Fault, KeyPath, checked, faults

SECRETS = (
    ("elasticsearch", "api_key"),
    ("elasticsearch", "password"),
    ("elasticsearch", "bearer_token"),
)
DEFAULT_IDENTITY = (
    ("logs-cloud_defend*", ("event.id",)),
    ("*", ("event.id", "event.dataset", "@timestamp")),
)


_URL_FORM = "as in https://localhost:9200"


def web_url(text: str) -> str:
    """An http or https address without its last slashes.

    Raises `DetectorError`, whose message never shows the text: a password may stand in it.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # the number of a port, the brackets of an address
        raise DetectorError("not an http or https URL", hint=_URL_FORM) from None
    if parts.username is not None or parts.password is not None:
        hint = "DETECTOR_ELASTICSEARCH_USERNAME and DETECTOR_ELASTICSEARCH_PASSWORD carry them"
        raise DetectorError("a URL must not carry a user name or password", hint=hint)
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise DetectorError("not an http or https URL", hint=_URL_FORM)
    return text.rstrip("/")


def cluster_url(text: str) -> str:
    """`embedded`, or the addresses of one cluster's nodes, separated by commas.

    Raises `DetectorError`, as `web_url` does.
    """
    if text == "embedded":
        return text
    return ",".join(web_url(address.strip()) for address in text.split(","))


def _cluster(value: Any) -> Any:
    """A list of addresses means the same as commas between them."""
    if isinstance(value, list) and all(isinstance(address, str) for address in value):
        value = ",".join(value)
    return _told(cluster_url, value)


def _fingerprint(text: str) -> str:
    """SHA-256 alone: shorter digests can be forged."""
    digits = text.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        hint = "64 hexadecimal digits, as Elasticsearch prints at its first start"
        raise DetectorError("not a SHA-256 fingerprint", hint=hint)
    return digits


def _heartbeat(text: str) -> str:
    """As `web_url`, with any path and query: services name their clients there."""
    web_url(text.partition("?")[0])
    if not re.fullmatch(r"[!-~]+", text):
        raise DetectorError("a URL is printable ASCII without blanks", hint="encode it with %")
    return text


def _space(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", text):
        hint = (
            "lower case letters, digits and underscores; no hyphen, so that no pattern covers two"
        )
        raise DetectorError(f"`{text}` is no name for a space", hint=hint)
    return text


def _listed(value: Any) -> Any:
    """Environment variables hold lists with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _identity(value: Any) -> Any:
    """A mapping becomes pairs: their order is their meaning."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise DetectorError(f"not valid JSON: {error.msg}") from None
    if not isinstance(value, dict):
        return value
    if not value:
        raise DetectorError("must not be empty", hint='as in "*": [event.id]')
    for pattern, fields in value.items():
        if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
            raise DetectorError(f"`{pattern}` needs a list of fields", hint="as in [event.id]")
    return tuple((pattern, tuple(fields)) for pattern, fields in value.items())


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    length = durations.parse(str(value))
    if not length:
        raise DetectorError("must be longer than nothing")
    return length


def _reaching(every: timedelta | None, reach: timedelta) -> timedelta:
    if every is not None and reach <= every:
        raise DetectorError("must be longer than `every`, or time is left out", hint="as in 6h")
    return reach


Url: TypeAlias = Annotated[str, BeforeValidator(lambda value: _told(web_url, value))]
Cluster: TypeAlias = Annotated[str, BeforeValidator(_cluster)]
Fingerprint: TypeAlias = Annotated[str, BeforeValidator(lambda value: _told(_fingerprint, value))]
SecretUrl: TypeAlias = Annotated[SecretStr, BeforeValidator(lambda value: _told(_heartbeat, value))]
Space: TypeAlias = Annotated[str, BeforeValidator(lambda value: _told(_space, value))]
Duration: TypeAlias = Annotated[timedelta, BeforeValidator(lambda value: checked(_duration, value))]
Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Identity: TypeAlias = Annotated[
    tuple[tuple[str, Annotated[tuple[str, ...], Field(min_length=1)]], ...],
    BeforeValidator(lambda value: checked(_identity, value)),
]


def _told(parse: Any, value: Any) -> Any:
    """`parse` for text; pydantic says what is wrong with anything else."""
    return checked(parse, value) if isinstance(value, str) else value


class Table(BaseModel):
    """Keys of one level; others are faults. Frozen, so that settings can be shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Elasticsearch(Table):
    """How to reach the cluster. `url` is None, a URL, or `embedded`.

    `api_key`, `password` and `bearer_token` come from the environment or from the files that
    `api_key_file`, `password_file` and `bearer_token_file` name, and are read already; they never
    show.
    """

    url: Cluster | None = None
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    ca_certs: Path | None = None
    ca_fingerprint: Fingerprint | None = None
    verify_certs: bool = True
    request_timeout: Duration = timedelta(seconds=30)


class Schedule(Table):
    """How much of an outage is caught up, and in pieces of what length."""

    catch_up: Duration = timedelta(hours=24)
    chunk: Duration = timedelta(hours=1)


class LateSweep(Table):
    """How often the past is asked again for what became searchable late; `every` None is never."""

    every: Duration | None = None
    reach: Annotated[Duration, Field(validate_default=True)] = timedelta(hours=6)

    @field_validator("reach")
    @classmethod
    def _further_than_every(cls, reach: timedelta, info: ValidationInfo) -> timedelta:
        return checked(partial(_reaching, info.data.get("every")), reach)


class Retention(Table):
    """How long what detector remembers is kept; whole months are dropped."""

    runs: Duration = timedelta(days=30)


class Kibana(Table):
    """Where people open alerts; its `space` is Kibana's own, not that of `Settings`."""

    url: Url | None = None
    space: str = "default"


class Log(Table):
    """What is told on standard error; `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(Table):
    """Everything that can be configured.

    `identity` pairs index patterns with the fields that make two documents the same event; the
    first pattern that fits is taken. Daemons of a space divide the rules in `shards` parts and hold
    each for a `lease` at a time. `max_signals` None leaves each rule its own; more than `flood`
    times that many matches waiting are a flood. `rules` and all paths are relative to the working
    folder.
    """

    elasticsearch: Elasticsearch = Elasticsearch()
    rules: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = ()
    exceptions: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = (Path("exceptions"),)
    overlays: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = (Path("overlays"),)
    unresolved_exceptions: Literal["alert", "hold"] = "alert"
    space: Space = "default"
    identity: Identity = DEFAULT_IDENTITY
    page_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    searches_per_request: Annotated[int, Field(ge=1, le=10_000)] = 200
    rules_per_search: Annotated[int, Field(ge=1, le=1_000)] = 64
    max_signals: Annotated[int, Field(ge=1)] | None = None
    on_limit: Literal["wait", "truncate"] = "wait"
    flood: Annotated[int, Field(ge=1)] = 20
    exclude_tiers: Names = ("data_frozen",)
    shards: Annotated[int, Field(ge=1, le=1_000)] = 1
    lease: Duration = timedelta(seconds=5)
    schedule: Schedule = Schedule()
    late_sweep: LateSweep = LateSweep()
    silent_after: Duration = timedelta(hours=1)
    heartbeat_url: SecretUrl | None = None
    retention: Retention = Retention()
    kibana: Kibana = Kibana()
    log: Log = Log()


class InvalidSettingsError(SettingsError):
    """All that is wrong with the configuration, in `problems`; the first one is the message."""

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        place = None
        if first.file and first.line and first.column:
            place = Place(first.line, first.column, first.text or "", first.width, first.file)
        super().__init__(first.message + more, hint=first.hint, place=place)
        self.problems = tuple(problems)


def locate(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is read: `file`, `$DETECTOR_CONFIG`, `./config/detector.yaml`, the package's.

    None where none of them was named and none of the others exists.
    """
    if file or environ.get("DETECTOR_CONFIG"):
        return file or Path(environ["DETECTOR_CONFIG"])
    candidates = (Path("config/detector.yaml"), packaged.find("config") / "detector.yaml")
    return next((path for path in candidates if path.is_file()), None)


def load(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file that `locate` finds, each overridden by its environment variable.

    Raises `InvalidSettingsError` with every problem of both. A variable that is set but empty
    counts as absent.
    """
    source = Source(SECRETS)
    path = locate(file, environ)
    if path is not None:
        source.read(path)
    source.override(environ, _keys(Settings))
    source.read_secrets()
    for fault in _pairs(source.data.get("elasticsearch")):
        source.fault(fault)
    try:
        settings = Settings.model_validate(source.data)
    except ValidationError as error:
        for fault in faults(error, Settings):
            source.fault(fault)
    if source.problems:
        raise InvalidSettingsError(source.problems)
    return settings


def _pairs(given: Any) -> Iterator[Fault]:
    """What each key of `elasticsearch` allows and another does not."""
    if not isinstance(given, dict):
        return
    name, key, password = (given.get(name) for name in ("username", "api_key", "password"))
    user = ("elasticsearch", "username")
    if key and name:
        yield Fault(user, "both an API key and a user name are given", "give one of them")
    elif given.get("bearer_token") and (key or name):
        token = ("elasticsearch", "bearer_token")
        yield Fault(token, "a bearer token is given and another way to log in", "give one of them")
    elif name and not password:
        hint = "set DETECTOR_ELASTICSEARCH_PASSWORD or `password_file`"
        yield Fault(user, "a user name needs a password", hint)
    elif password and not name:
        yield Fault(("elasticsearch", "password"), "a password needs `elasticsearch.username`")
    for key_of_file in ("ca_certs", "client_cert", "client_key"):
        file = given.get(key_of_file)
        if isinstance(file, str) and not textfile.is_file(Path(file)):
            message = f"`elasticsearch.{key_of_file}`: there is no file {file}"
            yield Fault(("elasticsearch", key_of_file), message)
    if given.get("client_key") and not given.get("client_cert"):
        message = "a client's key needs `elasticsearch.client_cert`"
        yield Fault(("elasticsearch", "client_key"), message)


def _keys(model: type[BaseModel], above: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that holds a value, with the keys above it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, (*above, name))
        else:
            yield (*above, name)
