"""What is documented exists, and what exists is documented."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from detector import cli, settings
from detector.settings import Settings

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
CONFIG = (ROOT / "config" / "detector.yaml").read_text()
README = (ROOT / "README.md").read_text()


def options(command: Any) -> Iterator[str]:
    """The long names of all options of a command and its subcommands."""
    for parameter in command.params:
        assert parameter.param_type_name == "argument" or parameter.help, f"{parameter.name}: help"
        yield from (name for name in parameter.opts if name.startswith("--"))
    for inner in getattr(command, "commands", {}).values():
        yield from options(inner)


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    module = importlib.import_module(f"detector.cli.{cli.COMMANDS[name]}")
    common, *sections = COMMANDS.split("\n## ")
    (section,) = (text for text in sections if text.startswith(f"{name}\n"))
    assert f"    detector {name}" in section, "an example"
    for option in options(get_command(module.app)):
        assert f"`{option}" in common + section, option


@pytest.mark.parametrize("key", list(keys(Settings)))
def test_every_setting_is_documented(key: str) -> None:
    variable = f"DETECTOR_{key.upper().replace('.', '_')}"
    assert f"| `{key}` |" in SETTINGS
    assert f"`{variable}`" in SETTINGS
    assert re.search(rf"^ *{key.rpartition('.')[2]}:|{variable}", CONFIG, re.MULTILINE), key


def test_the_configuration_is_the_defaults_and_the_table_names_them() -> None:
    assert settings.load(ROOT / "config" / "detector.yaml", {}) == Settings()
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| \w+ \| .+ \| `(DETECTOR_\w+)` \| .+ \|$", SETTINGS, re.MULTILINE
    )
    assert [key for key, _ in rows] == list(keys(Settings))


def test_only_commands_that_exist_are_documented() -> None:
    assert re.findall(r"^## (\w+)$", COMMANDS, re.MULTILINE) == list(cli.COMMANDS)


def test_the_readme_names_only_commands_that_exist() -> None:
    for name in re.findall(r"detector ([a-z]+)\b", README):
        known = {*cli.COMMANDS, "is", "shows", "the", "for"}
        assert name in known, f"detector {name}"


@pytest.mark.parametrize(
    "link", re.findall(r"\]\(((?!https?:)[^)#]+)\)", README + COMMANDS.replace("](", "](docs/"))
)
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
