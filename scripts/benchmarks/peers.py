"""ElastAlert2 on the same node, after the same events, in turn with this engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from detector import folders
from detector.cli import wiring
from detector.errors import NodeError
from detector.run import backfill
from detector.run.backfill import WORKERS, Manner
from scripts.benchmarks import cycles
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.measured import Measured, interleaved, seconds

VERSION = "2.31.0"
PYTHONS = ("python3.12", "python3.13", "python3.14", "python3")
NAMED = "PEER_PYTHON"
DRIVER = Path(__file__).with_name("elastalert2.py")
AGAINST = f"ElastAlert2 {VERSION}"
SHARE = 1 / 15
"""A backfill takes at most this part of its time."""


def measure(lab: Lab) -> Iterator[Measured]:
    """A cycle without matches, in which it writes nothing, and a day of alerts, which it writes."""
    python = installed()
    rounds = min(2, lab.size.rounds)

    def its_cycle(number: int) -> float:
        end = lab.now - timedelta(hours=2) + timedelta(minutes=5 * number)
        config = _configured(lab, lab.size.cycle, "absent{}")
        return _run(python, config, end - timedelta(minutes=6), end, 0, "--no-writes")

    store, terms = lab.space()
    rules = lab.rules(lab.size.cycle, "absent{}")
    ours, theirs = interleaved(
        rounds,
        lambda number: seconds(cycles.cycle_at(lab, store, terms, rules, number)),
        its_cycle,
    )
    case = f"cycle of {lab.size.cycle:,} rules"
    yield Measured("elastalert2", case, ours, theirs, reach=1.0, against=AGAINST)
    lab.forget(store)
    yield from _measure_day(lab, python)


def _measure_day(lab: Lab, python: Path) -> Iterator[Measured]:
    count, expected = lab.size.tools, lab.size.tools * lab.size.events_of_a_tool

    def our_day(_: int) -> float:
        fresh, fresh_terms = lab.space()
        chosen = lab.rules(count, "tool{}")
        manner = Manner(workers=WORKERS)
        taken = seconds(
            lambda: backfill.run(
                fresh, chosen, lab.day, fresh_terms, clock=wiring.now, manner=manner
            )
        )
        lab.forget(fresh)
        return taken

    def its_day(_: int) -> float:
        config = _configured(lab, count, "tool{}")
        return _run(python, config, lab.day.start, lab.day.end, expected)

    ours, theirs = interleaved(1, our_day, its_day, warm=0)
    case = f"backfill of {expected:,} alerts"
    yield Measured("elastalert2", case, ours, theirs, reach=SHARE, against=AGAINST)


def installed() -> Path:
    """The Python of an environment that has it, made once beside what else is fetched.

    Raises `NodeError` where no Python is new enough.
    """
    home = folders.cache() / f"elastalert2-{VERSION}"
    python = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        subprocess.run([_new_enough(), "-m", "venv", str(home)], check=True)
        wanted = f"elastalert2=={VERSION}"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", wanted], check=True)
        ready.touch()
    return python


def _new_enough() -> str:
    asks = "import sys; sys.exit(sys.version_info < (3, 12))"
    for name in filter(None, (os.environ.get(NAMED), *PYTHONS)):
        try:
            if not subprocess.run([name, "-c", asks], check=False, capture_output=True).returncode:
                return name
        except FileNotFoundError:
            continue
    raise NodeError(
        "ElastAlert2 needs Python 3.12 or later, and there is none",
        hint=f"put one of {', '.join(PYTHONS)} on the PATH, or name one: {NAMED}=/path/to/python",
    )


def _configured(lab: Lab, count: int, names: str) -> Path:
    """Its configuration beside its rules: the same conditions in Lucene's syntax."""
    folder = lab.folder / f"elastalert2-{names.partition('{')[0]}"
    config = folder / "config.yaml"
    if config.exists():
        return config
    (folder / "rules").mkdir(parents=True)
    url = urlsplit(lab.url)
    settings = {
        "rules_folder": str(folder / "rules"),
        "run_every": {"minutes": 5},
        "buffer_time": {"days": 1},
        "es_host": url.hostname,
        "es_port": url.port,
        "writeback_index": f"elastalert-{folder.name}",
        "misfire_grace_time": 3600,
        "max_threads": 10,
    }
    config.write_text(json.dumps(settings))
    for number in range(count):
        rule = _rule(number, names.format(number))
        (folder / "rules" / f"rule{number}.yaml").write_text(json.dumps(rule))
    words = ["-m", "elastalert.create_index", "--config", str(config)]
    subprocess.run([str(installed()), *words], check=True, capture_output=True)
    return config


def _rule(number: int, program: str) -> dict[str, Any]:
    query = (
        "event.category:process AND _exists_:container.id AND event.type:start AND "
        f'event.action:(fork OR exec) AND process.name:("{program}" OR "{program}.real") AND '
        f'NOT process.args:("--version" OR "--help-{number}") AND NOT process.parent.name:pause'
    )
    return {
        "name": f"{program} in a container",
        "type": "any",
        "index": "logs-cloud_defend*",
        "timestamp_field": "event.ingested",
        "filter": [{"query": {"query_string": {"query": query}}}],
        "realert": {"minutes": 0},
        "alert": ["debug"],
    }


def _run(
    python: Path, config: Path, start: datetime, end: datetime, expected: int, *more: str
) -> float:
    words = [str(python), str(DRIVER), str(config), start.isoformat(), end.isoformat(), *more]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    said = json.loads(done.stdout.splitlines()[-1])
    if said["matches"] != expected:
        raise RuntimeError(f"ElastAlert2 found {said['matches']:,} of {expected:,}")
    return float(said["seconds"])
