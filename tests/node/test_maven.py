from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import NodeError
from detector.node import maven

SETTINGS = """\
<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <servers><server><id>inside</id><username>ann</username><password>${{env.PASS}}</password></server></servers>
  <mirrors>
    <mirror><id>other</id><mirrorOf>jboss</mirrorOf><url>https://jboss.example</url></mirror>
    <mirror><id>inside</id><mirrorOf>{pattern}</mirrorOf><url>https://mirror.example/m/</url></mirror>
  </mirrors>
</settings>
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DETECTOR_MAVEN_URL", raising=False)
    (tmp_path / ".m2").mkdir()
    return tmp_path / ".m2" / "settings.xml"


def test_maven_central_is_asked_when_nothing_is_configured(house: Path) -> None:
    assert maven.configured() == maven.Repository(maven.central())
    house.write_text("<not xml")
    assert maven.configured() == maven.Repository(maven.central())


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("central", True),
        ("*", True),
        ("external:*", True),
        ("jboss, central", True),
        ("*,!central", False),
        ("jboss", False),
    ],
)
def test_mirror_in_the_users_settings_is_taken_when_it_covers_central(
    house: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, taken: bool
) -> None:
    monkeypatch.setenv("PASS", "secret")
    house.write_text(SETTINGS.format(pattern=pattern))
    found = maven.configured()
    assert found.url == ("https://mirror.example/m" if taken else maven.central())
    assert found.authorization == ("Basic YW5uOnNlY3JldA==" if taken else None)


def test_environment_comes_before_settings_and_hides_its_password(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write_text(SETTINGS.format(pattern="*"))
    monkeypatch.setenv("DETECTOR_MAVEN_URL", "http://ann:secret@127.0.0.1:1/maven/")
    monkeypatch.setattr(maven, "PAUSES", (0.0,))
    found = maven.configured()
    assert found.url == "http://127.0.0.1:1/maven"
    assert "secret" not in repr(found)
    with pytest.raises(NodeError) as error:
        list(maven.read(found, "a.jar"))
    assert "secret" not in error.value.message
