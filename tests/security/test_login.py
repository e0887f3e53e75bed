"""Ways to log in and to trust, on a node with users and HTTPS."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner, Result

from detector import cli
from tests.security import node
from tests.security.node import Secured

pytestmark = pytest.mark.node
RULES = Path(__file__).parents[2] / "rules"
VARIABLE = "DETECTOR_ELASTICSEARCH_"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def setup(url: str, said: Mapping[str, object]) -> Result:
    environ = {VARIABLE + name: str(value) for name, value in said.items()}
    return CliRunner().invoke(cli.app, ["setup", "--url", url], env=environ)


def api_key(at: Secured) -> dict[str, object]:
    return {"API_KEY": at.client().security.create_api_key(name="login")["encoded"]}


def key_in_a_file(at: Secured) -> dict[str, object]:
    Path("key").write_text(f"{api_key(at)['API_KEY']}\n")
    return {"API_KEY_FILE": "key"}


def basic(at: Secured) -> dict[str, object]:
    return {"USERNAME": "elastic", "PASSWORD": at.password}


def password_in_a_file(at: Secured) -> dict[str, object]:
    Path("password").write_text(at.password)
    return {"USERNAME": "elastic", "PASSWORD_FILE": "password"}


@pytest.mark.parametrize("login", [api_key, key_in_a_file, basic, password_in_a_file])
def test_each_way_to_log_in_works(
    secured: Secured, login: Callable[[Secured], dict[str, object]]
) -> None:
    done = setup(secured.url, login(secured) | {"CA_CERTS": secured.ca})
    assert done.exit_code == 0, done.output


def bearer(at: Secured, name: str) -> str:
    made = at.client().security.create_service_token(
        namespace="elastic", service="fleet-server", name=name
    )
    return str(made["token"]["value"])


@pytest.mark.parametrize("by_file", [False, True])
def test_a_bearer_token_is_known_and_bound_by_its_privileges(
    secured: Secured, *, by_file: bool
) -> None:
    """A service account's: this one may not do what `setup` does, and is told so by its name."""
    token = bearer(secured, f"login-{by_file}")
    Path("token").write_text(f"{token}\n")
    said = {"BEARER_TOKEN_FILE": "token"} if by_file else {"BEARER_TOKEN": token}
    done = setup(secured.url, said | {"CA_CERTS": secured.ca})
    assert done.exit_code == 2
    assert "403" in done.output
    assert "elastic/fleet-server" in done.output
    assert "detector setup --role" in done.output


def test_the_authority_may_be_given_as_a_fingerprint(secured: Secured) -> None:
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(secured.ca.read_text())).hexdigest()
    written = ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()
    for fingerprint in (digest, written):
        done = setup(secured.url, basic(secured) | {"CA_FINGERPRINT": fingerprint})
        assert done.exit_code == 0, done.output


WRONG: list[tuple[str, dict[str, object], str, int]] = [
    ("no login", {}, "missing, wrong, expired or revoked", 2),
    ("a wrong password", {"USERNAME": "elastic", "PASSWORD": "hush-wrong"}, "401", 2),
    ("a key that is none", {"API_KEY": "aHVzaDp3cm9uZw=="}, "401", 2),
    ("a malformed key", {"API_KEY": "hush-wrong"}, "401", 2),
    ("a wrong token", {"BEARER_TOKEN": "hush-wrong"}, "401", 2),
]


@pytest.mark.parametrize(("_", "said", "message", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_login_is_refused_once_with_a_way_out(
    secured: Secured, _: str, said: dict[str, object], message: str, code: int
) -> None:
    done = setup(secured.url, said | {"CA_CERTS": secured.ca})
    assert done.exit_code == code, done.output
    assert message in done.output
    assert "hint:" in done.output
    assert "hush" not in done.output


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "certificate"),
        ({"CA_FINGERPRINT": "ab" * 32}, "ingerprint"),
        ({"CA_CERTS": "other.pem"}, "certificate"),
    ],
)
def test_a_stranger_is_never_trusted(
    secured: Secured, said: dict[str, object], message: str
) -> None:
    """Nor given the password: the connection ends before a request."""
    trustme.CA().cert_pem.write_to_path("other.pem")
    done = setup(secured.url, basic(secured) | said)
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert "say whom to trust" in done.output
    assert secured.password not in done.output


def test_trust_that_is_turned_off_is_said_every_time(secured: Secured) -> None:
    for _ in range(2):
        done = setup(secured.url, basic(secured) | {"VERIFY_CERTS": "false"})
        assert done.exit_code == 0, done.output
        assert "certificates are not verified; anyone may answer" in done.output


UNUSABLE: list[tuple[str, dict[str, object], str]] = [
    ("no certificates", {"CA_CERTS": "text"}, "ca_certs`: text cannot be used"),
    ("no certificate", {"CLIENT_CERT": "text"}, "client_cert`: text cannot be used"),
    ("a key alone", {"CLIENT_KEY": "text"}, "needs `elasticsearch.client_cert`"),
    ("no file", {"CLIENT_CERT": "nowhere"}, "there is no file nowhere"),
    ("a fingerprint that is none", {"CA_FINGERPRINT": "ab:cd"}, "not a SHA-256 fingerprint"),
    ("two ways", {"API_KEY": "a", "BEARER_TOKEN": "b"}, "give one of them"),
]


@pytest.mark.parametrize(("_", "said", "message"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
def test_what_cannot_be_used_is_said_before_a_cluster_is_asked(
    _: str, said: dict[str, object], message: str
) -> None:
    Path("text").write_text("no certificate\n")
    done = setup("https://127.0.0.1:9", said)
    assert done.exit_code == 2, done.output
    assert message in done.output


def test_certificates_need_https_and_plain_http_is_said(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    done = setup("http://127.0.0.1:9", {"CA_CERTS": "ca.pem"})
    assert done.exit_code == 2
    assert "the address is not https" in done.output
    done = setup("http://no-such-host.invalid:9", {"API_KEY": "aHVzaDp3cm9uZw=="})
    assert "the credentials go to no-such-host.invalid unencrypted" in done.output


def test_a_client_certificate_is_presented(tmp_path: Path) -> None:
    """The handshake needs it; the login stays a key's: PKI realms want another licence."""
    must = {"xpack.security.http.ssl.client_authentication": "required"}
    with node.running(tmp_path, must) as at:
        trusting = basic(at) | {"CA_CERTS": at.ca}
        both = {"CLIENT_CERT": at.client_cert, "CLIENT_KEY": at.client_key}
        assert setup(at.url, trusting | both).exit_code == 0
        one = tmp_path / "both.pem"
        one.write_text(at.client_key.read_text() + at.client_cert.read_text())
        assert setup(at.url, trusting | {"CLIENT_CERT": one}).exit_code == 0
        without = setup(at.url, trusting)
        assert without.exit_code == 1
        assert "cannot be reached" in without.output
