"""Calls of the kernel that Python has no function for, by libc. Standard library only."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
"""Kinds of namespaces: https://man7.org/linux/man-pages/man2/clone.2.html"""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call a function of libc; raise OSError if it fails."""
    values = [value.encode() if isinstance(value, str) else value for value in arguments]
    if getattr(libc, name)(*values) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def die_with_parent(signal_number: int) -> None:
    """End this process when its parent ends, where the kernel can. A change of user takes that back."""
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def close_all_but(*kept: int) -> None:
    """Close every descriptor above the standard ones but these."""
    begin = 3
    for descriptor in sorted(each for each in kept if each >= begin):
        os.closerange(begin, descriptor)
        begin = descriptor + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
