"""Everything that can go wrong, each with its place and a way out.

DetectorError
├── LanguageError      a query that cannot be read: offset and width inside its text
├── RuleError          a rule file or one of its keys: path, line, column
├── SettingsError      a configuration file, an environment variable, an option
├── StoreError         a store that did not answer as asked
│   ├── Unavailable    for now: no connection, time-out, 3xx, 408, 429, 5xx; the next run covers it
│   │   ├── Blocked    until somebody acts: a full disk, a closed index; not asked again at once
│   │   └── TimedOut   no answer in time: the store may be away, or the question too hard
│   ├── Rejected       for good: the store understood and said no
│   ├── Forbidden      the credentials are missing, wrong or too weak
│   └── NotSetUp       templates or indices are missing: `detector setup` makes them
└── NodeError          the embedded Elasticsearch: packages, checksums, start, lock
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text something is: `line` and `column` count from 1.

    `text` is the whole line, `width` the number of characters to underline from `column` on.
    """

    line: int
    column: int
    text: str = ""
    width: int = 1
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.file or '<query>'}:{self.line}:{self.column}"


class DetectorError(Exception):
    """An error a user can act on: a short lower-case message, a place, a hint."""

    def __init__(
        self, message: str, *, hint: str | None = None, place: Place | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place


class LanguageError(DetectorError):
    """A query that cannot be read; `place` counts inside the query's own text."""


class RuleError(DetectorError):
    """A rule that cannot be used; `place` counts inside its file."""


class SettingsError(DetectorError):
    """A configuration file, an environment variable or an option that cannot be used."""


class StoreError(DetectorError):
    """A store that did not answer as it was asked."""


class Unavailable(StoreError):
    """The store cannot answer for now; what was asked may be asked again.

    `after` is for how many seconds it wants to be left alone.
    """

    def __init__(self, message: str, *, hint: str | None = None, after: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.after = after


class Blocked(Unavailable):
    """The store takes no writes until somebody acts; nothing is lost, and asking soon is vain."""


class TimedOut(Unavailable):
    """No answer came in time; the store may be away, or the question too hard for it."""


class Rejected(StoreError):
    """The store understood and refused for good; asking again changes nothing."""


class Forbidden(StoreError):
    """The credentials are missing, wrong, or not allowed to do this."""


class NotSetUp(StoreError):
    """Templates or indices that `detector setup` makes are missing."""


class NodeError(DetectorError):
    """The embedded Elasticsearch cannot be fetched, verified or started."""
