"""The engine's end of the watcher: a control group's stand-in where this process may not make any.

What it does is told in `runtime/watcher.py`; it works in the prepared process, which has nothing else to do.
"""

from __future__ import annotations

from greenroom.engine.zygote import Zygote


class WatchedGroup:
    """One environment, watched by the prepared process that it was forked from."""

    name = ""

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote
        self._pid = 0

    def add(self, pid: int) -> None:
        """Remember the environment."""
        self._pid = pid

    def limit_memory(self, limit_bytes: int) -> None:
        """Begin to watch, with a ceiling on the process's own resident memory."""
        self._zygote.tell({"watch": self._pid, "limit_bytes": limit_bytes + self._zygote.baseline_bytes})

    def limit_cpu(self, share_us: int | None) -> None:
        """Limit CPU time per period."""
        self._zygote.tell({"limit": self._pid, "share_us": share_us})

    def freeze(self, frozen: bool) -> None:
        """Make the environment stand still, or go on."""
        self._zygote.tell({"freeze": self._pid, "frozen": frozen})

    def throttled(self) -> int:
        """Nobody counts: a process that is stopped does not wait for CPU."""
        return 0

    def out_of_memory(self) -> bool:
        """Whether the watcher has killed it for its memory."""
        return self._pid in self._zygote.out_of_memory

    def peak_bytes(self) -> int:
        """Nobody counts for a process that has ended."""
        return 0

    def remove(self) -> None:
        """The environment's end is all that there is to remove."""
        self._zygote.out_of_memory.discard(self._pid)
