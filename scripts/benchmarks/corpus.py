"""What `detector scan` takes with all rules of a corpus beside a hundred of its files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks import scan
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured
from tests.language import shared

FOLDER = shared.ROOT / "corpus"
FEW = 100
MEMORY = 2048


@dataclass(frozen=True, slots=True)
class Scanned:
    """A scan in a process of its own: rules that were asked, its time, its most memory in MB."""

    rules: int
    seconds: float
    megabytes: float


def measure(lab: Lab) -> Iterator[Measured]:
    """Once each: nothing here is compared with what ran in the same minutes.

    Rules that files cannot be asked (ES|QL, machine learning) count for nothing.
    """
    if not FOLDER.exists():
        print("  no ../shared/corpus beside the project: not measured", file=sys.stderr)
        return
    file = scan.write(lab.folder / "events.ndjson", lab.size.scanned)
    few = _scanned(lab, file, _some(lab.folder / f"corpus-{FEW}"))
    whole = _scanned(lab, file, FOLDER)
    for one in (few, whole):
        case = f"{lab.size.scanned:,} events, {one.rules:,} rules"
        yield Measured("corpus scan", case, (one.seconds,))
        yield Measured("corpus scan", f"{case}: memory", (one.megabytes,), unit="MB", reach=MEMORY)
    growth = (whole.seconds / few.seconds) / (whole.rules / few.rules)
    case = f"time per rule, {whole.rules:,} beside {few.rules:,}"
    yield Measured("corpus scan", case, (growth,), unit="x", reach=1.0)


def _some(folder: Path) -> Path:
    """Copies of a hundred files, spread evenly over the corpus."""
    files = sorted(FOLDER.rglob("*.toml"))
    folder.mkdir(exist_ok=True)
    for number in range(FEW):
        one = files[number * len(files) // FEW]
        shutil.copyfile(one, folder / f"{number:03}-{one.name}")
    return folder


def _scanned(lab: Lab, file: Path, rules: Path) -> Scanned:
    """No rule is in the cache yet."""
    program = [sys.executable, "-m", "scripts.benchmarks.memory"]
    began = time.perf_counter()
    done = subprocess.run(
        [*program, "scan", str(file), "--rules", str(rules)],
        env=os.environ | {"XDG_CACHE_HOME": str(lab.folder / "cache" / rules.name)},
        capture_output=True,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - began
    said = re.search(r"([\d,]+) rules in .*\n([\d.]+) MB\n$", done.stderr)
    if done.returncode or said is None:
        raise RuntimeError(done.stderr)
    return Scanned(int(said[1].replace(",", "")), taken, float(said[2]))
