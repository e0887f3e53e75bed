"""machine_learning: each record of an anomaly detection job that is odd enough is a match.

https://www.elastic.co/docs/reference/machine-learning/ootb-ml-jobs. The jobs write what they find
into `.ml-anomalies-*`; nothing else of machine learning is asked. A job that has written nothing is
said with the run: it would be silent for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta

from detector.detect import grouping, query
from detector.detect.grouping import Inquiry
from detector.detect.inquiry import FIRST, LAST
from detector.detect.relaying import relayed
from detector.language import evaluate
from detector.language.tree import Equals
from detector.model import Detection, Document, Found, Match, Page, Rule, Search, Window

JOB, TIME = "job_id", "timestamp"
RECENTLY = timedelta(days=1)
"""A job that runs writes a result for each of its buckets, odd or not; the longest is a day."""


def jobs(rule: Rule) -> tuple[str, ...]:
    """The jobs whose records the rule looks at."""
    return tuple(rule.parameters["machine_learning_job_id"])


def detect(rule: Rule, window: Window, fields: tuple[str, ...] = ()) -> Detection:
    """The records in the order of their time; at the end, what is to be said of silent jobs."""
    wrote: set[str] = set()
    warnings: list[str] = []

    def as_events(found: Found) -> Detection:
        documents = [match.documents[0] for match in found.matches]
        wrote.update(str(job) for one in documents for job in evaluate.values(one.source, JOB))
        yield Found(tuple(Match((_event(one),), one.time) for one in documents))

    def heard(pages: tuple[Page, ...]) -> None:
        warnings.extend(page.warning for page in pages if page.warning)

    yield from relayed(query.detect(rule, window, (*fields, JOB)), as_events, heard)
    silent = [job for job in jobs(rule) if job not in wrote]
    if silent and not warnings:
        yield Found(warnings=(yield from _silence(rule, window, silent)))


def _event(record: Document) -> Document:
    """The record as an event: its time stands where events have theirs."""
    time = record.time.astimezone(UTC).isoformat(timespec="milliseconds")
    return replace(record, source={**record.source, "@timestamp": time.replace("+00:00", "Z")})


def _silence(rule: Rule, window: Window, silent: Sequence[str]) -> Inquiry[tuple[str, ...]]:
    """What there is to say of jobs that found nothing."""
    recently = Window(min(window.start, window.end - RECENTLY), window.end)
    asked = [
        search
        for job in silent
        for search in (_result(rule, job, recently), _result(rule, job, Window(FIRST, LAST)))
    ]
    pages = yield from grouping.ask(*asked)
    answers = zip(silent, pages[::2], pages[1::2], strict=True)
    return tuple(filter(None, (_said(job, recent, ever) for job, recent, ever in answers)))


def _said(job: str, recent: Page, ever: Page) -> str | None:
    if not ever.documents and not ever.incomplete:
        return f"the machine learning job {job} has no results: is it installed and running?"
    if not recent.documents and not recent.incomplete:
        return f"the machine learning job {job} has written no results for a day: is it running?"
    return None


def _result(rule: Rule, job: str, window: Window) -> Search:
    """The first of a job's results of whatever kind."""
    anything, among = grouping.EVERYTHING, Equals(JOB, job)
    return Search(rule.rule_id, rule.index, anything, window, TIME, among=among, limit=1)
