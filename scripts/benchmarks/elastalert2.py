"""Run by ElastAlert2's own Python: its rules once over a span, in a pool of 10, without a wait.

`CONFIG START END [--no-writes]` -> `{"seconds", "matches"}`.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from elastalert.elastalert import ElastAlerter
from elastalert.util import ts_to_dt

POOL = 10


def main(config: str, start: str, end: str, *rest: str) -> None:
    engine = ElastAlerter(["--config", config])
    if "--no-writes" in rest:
        engine.writeback = lambda *_, **__: None

    def run(rule: dict[str, Any]) -> int:
        engine.thread_data.alerts_sent = 0
        return int(engine.run_rule(rule, ts_to_dt(end), ts_to_dt(start)))

    began = time.perf_counter()
    with ThreadPoolExecutor(POOL) as pool:
        matches = sum(pool.map(run, engine.rules))
    print(json.dumps({"seconds": time.perf_counter() - began, "matches": matches}))


if __name__ == "__main__":
    main(*sys.argv[1:])
