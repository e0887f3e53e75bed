"""Folders of value lists (`lists/NAME.txt`, `.csv`) -> the values by the list's name."""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from detector.errors import DetectorError
from detector.text import file as textfile

FOLDER = "lists"
MOST = 100_000
"""Entries of a list; each rule that uses it looks up every event it finds."""

MAX_BYTES = 20_000_000
SUFFIXES = (".txt", ".csv")


class ValueLists:
    """The lists beside exceptions; each file is read once, when it is first asked for."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.files = [file for folder in folders for file in _files(folder / FOLDER)]
        self._values: dict[tuple[Path, str], tuple[str, ...]] = {}

    def values(self, name: str, kind: str) -> tuple[str, ...]:
        """The values of the list `name`: as text, or for `ip_range` as CIDR blocks.

        Kibana calls a list by the name of the file it was made from, so a suffix may be there.
        Raises `DetectorError`.
        """
        file = self._file(name)
        if (file, kind) not in self._values:
            made = tuple(dict.fromkeys(_KINDS[kind](_entries(file))))
            self._values[file, kind] = made
        return self._values[file, kind]

    def _file(self, name: str) -> Path:
        for file in self.files:
            if name in {file.name, file.stem}:
                return file
        raise DetectorError(
            f"there is no value list `{name}`", hint=f"its entries stand in {FOLDER}/{name}.txt"
        )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    except OSError:
        return []


def _entries(file: Path) -> list[str]:
    """One a line; of a `.csv` the first column. Lines that begin with `# ` are comments."""
    lines = textfile.decoded(file, MAX_BYTES).splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("# ")]
    try:
        rows = csv.reader(said) if file.suffix == ".csv" else ([line] for line in said)
        entries = [row[0].strip() for row in rows if row and row[0].strip()]
    except csv.Error as error:
        raise DetectorError(f"{file} is no CSV: {error}") from None
    if not entries:
        raise DetectorError(f"{file} has no entries")
    if len(entries) > MOST:
        raise DetectorError(f"{file} has more than {MOST:,} entries", hint="split it in two lists")
    return entries


def _ips(entries: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        try:
            yield str(ipaddress.ip_address(entry))
        except ValueError:
            raise DetectorError(f"`{entry[:100]}` is no address") from None


def _blocks(entries: Iterable[str]) -> Iterator[str]:
    """`10.0.0.0/8`, `10.0.0.1-10.0.0.9` or one address, as the blocks that cover exactly them."""
    for entry in entries:
        first, dash, last = entry.partition("-")
        try:
            if dash:
                ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
                yield from map(str, ipaddress.summarize_address_range(*ends))
            else:
                yield str(ipaddress.ip_network(entry, strict=False))
        except (ValueError, TypeError):
            raise DetectorError(f"`{entry[:100]}` is no range of addresses") from None


_KINDS: dict[str, Callable[[Iterable[str]], Iterable[str]]] = {
    "keyword": lambda entries: entries,
    "ip": _ips,
    "ip_range": _blocks,
}
KINDS = tuple(_KINDS)
"""The types of list that can be asked for; Kibana's others are refused."""
