"""A question that only the documents themselves can answer in, its pages read to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias, cast

from detector.model import Answer, Buckets, Document, Failure, Page, Search
from detector.questions import finding
from detector.store import bucketing

Ask: TypeAlias = Callable[[Search], Answer]


def whole(question: Search | Buckets, ask: Ask) -> Answer:
    """The answer in one page. Exact and slow; memory holds a page, and the buckets found."""
    return counted(question, ask) if isinstance(question, Buckets) else first(question, ask)


def counted(question: Buckets, ask: Ask) -> Answer:
    """How many documents there are in each bucket."""
    tally, seen = bucketing.Tally(question), Page(())
    for search in finding(question, question.by):
        for answer in _pages(search, ask):
            if isinstance(answer, Failure):
                return answer
            for document in answer.documents:
                tally.add(document.fields, document.time)
            seen = _both(seen, answer)
    return replace(seen, buckets=tally.buckets())


def first(search: Search, ask: Ask) -> Answer:
    """The first documents, as many as the search's limit."""
    limit = search.limit or 0
    documents: list[Document] = []
    seen = Page(())
    for answer in _pages(replace(search, limit=None), ask):
        if isinstance(answer, Failure):
            return answer
        documents += answer.documents
        seen = _both(seen, answer)
        if len(documents) >= limit:
            break
    return replace(seen, documents=tuple(documents[:limit]))


def _pages(search: Search, ask: Ask) -> Iterator[Answer]:
    following: Search | None = search
    while following is not None:
        answer = ask(following)
        yield answer
        following = None if isinstance(answer, Failure) else cast("Search | None", answer.next)


def _both(seen: Page, page: Page) -> Page:
    """What is to be said of two pages together, without what they hold."""
    lacking = [one for one in (seen, page) if one.incomplete]
    said = dict.fromkeys(one.incomplete for one in lacking)
    return Page(
        documents=(),
        hits=seen.hits + page.hits,
        took_ms=seen.took_ms + page.took_ms,
        warning=seen.warning or page.warning,
        incomplete="; ".join(str(one) for one in said) or None,
        transient=any(one.transient for one in lacking) or not lacking,
        unread=(*seen.unread, *page.unread),
        timed_out=seen.timed_out or page.timed_out,
    )
