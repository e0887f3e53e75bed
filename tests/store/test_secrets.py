"""A request that fails in a way nobody foresaw in, an error without its words out."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from detector.errors import Rejected, Unavailable
from detector.store import connection
from detector.store.connection import Connection, Patience


@pytest.mark.parametrize(
    "login", [{"api_key": "hush\nhush"}, {"bearer_auth": "hush\nhush"}, {"api_key": "hush\u2026"}]
)
def test_what_a_client_says_of_its_headers_is_never_told(login: dict[str, Any]) -> None:
    with connection.connect("http://127.0.0.1:9", **login) as client:
        asked = Connection(client, Patience(0.01, 0.01, 0.02))
        with pytest.raises(Unavailable) as caught:
            asked.once(client.info)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_an_error_of_ours_goes_through_as_it_is() -> None:
    def refused() -> None:
        raise Rejected("no")

    with (
        connection.connect("http://127.0.0.1:9") as client,
        pytest.raises(Rejected, match="no"),
    ):
        Connection(client).once(refused)
