"""Rows in, the body of a `_query` out; its response, or why there is none, in, an answer out. Pure.

https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-esql-query
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detector.errors import Rejected, StoreError
from detector.language import dsl
from detector.model import Answer, Failure, Page, Rows
from detector.store import msearch
from detector.store.connection import kinds_of, status_of
from detector.store.msearch import Json

UNKNOWN_INDEX = "Unknown index ["
NO_HANDLER = ("no handler found for uri", "Incorrect HTTP method for uri")
"""What clusters without ES|QL say to `POST /_query`."""
ABSENT = frozenset({400, 404, 405})
LACKING = "this cluster has no ES|QL"
LEFT_OUT = "a part of the exceptions is too large for a query and is not applied to aggregations"


def ask(question: Rows, compiled: dsl.Compiled, exclude_tiers: Sequence[str]) -> Json:
    """The request; columns without any value are left out of the answer."""
    return {
        "query": question.query,
        "filter": msearch.query(question, compiled.query, exclude_tiers),
        "drop_null_columns": True,
    }


def read(question: Rows, response: Mapping[str, Any], compiled: dsl.Compiled) -> Page:
    """The page in a response; each row has the columns that have a value in it."""
    names = [column["name"] for column in response["columns"]]
    rows = [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in response["values"]
    ]
    lacking = "; ".join(msearch.absent(response.get("_clusters", {})))
    if response.get("is_partial"):
        lacking = lacking or "some shards did not answer"
    left_out = compiled.residual is not None and not question.checked
    return Page(
        documents=(),
        hits=len(rows),
        took_ms=response.get("took", 0),
        warning=LEFT_OUT if left_out else None,
        incomplete=lacking or None,
        rows=tuple(rows),
    )


def is_missing(error: StoreError) -> bool:
    """Whether a cluster says by this that it has no ES|QL."""
    return status_of(error) in ABSENT and any(said in error.message for said in NO_HANDLER)


def found_no_index(error: StoreError) -> bool:
    """Whether nothing that the query names is there, or may be seen."""
    return "verification_exception" in kinds_of(error) and UNKNOWN_INDEX in error.message


def refusal(question: Rows, error: StoreError) -> Answer:
    """What an error means; that no index is there yet is none, as to other rules."""
    if found_no_index(error):
        return Page((), warning=f"no index matches {', '.join(question.index)}")
    return Failure(Rejected(LACKING) if is_missing(error) else error)
