"""The table of daemons, what was seen of it and a steady clock in, the table to write out.

Pure decisions. Whether a daemon lives is told by its beat alone: one that has not changed for a
period of the observer's own clock is gone. No clock of another machine is asked, so it does not
matter what they say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from detector.model import Leases, Member

LOOKS = 3
"""Per period: a dead daemon is noticed after one period and at most two looks."""
SURE = 3
"""Who can look at the table as often as this and hears nothing new of a member, is sure."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen of the table: each member's beat, and since when it is the same, in seconds.

    Only silence that was listened to counts: an observer that left out a look begins anew, since
    what kept it may have kept the others, too, as on a machine that stands still.
    A table that answers slowly is no absence: `looked` is when the last look had ended. Nor is it
    silence of the others, to whom it is as slow: they are given `SURE` times what looks take.
    """

    period: float
    beats: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    looked: float | None = None
    takes: float = 0.0

    def seeing(self, leases: Leases, now: float, began: float | None = None) -> Watch:
        """What is known by a look at `leases` that `began` then, by default `now`."""
        came = now if began is None else began
        away = self.looked is not None and came - self.looked >= 2 * self.period / LOOKS
        known = {} if away else self.beats
        beats = {}
        for member in leases.members:
            beat, since = known.get(member.id, (None, now))
            beats[member.id] = (member.beat, since if beat == member.beat else now)
        return replace(self, beats=beats, looked=now, takes=max(self.takes, now - came))

    def rested(self, began: float, now: float) -> Watch:
        """A look that `began` then has ended: from `now` on nobody looks."""
        return replace(self, looked=now, takes=max(now - began, self.takes / 2))

    def silent(self, now: float) -> frozenset[str]:
        """The members whose beat has been the same for a period, and longer than looks take."""
        least = max(self.period, SURE * self.takes)
        return frozenset(id_ for id_, (_, t) in self.beats.items() if now - t >= least)


def shard(rule_id: str, shards: int) -> int:
    """The shard a rule belongs to: the same on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(rule_id.encode("utf-8", "surrogatepass")).digest()) % (
        shards
    )


def group(rule_ids: Iterable[str], shards: int) -> str:
    """What daemons must have in common to divide rules among them.

    A rule that only one of two daemons knows, or shards that they count differently, would else be
    nobody's: while they differ, each does all of its own.
    """
    names = "\n".join(sorted(rule_ids)).encode("utf-8", "surrogatepass")
    return f"{shards}:{hashlib.sha256(names).hexdigest()[:12]}"


def renewed(leases: Leases, me: Member, gone: Collection[str], shards: int) -> Leases:
    """The table after `me` has told that it lives, without the members that are `gone`.

    It takes free shards up to its share and gives up what is more, one table at a time, so that
    all shards are held, by one member each, and no member of the group holds two more than another.
    """
    others = [m for m in leases.members if m.id != me.id and m.id not in gone]
    peers = [member for member in others if member.group == me.group]
    old = next((m for m in leases.members if m.id == me.id and m.group == me.group), None)
    held = _divided(old.shards if old else (), [peer.shards for peer in peers], shards)
    return replace(leases, members=(*others, replace(me, shards=held)))


def without(leases: Leases, id_: str) -> Leases:
    """The table after a member has left: what it held is free at once."""
    return replace(leases, members=tuple(m for m in leases.members if m.id != id_))


def _divided(
    own: Iterable[int], others: Collection[tuple[int, ...]], shards: int
) -> tuple[int, ...]:
    """What one member holds next, of what it and the others hold now."""
    taken = {number for held in others for number in held}
    mine = sorted(set(own) - taken)
    free = sorted(set(range(shards)) - taken - set(mine))
    least, more = divmod(shards, len(others) + 1)
    most = least + (more > 0)
    owed = sum(max(0, least - len(held)) for held in others)
    while len(mine) > most or (len(mine) > least and owed > len(free)):
        free.append(mine.pop())
    while free and (len(mine) < least or (len(mine) < most and len(free) > owed)):
        mine.append(free.pop(0))
    return tuple(sorted(mine))
