"""Saved objects in, imported into Kibana or an error out."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
import uuid
from typing import Any

from detector.cli import credentials
from detector.errors import StoreError
from detector.settings import Settings

TIMEOUT = 30.0
MOST = 1_000_000
"""Bytes of an answer that are read."""

ELSEWHERE = "`kibana.url` or --kibana-url is Kibana's own address; is there a login page before it?"


class _Staying(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: credentials are for the address they were given for."""

    def redirect_request(self, *_: Any) -> None:
        return None


def load(url: str, objects: str, configured: Settings) -> None:
    """Hand `objects` (NDJSON) to Kibana; those of an earlier setup are overwritten.

    Raises `StoreError` unless Kibana says that it took them all.
    """
    opener = urllib.request.build_opener(
        _Staying, urllib.request.HTTPSHandler(context=credentials.context(configured))
    )
    try:
        with opener.open(_request(url, objects, configured), timeout=TIMEOUT) as answer:
            said = answer.read(MOST)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(500).decode("utf-8", "replace")
        hint = ELSEWHERE if error.code < http.HTTPStatus.BAD_REQUEST else None
        raise StoreError(f"Kibana answered {error.code}: {text}", hint=hint) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise StoreError(f"Kibana cannot be reached: {reason}") from error
    _check(said)


def _request(url: str, objects: str, configured: Settings) -> urllib.request.Request:
    boundary = uuid.uuid4().hex
    body = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="kibana.ndjson"\r\n'
        f"Content-Type: application/ndjson\r\n\r\n{objects}\r\n--{boundary}--\r\n"
    ).encode()
    space = configured.kibana.space
    prefix = "" if space == "default" else f"/s/{space}"
    return urllib.request.Request(  # noqa: S310 - the user's own URL
        f"{url.rstrip('/')}{prefix}/api/saved_objects/_import?overwrite=true",
        data=body,
        headers=credentials.headers(configured)
        | {"kbn-xsrf": "true", "Content-Type": f"multipart/form-data; boundary={boundary}"},
    )


def _check(answer: bytes) -> None:
    """A login page answers 200 as well, and so does an import of which a part failed."""
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("success"), bool):
        raise StoreError("something other than Kibana answered", hint=ELSEWHERE)
    if not said["success"]:
        why = ", ".join(sorted(set(_kinds(said.get("errors"))))) or "it does not say why"
        raise StoreError(f"Kibana did not import everything: {why}")


def _kinds(errors: Any) -> list[str]:
    """The types of the errors of an import, one an object that was not taken."""
    listed = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    causes = [one["error"] for one in listed if isinstance(one.get("error"), dict)]
    return [str(cause.get("type"))[:100] for cause in causes]
