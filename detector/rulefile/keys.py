"""The keys of a rule, as data: Elastic's names, their types, Kibana's defaults.

The names are those of Kibana's common and type-specific rule parameters; `examples`, `exceptions`,
`identity` and `mode` are ours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from detector.errors import DetectorError
from detector.model import Severity
from detector.text import durations
from detector.text.faults import accepted_by

LONGEST_ID = 500
"""Elasticsearch takes ids of 512 bytes; some of ours carry a prefix."""


def _rule_id(text: str) -> None:
    """The state index keeps a rule's checkpoint under its id, and others under these prefixes."""
    if text.startswith(("lease:", "backfill:")):
        raise DetectorError(
            "`rule_id` must not begin with `lease:` or `backfill:`", hint="a UUID is usual"
        )
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_ID:
        raise DetectorError(f"`rule_id` is longer than {LONGEST_ID} bytes", hint="a UUID is usual")


Filled: TypeAlias = Annotated[str, Field(min_length=1)]
RuleId: TypeAlias = Annotated[Filled, accepted_by(_rule_id)]
Fields: TypeAlias = Annotated[list[Filled], Field(min_length=1)]
Together: TypeAlias = Annotated[list[Filled], Field(min_length=1, max_length=3)]
Listed: TypeAlias = Annotated[
    list[Filled], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]
Duration: TypeAlias = Annotated[str, accepted_by(durations.parse)]
Ago: TypeAlias = Annotated[str, accepted_by(durations.ago)]
Objects: TypeAlias = list[dict[str, Any]]
RuleType: TypeAlias = Literal[
    "eql",
    "query",
    "saved_query",
    "threshold",
    "new_terms",
    "threat_match",
    "esql",
    "machine_learning",
]


class Table(BaseModel):
    """Keys of one level; others are faults that say so."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Attack(Table):
    """A tactic, technique or subtechnique."""

    id: str
    name: str
    reference: str | None = None


class Technique(Attack):
    """A technique with what is below it."""

    subtechnique: list[Attack] = []


class Threat(Table):
    """Where in ATT&CK the rule belongs."""

    framework: str
    tactic: Attack
    technique: list[Technique] = []


class Mapped(Table):
    """A field of the event from which severity or risk score are taken."""

    field: Filled
    operator: Literal["equals"] = "equals"
    value: str = ""


class SeverityMapped(Mapped):
    """The severity for one value of the field."""

    severity: Severity


class RiskMapped(Mapped):
    """The score, where the field does not hold it."""

    risk_score: float | None = None


class Lasting(Table):
    """A number of seconds, minutes or hours."""

    value: Annotated[int, Field(ge=1)]
    unit: Literal["s", "m", "h"]

    @property
    def length(self) -> timedelta:
        """As a length of time."""
        return durations.parse(f"{self.value}{self.unit}")


def _lasts(lasting: Lasting) -> None:
    """Raises `DetectorError` for what is too long a time."""
    durations.parse(f"{lasting.value}{lasting.unit}")


class Suppression(Table):
    """Which alerts are one."""

    group_by: Annotated[Listed, Field(min_length=1, max_length=3)] = []
    duration: Annotated[Lasting, accepted_by(_lasts)] | None = None
    missing_fields_strategy: Literal["suppress", "doNotSuppress"] | None = None


class Cardinality(Table):
    """So many different values of a field."""

    field: Filled
    value: Annotated[int, Field(ge=0)]


class Threshold(Table):
    """So many events with the same values in `field`; of all events where it is empty."""

    field: Annotated[Listed, BeforeValidator(lambda value: [] if value == "" else value)]
    value: Annotated[int, Field(ge=1)]
    cardinality: list[Cardinality] = []


class Term(Table):
    """A setting as elastic/detection-rules writes it."""

    field: Literal["history_window_start"]
    value: Ago


class NewTerms(Table):
    """The TOML form of `new_terms_fields` and `history_window_start`."""

    field: Literal["new_terms_fields"]
    value: Together
    history_window_start: Annotated[list[Term], Field(min_length=1, max_length=1)]


class ThreatEntry(Table):
    """A field of the event against a field of the indicator."""

    field: Filled
    type: Literal["mapping"]
    value: Filled
    negate: bool = False


def _compares(entries: list[ThreatEntry]) -> None:
    """What an indicator is not would be nearly every event."""
    if all(entry.negate for entry in entries):
        raise DetectorError("only `negate` entries", hint="add one entry that must be equal")


class ThreatEntries(Table):
    """Entries that must all hold."""

    entries: Annotated[list[ThreatEntry], Field(min_length=1), accepted_by(_compares)]


class ExceptionList(Table):
    """A list of exceptions kept in Kibana."""

    id: str
    list_id: str
    type: str
    namespace_type: str


class Investigation(Table):
    """The fields to look at first."""

    field_names: list[Filled]


class Integration(Table):
    """A package the rule's events come from."""

    package: str
    version: str
    integration: str | None = None


