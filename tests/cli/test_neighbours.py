"""Which daemons of this machine have certainly ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from detector.cli import neighbours
from detector.model import Member

ME = neighbours.me()

pytestmark = pytest.mark.skipif(not ME.place, reason="the system does not tell")


def beside(pid: object, place: str = ME.place) -> Member:
    return Member(f"host:{pid}:abcd", 1, "g", place=place)


def test_every_process_has_a_name_of_its_own_and_shares_the_place() -> None:
    script = "from detector.cli import neighbours; me = neighbours.me(); print(me.id, me.place)"
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    id_, place = shown.stdout.decode().split()
    assert id_ != ME.id
    assert neighbours.me().id != ME.id
    assert place == ME.place
    assert neighbours.ended(replace(ME, id=id_), ME), "it has ended"


def test_what_lives_has_not_ended() -> None:
    assert not neighbours.ended(ME, ME)
    assert not neighbours.ended(beside(os.getppid()), ME)
    assert not neighbours.ended(beside(1), ME), "another user's"


@pytest.mark.parametrize("pid", ["", "x", 10**30], ids=str)
def test_a_name_without_a_number_tells_nothing(pid: object) -> None:
    assert not neighbours.ended(beside(pid), ME)
    assert not neighbours.ended(Member("name", 1, "g", place=ME.place), ME)


def test_of_other_machines_nothing_is_known() -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          check=True, capture_output=True)  # fmt: skip
    pid = int(gone.stdout)
    assert neighbours.ended(beside(pid), ME)
    assert not neighbours.ended(beside(pid, "elsewhere"), ME)
    assert not neighbours.ended(beside(pid, ""), replace(ME, place=""))
