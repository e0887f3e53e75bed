"""The demo, as a newcomer types it: it shows the intrusion, ends, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.node, pytest.mark.slow]


REPORT = {
    "now",
    "rules",
    "alerts_created",
    "alerts_existing",
    "duration_ms",
    "runs",
    "url",
    "alerts_index",
}
ALERT = ["time", "severity", "rule", "host", "container", "reason"]


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "detector", "demo", "--events", "300", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,  # noqa: PLW1509 - the tests start no threads before
    )


def listen() -> None:
    """Hear Ctrl-C, also where whoever runs the tests has put them into the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def left_running(folder: Path) -> list[str]:
    """Command lines of other processes that work in or name `folder`."""
    left = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        if process.info["pid"] == os.getpid():
            continue
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words or process.info["cwd"] == str(folder):
            left.append(words)
    return left


def test_the_demo_shows_the_intrusion_twice_over_and_stops_its_node(tmp_path: Path) -> None:
    for _ in range(2):  # a second demo in the same folder shows fresh alerts again
        process = demo(tmp_path, "--json")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        report = json.loads(out)
        assert report["rules"] == 6
        assert report["alerts_created"] == 7
        assert set(report) == REPORT
        assert report["alerts_index"] == "alerts-detector-demo"
    assert left_running(tmp_path) == []


def test_the_demo_off_a_terminal_is_plain_text_that_names_every_step(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    out, err = demo(tmp_path, "--svg", str(picture)).communicate(timeout=120)
    assert "\x1b" not in out + err
    assert out.splitlines()[0].split() == ALERT
    assert out.count(" high ") >= 1
    assert len(out.rstrip().splitlines()) == 8
    assert "7 alerts created" in err
    assert "What next" in err
    assert picture.read_text().startswith("<svg")
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("moment", ["starting Elasticsearch", "indexing"])
def test_ctrl_c_leaves_nothing_running(tmp_path: Path, moment: str) -> None:
    process = demo(tmp_path)
    assert process.stderr is not None
    while moment not in (line := process.stderr.readline()):
        assert line, "the demo ended before it could be stopped"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out == ""
    assert left_running(tmp_path) == []
