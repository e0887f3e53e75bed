"""Who holds which shard: decisions on lists, no clock and no store."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.model import Leases, Member
from detector.run import lease
from detector.run.lease import Watch


def member(id_: str, *shards: int, beat: int = 1, group: str = "g") -> Member:
    return Member(id_, beat, group, shards)


def held(leases: Leases) -> dict[str, tuple[int, ...]]:
    return {member.id: member.shards for member in leases.members}


@pytest.mark.parametrize(
    ("shards", "others", "own", "expected"),
    [
        (1, [], (), (0,)),
        (1, [(0,)], (), ()),
        (1, [()], (0,), (0,)),
        (3, [], (), (0, 1, 2)),
        (3, [()], (0, 1, 2), (0, 1)),
        (3, [(), ()], (0, 1, 2), (0,)),
        (3, [(0,), (1,)], (), (2,)),
        (3, [(0,)], (1,), (1, 2)),
        (4, [(0, 1), (2, 3)], (), ()),
        (4, [(0, 1), ()], (2, 3), (2,)),
        (4, [(0, 1), ()], (2,), (2,)),
        (2, [(0,), (1,)], (), ()),
        (2, [(0,)], (0, 1), (1,)),
    ],
    ids=str,
)
def test_a_member_takes_its_share(
    shards: int, others: list[tuple[int, ...]], own: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    table = Leases((member("me", *own), *(member(f"o{n}", *o) for n, o in enumerate(others))))
    after = lease.renewed(table, member("me", beat=2), (), shards)
    assert held(after)["me"] == expected
    assert len(after.members) == len(others) + 1


def test_a_member_that_is_gone_leaves_its_shards() -> None:
    table = Leases((member("dead", 0), member("me")), version=(7, 1))
    after = lease.renewed(table, member("me", beat=2), {"dead"}, 1)
    assert held(after) == {"me": (0,)}
    assert after.version == (7, 1)


def test_other_rules_or_another_count_of_shards_are_another_group() -> None:
    assert lease.group(["a", "b"], 1) == lease.group(["b", "a"], 1)
    assert len({lease.group(["a"], 1), lease.group(["a", "b"], 1), lease.group(["a"], 2)}) == 3
    table = Leases((member("a", 0, group="old"),))
    after = lease.renewed(table, member("b", group="new"), (), 1)
    assert held(after) == {"a": (0,), "b": (0,)}
    joined = lease.renewed(after, member("a", beat=2, group="new"), (), 1)
    assert held(joined) == {"a": (), "b": (0,)}


def test_a_member_that_leaves_frees_its_shards() -> None:
    table = lease.without(Leases((member("a", 0), member("b"))), "a")
    assert held(lease.renewed(table, member("b"), (), 1)) == {"b": (0,)}


def beats(**beats: int) -> Leases:
    return Leases(tuple(member(id_, beat=beat) for id_, beat in beats.items()))


def test_a_beat_that_does_not_change_is_silence() -> None:
    watch = Watch(5.0).seeing(beats(a=1, b=1), now=100.0).seeing(beats(a=1, b=1), now=102.0)
    watch = watch.seeing(beats(a=2, b=1), now=104.9)
    assert watch.silent(104.9) == set()
    assert watch.silent(105.0) == {"b"}
    assert watch.silent(109.9) == {"a", "b"}


def test_a_member_is_watched_from_the_first_look_on() -> None:
    assert Watch(5.0).seeing(beats(b=7), 200.0).silent(204.9) == set()


def test_silence_while_nobody_listened_does_not_count() -> None:
    watch = Watch(5.0).seeing(beats(a=1), now=100.0).seeing(beats(a=1), now=106.0)
    assert watch.silent(106.0) == set()
    assert watch.seeing(beats(a=1), now=109.0).silent(111.0) == {"a"}


def test_a_look_that_was_left_out_says_nothing_of_others() -> None:
    """Two daemons of one machine that stands still: neither has beaten, and neither is dead."""
    watch = Watch(5.0).seeing(beats(a=1), now=100.0).seeing(beats(a=1), now=101.7)
    watch = watch.seeing(beats(a=1), now=105.1)
    assert watch.silent(105.1) == set()
    assert watch.seeing(beats(a=1), now=106.8).silent(110.1) == {"a"}


def test_a_slow_table_is_no_absence_and_others_are_given_longer() -> None:
    watch = Watch(5.0)
    for began in (100.0, 104.0, 108.0):  # each reads for 2 s and writes for 2 s
        watch = watch.seeing(beats(a=1), now=began + 2, began=began).rested(began, began + 4)
    assert watch.silent(113.9) == set()
    assert watch.silent(114.0) == {"a"}, "12 s after it was first seen"
    stopped = watch.seeing(beats(a=1), now=119.0, began=117.0)
    assert stopped.silent(119.0) == set(), "nobody listened from 112 to 117"


def test_a_machine_that_stands_still_within_a_look_makes_nobody_look_dead() -> None:
    watch = Watch(5.0).seeing(beats(a=1), now=100.0).rested(100.0, 100.0)
    assert watch.seeing(beats(a=1), now=105.5, began=101.7).silent(105.5) == set()


def test_one_look_that_took_long_is_soon_forgotten() -> None:
    watch = Watch(5.0).seeing(beats(a=1), now=1_000.0, began=0.0).rested(0.0, 1_000.0)
    for now in range(1_002, 1_026, 2):
        watch = watch.seeing(beats(a=1), now=now).rested(now, now)
    assert watch.silent(1_026.0) == {"a"}


def test_the_shard_of_a_rule_never_changes() -> None:
    ids = [f"rule-{n}" for n in range(1_000)]
    assert [lease.shard(id_, 7) for id_ in ids[:8]] == [2, 5, 2, 3, 5, 5, 2, 2]
    counts = Counter(lease.shard(id_, 7) for id_ in ids)
    assert set(counts) == set(range(7))
    assert min(counts.values()) > 100
    assert lease.shard("\ud800", 3) in range(3)


@given(
    shards=st.integers(1, 12),
    steps=st.lists(st.sampled_from(["join", "die", "leave"]), max_size=12),
    seed=st.integers(0, 1_000),
)
def test_all_shards_are_held_once_and_evenly_whoever_comes_and_goes(
    shards: int, steps: list[str], seed: int
) -> None:
    chance, table, alive, dead = random.Random(seed), Leases(), ["m0"], set[str]()
    for number, step in enumerate(["", *steps], 1):
        if step == "join":
            alive.append(f"m{number}")
        elif step and len(alive) > 1:
            id_ = alive.pop(chance.randrange(len(alive)))
            if step == "leave":
                table = lease.without(table, id_)
            dead.add(id_)
        for _ in range(chance.randrange(3)):  # not all has settled when the next thing happens
            table = lease.renewed(table, member(chance.choice(alive)), dead, shards)
            assert_no_shard_is_held_twice(table)
    for _ in range(4):
        chance.shuffle(alive)
        for id_ in alive:
            table = lease.renewed(table, member(id_), dead, shards)
            assert_no_shard_is_held_twice(table)
    settled = held(table)
    assert set(settled) == set(alive)
    assert sorted(number for own in settled.values() for number in own) == list(range(shards))
    counts = [len(own) for own in settled.values()]
    assert max(counts) - min(counts) <= 1
    for id_ in alive:
        again = lease.renewed(table, member(id_), dead, shards)
        assert held(again) == settled, "what is even stays where it is"


def assert_no_shard_is_held_twice(table: Leases) -> None:
    counts = Counter(number for own in held(table).values() for number in own)
    assert not counts or max(counts.values()) == 1
