"""The dead man's switch, heard by a server on loopback."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from detector import cli, packaged
from detector.cli.heartbeat import Beating, Heartbeat
from detector.errors import Unavailable
from detector.model import Gap, RunRecord, Window
from detector.run.cycle import Report
from tests.builders import NOW

SECRET = "/ping/c2VjcmV0?rid=hush"  # noqa: S105 - nobody's
RULE = packaged.find("rules") / "interactive_shell_in_container.yaml"
SHELL = "8d3d0794-c776-476b-8674-ee2e685f6470"
WINDOW = Window(NOW - timedelta(minutes=6), NOW)
FAILED: dict[str, Any] = {"status": "failed", "error": "the cluster said no"}
HOLED: dict[str, Any] = {"gaps": (Gap("a", WINDOW, "an index refused"),)}
WARNED: dict[str, Any] = {"status": "partial failure", "warnings": ("reached max_signals",)}


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


class Server:
    """Notes the paths it is asked for; answers with `status` after `seconds`."""

    def __init__(self, status: int = 200, seconds: float = 0) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                time.sleep(seconds)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}{SECRET}"


@contextmanager
def serving(**how: Any) -> Iterator[Server]:
    server = Server(**how)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def run(rule_id: str, **changes: Any) -> RunRecord:
    basic: dict[str, Any] = {"status": "succeeded", "kind": "live", "name": rule_id, "started": NOW}
    return RunRecord("run-1", rule_id, window=WINDOW, **basic | changes)


def cycle(*runs: RunRecord) -> Report:
    return Report(NOW, len(runs), runs, 5)


def heart(url: str, warn: Callable[[str], None] = lambda _: None, **how: Any) -> Heartbeat:
    return Heartbeat(url, warn, lambda: {"a", "b"}, **how)


@pytest.mark.parametrize(
    ("cycles", "calls"),
    [
        ([cycle(run("a"), run("b"))], 1),
        ([cycle(run("a", **WARNED))], 1),
        ([cycle()], 0),
        ([cycle(run("a"), run("b", **FAILED))], 0),
        ([cycle(run("a"), run("a", kind="catch-up", **FAILED))], 0),
        ([cycle(run("a", **HOLED))], 0),
        ([cycle(run("b", **FAILED)), cycle(run("a"))], 0),
        ([cycle(run("b", **FAILED)), cycle(run("a"), run("b"))], 1),
        ([cycle(run("gone", **FAILED)), cycle(run("a"))], 1),
        ([None, cycle(run("a"))], 1),
        ([None, cycle(run("a"), run("b"))], 1),
    ],
)
def test_it_is_called_after_complete_cycles_only(cycles: list[Report | None], calls: int) -> None:
    with serving() as server:
        beating = heart(server.url)
        for report in cycles:
            if report is None:
                beating.cycle_failed()
            else:
                beating.cycle_finished(report)
        beating.close()
        assert server.asked == [SECRET] * calls


def test_a_slow_receiver_delays_no_cycle_and_calls_do_not_pile_up() -> None:
    with serving(seconds=0.3) as server:
        beating = heart(server.url)
        began = time.monotonic()
        for _ in range(50):
            beating.cycle_finished(cycle(run("a")))
        assert time.monotonic() - began < 0.2
        beating.close()
        assert 1 <= len(server.asked) <= 2


@pytest.mark.parametrize(
    ("how", "said"),
    [({"status": 404}, "404 was answered"), ({"seconds": 1.0}, "no answer in time")],
)
def test_a_failure_is_a_warning_that_does_not_show_the_address(
    how: dict[str, Any], said: str
) -> None:
    warnings: list[str] = []
    with serving(**how) as server:
        beating = heart(server.url, warnings.append, timeout=0.2)
        beating.cycle_finished(cycle(run("a")))
        beating.close()
    assert warnings == [f"the heartbeat did not arrive: {said}"]


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:9{SECRET}", f"http://hush.invalid{SECRET}", f"http://\x00{SECRET}"]
)
def test_nobody_there_is_a_warning_that_does_not_show_the_address(url: str) -> None:
    warnings: list[str] = []
    beating = heart(url, warnings.append)
    beating.cycle_finished(cycle(run("a")))
    beating.close()
    (warning,) = warnings
    assert "c2VjcmV0" not in warning
    assert "hush" not in warning


def test_the_log_hears_what_the_heartbeat_hears() -> None:
    heard: list[object] = []

    class Log:
        def cycle_finished(self, report: Report) -> None:
            heard.append(report)

        def cycle_failed(self, error: Exception) -> None:
            heard.append(error)

    with serving() as server:
        beating = heart(server.url)
        report, error = cycle(run("a")), Unavailable("away")
        both = Beating(Log(), beating)
        both.cycle_finished(report)
        both.cycle_failed(error)
        both.cycle_finished(report)
        beating.close()
        assert server.asked == [SECRET]
    assert heard == [report, error, report]


@pytest.mark.node
@pytest.mark.usefixtures("es")
@pytest.mark.parametrize(
    ("arguments", "calls"), [((), 1), (("--rule", SHELL), 0), (("--now", "now-1m"), 0)]
)
def test_once_calls_for_all_rules_and_now_only(
    arguments: tuple[str, ...],
    calls: int,
    node_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = ("--rules", str(RULE))
    with serving() as server:
        monkeypatch.setenv("DETECTOR_HEARTBEAT_URL", server.url)
        for command in (("setup",), ("once", *arguments)):
            result = CliRunner().invoke(cli.app, [*command, *rules, "--url", node_url])
            assert result.exit_code == 0, result.output
            assert "c2VjcmV0" not in result.output
        assert server.asked == [SECRET] * calls


@pytest.mark.node
@pytest.mark.usefixtures("es")
def test_the_daemon_calls_after_its_first_cycle_and_keeps_the_address(
    node_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CliRunner().invoke(cli.app, ["setup", "--url", node_url]).exit_code == 0
    with serving(status=500) as server:
        monkeypatch.setenv("DETECTOR_HEARTBEAT_URL", server.url)
        command = [sys.executable, "-m", "detector", "run", "--rules", str(RULE)]
        process = subprocess.Popen(
            [*command, "--url", node_url], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 30
        while not server.asked and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        try:
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
        assert server.asked == [SECRET]
    assert "the heartbeat did not arrive: 500 was answered" in err
    assert "c2VjcmV0" not in out + err
