"""The name of something that ships with the package -> the folder or file that holds it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def find(name: str) -> Path:
    """The path of `name` ("rules", "config") in an installed package or in a source checkout.

    The wheel carries the top-level folders under `detector/data/`; a checkout has them beside the
    package. The path of the wheel is returned where neither exists.
    """
    package = Path(str(resources.files("detector")))
    shipped = package / "data" / name
    beside = package.parent / name
    return beside if not shipped.exists() and beside.exists() else shipped
