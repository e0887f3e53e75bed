"""The user's Maven settings -> the repository to fetch jars from; a path in it -> bytes."""

from __future__ import annotations

import base64
import os
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

from detector.errors import NodeError

try:
    from jgo.maven import MavenContext
except ImportError:  # the extra is not installed
    MavenContext = None  # type: ignore[assignment, misc]

URL_VARIABLE = "DETECTOR_MAVEN_URL"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")  # ssl reads SSL_CERT_* itself
TIMEOUT = 30.0
PAUSES = (0.5, 2.0, 0.0)  # after each attempt; the last one is final
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Repository:
    """Where jars come from; `authorization` is a header's value and never shown."""

    url: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc or self.url


def configured() -> Repository:
    """Return what the environment names, else the mirror in `~/.m2/settings.xml`, else Central."""
    if url := os.environ.get(URL_VARIABLE):
        return _repository(url)
    return _mirror(Path.home() / ".m2" / "settings.xml") or Repository(central())


def central() -> str:
    """Where Maven Central is, as the Maven client `jgo` knows it."""
    if MavenContext is None:
        raise NodeError(
            "the embedded Elasticsearch is not installed",
            hint="pip install 'detector-engine[embedded]'",
        )
    return str(MavenContext().remote_repos["central"])


def read(repository: Repository, path: str) -> Iterator[bytes]:
    """Yield the file at `path` in chunks; an empty chunk says that it starts again from nothing.

    Raises NodeError when the repository refuses the file or cannot be reached.
    """
    for pause in PAUSES:
        try:
            yield from _chunks(repository, path)
            return
        except HTTPError as error:
            error.close()
            failure = f"{repository.host} answers {error.code} for {path}"
            if error.code < 500 and error.code != 429:
                break
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            failure = f"cannot reach {repository.host}: {reason}"
        time.sleep(pause)
        yield b""
    hint = (
        f"the first start fetches 41 MB once; behind a mirror, set {URL_VARIABLE} to its address, "
        "or use a cluster of your own with --url"
    )
    raise NodeError(failure, hint=hint)


def _chunks(repository: Repository, path: str) -> Iterator[bytes]:
    request = Request(f"{repository.url}/{quote(path)}")  # noqa: S310 - file: is a fine mirror
    if repository.authorization:
        request.add_unredirected_header("Authorization", repository.authorization)
    with urlopen(request, timeout=TIMEOUT, context=_trust()) as answer:  # noqa: S310
        missing = int(answer.headers["Content-Length"] or 0)
        while chunk := answer.read(CHUNK):
            missing -= len(chunk)
            yield chunk
    if missing > 0:  # http.client takes a broken connection for the end when read by size
        raise ConnectionError("the connection broke in the middle of a file")


def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    for name in CA_VARIABLES:
        path = Path(os.environ.get(name) or os.devnull)
        if path.is_file():
            context.load_verify_locations(cafile=path)
        elif path.is_dir():
            context.load_verify_locations(capath=path)
    return context


def _repository(url: str, user: str = "", password: str = "") -> Repository:
    """Move a user in the address into the header, where no message can show it."""
    parts = urlsplit(url.rstrip("/"))
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    user = user or unquote(parts.username or "")
    password = password or unquote(parts.password or "")
    if not user:
        return Repository(bare)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Repository(bare, f"Basic {token}")


def _mirror(settings: Path) -> Repository | None:
    """Return the first mirror of Maven Central: https://maven.apache.org/guides/mini/guide-mirror-settings.html."""
    try:
        root = ET.fromstring(settings.read_bytes())  # noqa: S314 - the user's own file
    except (OSError, ET.ParseError):
        return None
    for mirror in root.findall(".//{*}mirror"):
        if _covers_central(_text(mirror, "mirrorOf")) and (url := _text(mirror, "url")):
            return _repository(url, *_login(root, _text(mirror, "id")))
    return None


def _covers_central(pattern: str) -> bool:
    names = [name.strip() for name in pattern.split(",")]
    return "!central" not in names and not {"*", "central", "external:*"}.isdisjoint(names)


def _login(root: ET.Element, name: str) -> tuple[str, str]:
    for server in root.findall(".//{*}server"):
        if _text(server, "id") == name:
            return _text(server, "username"), _text(server, "password")
    return "", ""


def _text(element: ET.Element, name: str) -> str:
    text = (element.findtext(f"{{*}}{name}") or "").strip()
    return re.sub(r"\$\{env\.(\w+)\}", lambda found: os.environ.get(found[1], ""), text)
