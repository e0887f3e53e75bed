"""Who is told of leases can fail; the leases are kept all the same."""

from __future__ import annotations

import time
from datetime import timedelta

from detector.model import Member
from detector.run.holder import Holder, Standing
from detector.store.memory import MemoryLeases


class Broken:
    def standing_changed(self, standing: Standing) -> None:
        raise OSError(5, str(standing))

    def leases_failed(self, error: Exception) -> None:
        raise OSError(5, str(error))


def test_an_observer_that_raises_costs_no_lease() -> None:
    table, period = MemoryLeases(), timedelta(seconds=0.3)
    holder = Holder(table, Member("one", 0, ""), Broken(), period=period)
    holder.begin(["a"])
    before = table.read().members[0].beat
    time.sleep(0.6)
    assert table.read().members[0].beat > before
    assert holder.owns("a")
    holder.release()
    assert table.read().members == ()
