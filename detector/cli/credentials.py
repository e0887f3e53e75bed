"""Settings in, how a client logs in and whom it trusts out; anew when a file was replaced."""

from __future__ import annotations

import ipaddress
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from detector.cli import show
from detector.errors import SettingsError

if TYPE_CHECKING:
    from detector.settings import Elasticsearch, Settings
    from detector.store.elastic import ElasticStore


def options(url: str, configured: Settings) -> dict[str, Any]:
    """The options of a client for `url`, or several with commas; what is weak about it is said.

    Raises `SettingsError` for certificates that cannot be used.
    """
    said = configured.elasticsearch
    made = {"request_timeout": said.request_timeout.total_seconds()} | _login(said)
    if said.client_cert or said.ca_certs or said.ca_fingerprint:
        _only_with_tls(url)
        context(configured)  # refuses what cannot be used, before a request fails for it
    files = {"ca_certs": said.ca_certs, "client_cert": said.client_cert}
    files["client_key"] = said.client_key
    made |= {name: str(path) for name, path in files.items() if path}
    if said.ca_fingerprint:
        made["ssl_assert_fingerprint"] = said.ca_fingerprint
    for warning in _weaknesses(url, configured):
        show.say(f"warning: {warning}", "bold yellow")
    if not said.verify_certs:
        made |= {"verify_certs": False, "ssl_show_warn": False}
    return made


def renew(store: ElasticStore, configured: Settings) -> None:
    """Go on with the credentials and certificates of `configured`, read just now.

    Requests under way end as they began. Raises `SettingsError`, and nothing has changed then.
    """
    store.connection.renew(**options(",".join(store.connection.addresses()), configured))


def headers(configured: Settings) -> dict[str, str]:
    """The same login for Kibana."""
    login = _login(configured.elasticsearch)
    if "api_key" in login:
        return {"Authorization": f"ApiKey {login['api_key']}"}
    if "bearer_auth" in login:
        return {"Authorization": f"Bearer {login['bearer_auth']}"}
    if "basic_auth" in login:
        pair = ":".join(login["basic_auth"]).encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {}


def context(configured: Settings) -> ssl.SSLContext:
    """What Kibana's certificate is checked against; raises `SettingsError`."""
    said = configured.elasticsearch
    with _usable("ca_certs", said.ca_certs):
        made = ssl.create_default_context(cafile=said.ca_certs)
    with _usable("client_cert", said.client_cert):
        if said.client_cert:
            made.load_cert_chain(said.client_cert, said.client_key, password=_no_passphrase)
    if not said.verify_certs:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


@contextmanager
def _usable(name: str, path: Path | None) -> Iterator[None]:
    """What the system says of a file of certificates becomes an error with a way out."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"`elasticsearch.{name}`: {path} cannot be used",
            hint="PEM certificates, and for a client their key without a passphrase",
        ) from error


def _no_passphrase() -> str:
    """Nobody is asked for one: a daemon has no terminal."""
    return ""


def _login(said: Elasticsearch) -> dict[str, Any]:
    """One way to log in, as the client's option; settings allow no second."""
    if said.api_key:
        return {"api_key": said.api_key.get_secret_value()}
    if said.bearer_token:
        return {"bearer_auth": said.bearer_token.get_secret_value()}
    if said.username and said.password:
        return {"basic_auth": (said.username, said.password.get_secret_value())}
    return {}


def _only_with_tls(url: str) -> None:
    if not all(address.startswith("https:") for address in url.split(",")):
        raise SettingsError(
            "certificates are configured, but the address is not https",
            hint="`elasticsearch.url` or --url begins with https:// where certificates count",
        )


def _weaknesses(url: str, configured: Settings) -> Iterator[str]:
    if not configured.elasticsearch.verify_certs:
        yield "certificates are not verified; anyone may answer as Elasticsearch"
    for address in url.split(","):
        yield from unencrypted(address, configured)


def unencrypted(url: str, configured: Settings) -> Iterator[str]:
    """What is to be said of credentials on their way to `url`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and _login(configured.elasticsearch) and not _is_here(host):
        yield f"the credentials go to {host} unencrypted; anyone on the way can read them"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
