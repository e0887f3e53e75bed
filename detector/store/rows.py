"""Questions of ES|QL in, answers out: each is a request of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from detector.errors import Rejected, StoreError
from detector.model import Answer, Failure, Rows
from detector.store import esql, shapes
from detector.store.connection import Connection
from detector.store.permission import Permission
from detector.store.translating import Translations

ABREAST = 4
"""Queries that are under way at once, since many take seconds."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """What is asked of one cluster by `POST /_query`."""

    connection: Connection
    permission: Permission
    translations: Translations
    exclude_tiers: Sequence[str] = ()

    def answers(self, questions: Mapping[int, Rows]) -> dict[int, Answer]:
        """An answer for each."""
        if not questions:
            return {}
        self.translations.learn(questions.values())
        with ThreadPoolExecutor(ABREAST) as pool:
            return dict(zip(questions, pool.map(self._answer, questions.values()), strict=True))

    def _answer(self, question: Rows) -> Answer:
        try:
            compiled = self.translations.of(question)
            body = esql.ask(question, compiled, self.exclude_tiers)
            answer = self.connection.call(
                lambda: self.connection.client.esql.query(**body), shape=shapes.rows
            )
            return esql.read(question, answer.body, compiled)
        except StoreError as error:
            unseen = self.permission.refused(question.index) if esql.found_no_index(error) else {}
            return Failure(next(iter(unseen.values()))) if unseen else esql.refusal(question, error)
        except Exception as error:  # noqa: BLE001 - one rule's fault is its own failure
            return Failure(Rejected(f"the rows could not be asked for: {error!r}"[:1_000]))
