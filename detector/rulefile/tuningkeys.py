"""The keys of exceptions and overlays, as data; what an overlay writes has the rule's own types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detector.model import Severity
from detector.rulefile.keys import (
    Ago,
    Duration,
    ExceptionList,
    Fields,
    Filled,
    Listed,
    Objects,
    Table,
)


class InList(Table):
    """A field whose values stand in a value list."""

    field: Filled
    list: Filled
    type: Literal["keyword", "ip", "ip_range"] = "keyword"


class ExceptionKeys(Table):
    """One exception as we write it: for which rules, what it excepts, who wants it and why."""

    name: str = ""
    rules: Listed = Field(default=[])
    tags: Listed = Field(default=[])
    all: bool = False
    query: Filled | None = None
    language: Literal["eql", "kuery", "lucene"] | None = None
    values: list[InList] = Field(default=[])
    reason: Filled
    owner: str | None = None
    expires: str | None = None


class Select(Table):
    """Which rules an overlay is for: each key that is given holds, by one of its patterns."""

    id: Listed = Field(default=[])
    name: Listed = Field(default=[])
    tag: Listed = Field(default=[])
    type: Listed = Field(default=[])
    index: Listed = Field(default=[])
    integration: Listed = Field(default=[])
    severity: Listed = Field(default=[])


class Patch(Table):
    """The keys of a rule that an overlay may write."""

    severity: Severity | None = None
    risk_score: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    interval: Duration | None = None
    from_: Ago | None = Field(alias="from", default=None)
    to: Ago | None = None
    index: Fields | None = None
    max_signals: Annotated[int, Field(ge=1)] | None = None
    enabled: bool | None = None
    mode: Literal["live", "shadow"] | None = None
    exceptions: Objects | None = None
    exceptions_list: list[ExceptionList] | None = None


class Overlay(Table):
    """One overlay: which rules, what is written over them, and why."""

    select: Select
    patch: Patch
    reason: str | None = None


class OverlayFile(Table):
    """A file of overlays; of all rules `only` those of one of its selections are enabled."""

    only: Objects = Field(default=[])
    overlays: Objects = Field(default=[])
