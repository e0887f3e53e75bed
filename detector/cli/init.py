"""`detector init`: a folder of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from detector import packaged
from detector.cli import options, show
from detector.errors import SettingsError

WORKFLOW = """\
# Every rule loads, compiles and does what its examples say.
name: detector
on: [push, pull_request]
permissions:
  contents: read
jobs:
  rules:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install detector-engine
      - run: detector check
      - run: detector test
"""

README = """\
# Detection rules

`rules/` holds the rules, each with its examples; `config/detector.yaml` the settings, every one
commented. From this folder:

    detector check                # everything that is wrong, at once
    detector test                 # every rule does what its examples say
    detector compile RULE         # the query that is sent
    detector run --url URL        # the daemon
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Make a folder of one's own: configuration, rules with examples, a CI workflow."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is not empty", hint="name a new folder")
    for name in ("rules", "config"):
        shutil.copytree(
            packaged.find(name), folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    workflow = folder / ".github" / "workflows" / "detector.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(WORKFLOW, "utf-8")
    (folder / "README.md").write_text(README, "utf-8")
    show.say(f"made {folder}; next: cd {folder} && detector test", "green")


app = options.app(init)
