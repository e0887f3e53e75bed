"""Index patterns in, which of them the credentials may not read out.

To a search that does not mind absent indices, one that may not be read is not there: a rule would
be blind and look healthy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from detector.errors import Forbidden, Rejected, StoreError
from detector.store import privileges
from detector.store.connection import STRENGTHEN, Connection

BELIEVED = 60.0
"""Seconds for which what a cluster has allowed is not asked again."""

WITHOUT_USERS = 600.0
"""Seconds for which a cluster that knows no privileges is not asked again."""


class Permission:
    """Asks a cluster, and remembers for a while what it said."""

    def __init__(
        self, connection: Connection, *, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._steady = steady
        self._granted: dict[str, float] = {}
        self._free_until = float("-inf")

    def refused(self, patterns: Collection[str]) -> dict[str, StoreError]:
        """By pattern, why it may not be read, or why nobody knows whether it may."""
        now = self._steady()
        asked = {
            name: pattern
            for pattern in patterns
            if (name := privileges.local(pattern))
            and now - self._granted.get(pattern, float("-inf")) >= BELIEVED
        }
        if not asked or now < self._free_until:
            return {}
        try:
            lacking = self._lacking(sorted(asked))
        except Rejected:  # no such request: a cluster without users
            self._free_until = now + WITHOUT_USERS
            return {}
        except StoreError as error:
            return dict.fromkeys(asked.values(), error)
        self._granted |= {asked[name]: now for name in asked.keys() - lacking}
        return {
            asked[name]: Forbidden(f"{name} may not be read", hint=STRENGTHEN) for name in lacking
        }

    def _lacking(self, names: list[str]) -> set[str]:
        answer = self._connection.call(
            lambda: self._connection.client.security.has_privileges(
                index=[{"names": names, "privileges": ["read"]}]
            )
        )
        return {one.pattern for one in privileges.missing(answer.body) if one.pattern is not None}
