"""Options as Elasticsearch's own launcher takes them -> a node in this process.

pytest-elasticsearch calls it with `-p PIDFILE -E key=value ...`, `embedded` with `--users FOLDER`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from detector.errors import NodeError
from detector.node import server
from detector.node.jars import VERSION
from detector.node.jvm import FAST_START

UNKNOWN = ("xpack.",)  # settings of modules that this node does not have


def main() -> None:
    """Run until told to stop; exit 1 with the reason on stderr when the node cannot start."""
    parser = _parser()
    options = parser.parse_args()
    settings = dict(pair.partition("=")[::2] for pair in options.settings)
    if not options.users and not {"path.data", "path.logs"} <= settings.keys():
        parser.error("-E path.data=FOLDER and -E path.logs=FOLDER are needed")
    known = {key: value for key, value in settings.items() if not key.startswith(UNKNOWN)}
    heap = [f"-Xms{options.heap}", f"-Xmx{options.heap}"]
    flags = [*(options.jvm or FAST_START), *heap]
    try:
        if options.users:
            server.run_for_users(server.Folder(options.users), known, flags)
        else:
            server.run_for_parent(known, flags, options.pidfile)
    except NodeError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        sys.stderr.flush()
        os._exit(1)  # threads of a half-started node would keep the process


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m detector.node", allow_abbrev=False)
    parser.add_argument("-V", "-Vv", "--version", action="version", version=f"Version: {VERSION}")
    parser.add_argument("-E", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-p", dest="pidfile", type=Path, default=Path(os.devnull))
    parser.add_argument("--users", type=Path, metavar="FOLDER")
    parser.add_argument("--heap", default="512m")
    parser.add_argument("--jvm", action="append", metavar="FLAG")
    return parser


if __name__ == "__main__":
    main()
