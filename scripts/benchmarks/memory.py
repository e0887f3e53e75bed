"""The most memory that a process has had; as a program, that of a command of `detector`.

`python -m scripts.benchmarks.memory scan ...` does what `detector scan ...` does, loads nothing
besides, and ends with a line such as `801.5 MB` on standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from detector import cli


def peak() -> float:
    """In MB. Of this program alone: `ru_maxrss` holds that of the process which started it too."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    try:
        cli.main()
    finally:
        print(f"{peak():.1f} MB", file=sys.stderr)
