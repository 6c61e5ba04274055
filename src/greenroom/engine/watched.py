"""The engine's end of the watcher, which stands in for control groups where this process may not make any.

`runtime/watcher.py` is the other end. It works in the prepared process, which has nothing else to do.
"""

from __future__ import annotations

from greenroom.engine.zygote import Zygote


class WatchedGroup:
    """One environment, limited by the prepared process that it was forked from."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self._pid = pid

    def add(self, pid: int) -> None:
        """Do nothing: what the environment starts is found."""

    def limit_memory(self, limit_bytes: int) -> None:
        """Begin to watch, with a ceiling for the process's own resident memory."""
        self._zygote.tell({"watch": self._pid, "limit_bytes": limit_bytes + self._zygote.baseline_bytes})

    def limit_cpu(self, share_us: int | None) -> None:
        """Limit CPU time per period."""
        self._zygote.tell({"limit": self._pid, "share_us": share_us})

    def freeze(self, frozen: bool) -> None:
        """Freeze the environment, or thaw it."""
        self._zygote.tell({"freeze": self._pid, "frozen": frozen})

    def throttled(self) -> int:
        """Return 0: the kernel does not throttle a stopped process."""
        return 0

    def out_of_memory(self) -> bool:
        """Return whether the watcher has killed it for its memory."""
        return self._pid in self._zygote.out_of_memory

    def peak_bytes(self) -> int:
        """Return 0: without a control group the kernel keeps no peak of a process that has ended."""
        return 0

    def remove(self) -> None:
        """Kill what is left of the environment, and forget it."""
        self._zygote.tell({"kill": self._pid})
        self._zygote.out_of_memory.discard(self._pid)
