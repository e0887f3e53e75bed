"""A process in, how it is called among daemons out; whether one beside it has ended."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
from pathlib import Path

from detector.model import Member

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")


def me() -> Member:
    """A name that no other process ever had, and the place where its number means something."""
    host = platform.node() or "unknown"
    return Member(f"{host}:{os.getpid()}:{secrets.token_hex(4)}", 0, "", place=_place(host))


def ended(member: Member, beside: Member) -> bool:
    """Whether `member` certainly lives no more: a process of the same place that is not there.

    A daemon that was killed and started again need not wait for its own lease to run out.
    """
    if not beside.place or member.place != beside.place:
        return False
    try:
        os.kill(int(member.id.split(":")[-2]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, IndexError, OSError, OverflowError):
        return False
    return False


def _place(host: str) -> str:
    """The same for processes that share a running kernel and its numbers; empty where untold."""
    try:
        boot, namespace = BOOT.read_text(), NAMESPACE.readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{host} {boot} {namespace}".encode()).hexdigest()[:16]
