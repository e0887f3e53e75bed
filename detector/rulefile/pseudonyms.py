"""Users, hosts and addresses in an event -> documentation values, the same for the same value.

Addresses are of the ranges kept for documentation (RFC 5737, 3849, 7042), domains of RFC 2606.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["user", "email", "host", "domain", "account", "ip", "mac"]

_SUFFIXES = frozenset({"text", "keyword", "caseless"})
_USERS = re.compile(r"(.*_)?users?|user_identity|session_issuer|owner")
_HOSTS = frozenset({"host", "agent", "observer", "device", "instance", "endpoint", "computer"})
_ENDS = frozenset({"source", "destination", "client", "server"})
_OF_USER = frozenset({"name", "full_name", "id", "domain", "hash", "arn", "principal_id", "sid"})
_OF_HOST = frozenset({"name", "hostname", "id", "ephemeral_id", "domain", "serial_number"})
_USER_LIKE = re.compile(r"(.*user|.*account)_?(name|sid|id|upn)|.*principal_?name|upn|arn")
_HOST_LIKE = re.compile(r"(computer|host|workstation|node|machine|device|server)_?name|hostname")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.]*\w)")
_COMMON = frozenset(
    {"root", "system", "administrator", "admin", "user", "users", "nobody", "daemon", "guest"}
    | {"localhost", "local", "localdomain", "local system", "www-data", "nt authority", "default"}
)
"""Names that everybody has: in a text they tell nothing, and may mean something else."""

_SHORTEST = 3
"""Characters a name must have to be looked for inside other texts."""

_NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.")


def kind_of(name: str, value: Any) -> Kind | None:
    """What a value of the field called `name` tells of; None for what tells of nobody."""
    if not isinstance(value, str) or not value:
        return None
    if _EMAIL.fullmatch(value):
        return "email"
    if (address := _address(value)) is not None:
        return None if _means_none(address) else "ip"
    if _MAC.fullmatch(value):
        return "mac"
    return _by_name(name)


def _by_name(name: str) -> Kind | None:
    parts = [part for part in name.lower().split(".") if part not in _SUFFIXES] or [""]
    last, above = parts[-1], parts[:-1]
    parent = above[-1] if above else ""
    if parent == "related":
        return {"user": "user", "hosts": "host"}.get(last)  # type: ignore[return-value]
    if parent in _ENDS and last in {"address", "domain", "registered_domain"}:
        return "domain"
    if (parent in _HOSTS and last in _OF_HOST) or _HOST_LIKE.fullmatch(last):
        return "host"
    if parent == "account" and last in {"id", "name"}:
        return "account"
    users = any(_USERS.fullmatch(part) for part in above) and "group" not in above
    return "user" if (users and last in _OF_USER) or _USER_LIKE.fullmatch(last) else None


class Pseudonyms:
    """Gives names in the order they are asked for; knows what `learn` has shown it."""

    def __init__(self) -> None:
        self._given: dict[Kind, dict[str, str]] = defaultdict(dict)
        self._known: dict[str, tuple[Kind, str]] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, source: Mapping[str, Any]) -> None:
        """Look for what tells of somebody, so that it is found inside other texts as well."""
        for name, value in _leaves(source):
            kind = kind_of(name, value)
            if kind and len(value) >= _SHORTEST and value.lower() not in _COMMON:
                self._known.setdefault(value.lower(), (kind, value))
        longest = sorted(self._known, key=len, reverse=True)
        known = rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"
        self._pattern = re.compile(known, re.IGNORECASE) if longest else None

    def keep(self, name: str, value: Any) -> None:
        """Leave a value as it is, here and wherever else it comes."""
        if kind := kind_of(name, value):
            self._given[kind][value] = value

    def of(self, name: str, value: str) -> str:
        """What stands for the value of a field: the value itself where it tells of nobody."""
        kind = kind_of(name, value)
        return self._pseudonym(kind, value) if kind else self.within(value)

    def within(self, text: str) -> str:
        """A text in which all that is known is replaced, and every address."""
        if self._pattern:
            text = self._pattern.sub(
                lambda found: self._pseudonym(*self._known[found[0].lower()]), text
            )
        text = _EMAIL.sub(lambda found: self._pseudonym("email", found[0]), text)
        return _IPV4.sub(lambda found: self._in_text(found[0]), text)

    def _in_text(self, text: str) -> str:
        address = _address(text)
        mine = text.startswith(_NETWORKS)
        return (
            text if address is None or mine or _means_none(address) else self._pseudonym("ip", text)
        )

    def _pseudonym(self, kind: Kind, value: str) -> str:
        given = self._given[kind]
        if value in given.values():
            return value
        if value not in given:
            number = 1 + sum(name != stands for name, stands in given.items())
            given[value] = _FORMS[kind](number, value)
        return given[value]


def _ip(number: int, value: str) -> str:
    if ":" in value:
        return f"2001:db8::{number:x}"
    network, last = divmod(number - 1, 254)
    return f"{_NETWORKS[network % len(_NETWORKS)]}{last + 1}"


_FORMS: dict[Kind, Callable[[int, str], str]] = {
    "user": lambda number, _: f"user-{number}",
    "email": lambda number, _: f"mail-{number}@example.com",
    "host": lambda number, _: f"host-{number}",
    "domain": lambda number, _: f"host-{number}.example.com",
    "account": lambda number, _: f"account-{number}",
    "ip": _ip,
    "mac": lambda number, _: f"00-00-5E-00-53-{number % 256:02X}",
}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _means_none(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Addresses that every machine has: what they mean is not who it is."""
    return address.is_loopback or address.is_unspecified or address.is_multicast


def _leaves(source: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    rest: list[tuple[str, Any]] = [("", source)]
    while rest:
        above, value = rest.pop()
        if isinstance(value, Mapping):
            below = [(f"{above}.{key}" if above else key, inner) for key, inner in value.items()]
            rest += below[::-1]
        elif isinstance(value, list):
            rest += [(above, inner) for inner in value[::-1]]
        else:
            yield above, value