class RequiredField(Table):
    """A field the query reads."""

    name: str
    type: str
    ecs: bool | None = None


class Keys(Table):
    """Every key a rule may have."""

    rule_id: RuleId
    name: Filled
    description: Filled
    type: RuleType
    severity: Severity
    risk_score: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    language: str | None = None
    query: str | None = None
    index: Fields | None = None
    data_view_id: str | None = None
    filters: Objects = []
    interval: Duration = "5m"
    from_: Ago = Field(alias="from", default="now-6m")
    to: Ago = "now"
    max_signals: Annotated[int, Field(ge=1)] = 100
    timestamp_override: Filled | None = None
    timestamp_override_fallback_disabled: bool = False
    event_category_override: Filled | None = None
    timestamp_field: str | None = None
    tiebreaker_field: str | None = None
    alert_suppression: Suppression | None = None
    threshold: Threshold | None = None
    new_terms: NewTerms | None = None
    new_terms_fields: Together | None = None
    history_window_start: Ago | None = None
    threat_query: str | None = None
    threat_filters: Objects = []
    threat_language: Literal["kuery", "lucene"] | None = None
    threat_index: Fields | None = None
    threat_indicator_path: str | None = None
    threat_mapping: Annotated[list[ThreatEntries], Field(min_length=1)] | None = None
    concurrent_searches: Annotated[int, Field(ge=1)] | None = None
    items_per_search: Annotated[int, Field(ge=1)] | None = None
    saved_id: str | None = None
    anomaly_threshold: Annotated[int, Field(ge=0, le=100)] | None = None
    machine_learning_job_id: Listed | None = None
    version: Annotated[int, Field(ge=1)] = 1
    author: list[str] = []
    license: str | None = None
    tags: list[str] = []
    threat: list[Threat] = []
    references: list[str] = []
    false_positives: list[str] = []
    note: str | None = None
    setup: str = ""
    severity_mapping: list[SeverityMapped] = []
    risk_score_mapping: list[RiskMapped] = []
    rule_name_override: Filled | None = None
    building_block_type: Literal["default"] | None = None
    investigation_fields: Investigation | None = None
    related_integrations: list[Integration] = []
    required_fields: list[RequiredField] = []
    exceptions_list: list[ExceptionList] = []
    timeline_id: str | None = None
    timeline_title: str | None = None
    namespace: str | None = None
    meta: dict[str, Any] | None = None
    immutable: bool = False
    rule_source: dict[str, Any] = {}
    actions: Objects = []
    response_actions: Objects = []
    enabled: bool = True
    identity: Fields | None = None
    mode: Literal["live", "shadow"] = "live"
    exceptions: Objects = []
    examples: list[Any] = []


class ExampleKeys(Table):
    """One proof of a rule: `event` or `events`, `alert` or `alerts`."""

    name: Filled
    event: dict[str, Any] | None = None
    events: list[dict[str, Any]] | None = None
    alert: bool | None = None
    alerts: Annotated[int, Field(ge=0)] | None = None
    history: Objects | None = None
    indicators: Objects | None = None
