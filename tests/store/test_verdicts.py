"""What an answer means: who is at fault, and whether asking again may help."""

from __future__ import annotations

from typing import Any

import pytest

from detector.errors import Blocked, Forbidden, Rejected, StoreError, Unavailable
from detector.store.connection import verdict

PARSING = {"type": "parsing_exception", "reason": "unknown query [no_such]"}
NO_INDEX = {"type": "index_not_found_exception", "reason": "no such index [logs]"}
LOST = {"type": "search_context_missing_exception", "reason": "No search context found"}
NO_SPACE = {"type": "translog_exception", "reason": "No space left on device"}
FULL = {"type": "cluster_block_exception", "reason": "blocked by: [FORBIDDEN/12/]"}
WRONG_METHOD = {"error": "Incorrect HTTP method for uri [/_msearch]", "status": 405}


def whole(cause: dict[str, Any], status: int) -> dict[str, Any]:
    """A body, as a request has it that failed on every shard."""
    wrapped = {"type": "search_phase_execution_exception", "root_cause": [cause]}
    return {"error": wrapped, "status": status}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, PARSING, Rejected),
        (400, whole(PARSING, 400), Rejected),
        (404, NO_INDEX, Rejected),
        (404, whole(NO_INDEX, 404), Rejected),
        (405, WRONG_METHOD, Rejected),
        (404, "<html>not here</html>", Unavailable),
        (404, {"message": "no Route matched with those values"}, Unavailable),
        (404, None, Unavailable),
        (405, "", Unavailable),
        (404, LOST, Unavailable),
        (404, whole(LOST, 404), Unavailable),
        (413, "request entity too large", Rejected),
        (302, "", Unavailable),
        (408, "", Unavailable),
        (429, PARSING, Unavailable),
        (500, NO_SPACE, Unavailable),
        (500, "boom", Unavailable),
        (521, "web server is down", Unavailable),
        (401, "<html>who are you?</html>", Forbidden),
        (403, {"type": "security_exception"}, Forbidden),
        (403, FULL, Blocked),
    ],
)
def test_what_an_answer_means(status: int, error: Any, kind: type[StoreError]) -> None:
    assert type(verdict(status, error, "said")) is kind
