"""Documents and a condition in, those that satisfy it and those that cannot be judged out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from detector.model import Document

Unread: TypeAlias = tuple[Document, str]

BEARABLE = 20
"""With more documents of a page than these it is the condition that cannot be evaluated."""


def sifted(
    documents: Iterable[Document],
    holds: Callable[[Mapping[str, Any]], bool],
    seen: Callable[[Document], Mapping[str, Any]],
) -> tuple[list[Document], tuple[Unread, ...]]:
    """Those of which `holds` is true for what is `seen` of them, and those for which it raises.

    Raises what `holds` raises where it does so for too many.
    """
    kept: list[Document] = []
    unread: list[Unread] = []
    for document in documents:
        try:
            if holds(seen(document)):
                kept.append(document)
        except Exception as error:
            if len(unread) >= BEARABLE:
                raise
            unread.append((document, f"the condition cannot be evaluated: {error!r}"[:1_000]))
    return kept, tuple(unread)
