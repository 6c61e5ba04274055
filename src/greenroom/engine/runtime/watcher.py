"""CPU share and memory ceiling where control groups are out of reach: by stopping processes, and by looking.

Time is cut into periods of 20 ms. A process that has used its share of CPU in one is stopped until the next; use beyond
the share is taken from later shares, so that the average is right. Where the CPU time of another process can't be read
(macOS), the time that it runs counts as use. Once a period the watcher looks at memory and kills an environment over
its ceiling, a little later than the kernel would.

An environment is its process, and what that and all its threads have started, directly or not, in whichever session or
process group. What has lost its parent is found below the first process of the environment's tree; where there are no
namespaces, below the prepared process, which knows it from its last look, or ends it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PERIOD_S = 0.02
LATE_S = 0.0002
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CPUS = os.cpu_count() or 1
LOOKS = 20
"""How often the watcher looks for processes that were started while it looked."""


@dataclass
class Watched:
    """One environment: its limits, and where it is in its period. `members` are its processes at the last look."""

    members: tuple[int, ...]
    share_s: float | None = None
    limit_bytes: int = 0
    frozen: bool = False
    stopped: bool = False
    credit_s: float = 0.0
    used_s: float = 0.0
    begun: float = 0.0
    period_end: float = 0.0
    look_at: float = 0.0
    out_of_memory: bool = False


class Watcher:
    """Watches environments. Used by one thread.

    Args:
        holders: the first process of each environment's process tree, by the environment's own process; 0 where the
            environment has no tree of its own.
    """

    def __init__(self, holders: Mapping[int, int]) -> None:
        self._holders = holders
        self._watched: dict[int, Watched] = {}

    def add(self, pid: int, limit_bytes: int) -> None:
        """Watch an environment's memory; its CPU is not limited yet."""
        self._watched[pid] = Watched(limit_bytes=limit_bytes, members=(pid,))

    def limit_cpu(self, pid: int, share_us: int | None) -> None:
        """Limit an environment's CPU time in each period, or take the limit away."""
        if watched := self._watched.get(pid):
            watched.share_s = None if share_us is None else share_us / 1_000_000
            self._begin(pid, watched, time.monotonic())

    def freeze(self, pid: int, frozen: bool) -> None:
        """Freeze an environment, or thaw it."""
        if watched := self._watched.get(pid):
            watched.frozen = frozen
            if frozen:
                self._stop(pid, watched)
            else:
                watched.credit_s = 0.0
                self._begin(pid, watched, time.monotonic())

    def kill(self, pid: int) -> None:
        """Kill an environment with all its processes."""
        if holder := self._holders.get(pid):
            send_signal([holder, pid], signal.SIGKILL)
        elif watched := self._watched.get(pid):
            self._stop(pid, watched)
            send_signal(watched.members, signal.SIGKILL)

    def forget(self, pid: int) -> bool:
        """Stop watching an environment whose own process has ended, end the others, and return whether the watcher
        killed it for its memory."""
        watched = self._watched.get(pid)
        if holder := self._holders.get(pid):
            send_signal([holder], signal.SIGKILL)
        elif watched:
            self._look(pid, watched)
            send_signal(watched.members[1:], signal.SIGKILL)
        self._watched.pop(pid, None)
        return watched is not None and watched.out_of_memory

    def tick(self) -> float | None:
        """Do what is due; return the seconds until something is due again, or None if there is nothing to watch."""
        now = time.monotonic()
        due: float | None = None
        for pid, watched in self._watched.items():
            if watched.frozen:
                continue
            if now >= watched.period_end:
                self._begin(pid, watched, now)
                self._look_at_memory(pid, watched)
            elif watched.share_s is not None and not watched.stopped and now >= watched.look_at:
                left = watched.credit_s - (self._cpu_s(watched.members, now) - watched.used_s)
                if left <= LATE_S:
                    self._stop(pid, watched)
                    watched.look_at = watched.period_end
                else:
                    watched.look_at = now + left
            next_ = min(watched.look_at, watched.period_end)
            due = next_ if due is None else min(due, next_)
        return None if due is None else max(0.0, due - time.monotonic())

    def _begin(self, pid: int, watched: Watched, now: float) -> None:
        """Begin a period: credit the share, less what was used beyond earlier ones."""
        self._look(pid, watched)
        cpu_s = self._cpu_s(watched.members, now)
        watched.period_end = now + PERIOD_S
        if watched.share_s is None:
            watched.look_at = watched.period_end
        else:
            # The use of a process that has ended is no longer seen; a drop, and the rise after it, are not new use.
            most = (now - watched.begun) * CPUS
            spent = min(most, max(0.0, cpu_s - watched.used_s)) if watched.used_s else 0.0
            # Unused time is lost, as with the kernel's bandwidth control.
            watched.credit_s = min(0.0, watched.credit_s - spent) + watched.share_s
            watched.look_at = now + max(0.0, watched.credit_s)
        watched.used_s, watched.begun = cpu_s, now
        if watched.share_s is None or watched.credit_s > LATE_S:
            # Also if it should be running already: a process of its own that is stopped would wait for ever.
            watched.stopped = False
            send_signal(watched.members, signal.SIGCONT)

    def _stop(self, pid: int, watched: Watched) -> None:
        """Stop all processes, also those that are started meanwhile."""
        watched.stopped = True
        found: set[int] = set()
        for _ in range(LOOKS):
            self._look(pid, watched)
            new = set(watched.members) - found
            if not new:
                break
            send_signal(new, signal.SIGSTOP)
            found |= new

    def _look(self, pid: int, watched: Watched) -> None:
        """Find the processes of an environment."""
        holder = self._holders.get(pid, 0)
        if holder:
            watched.members = (pid, *descendants([pid]), *descendants([holder]))
        else:
            orphans = self._orphans(pid, watched)
            watched.members = (pid, *orphans, *descendants([pid, *orphans]))

    def _orphans(self, pid: int, watched: Watched) -> list[int]:
        """Return the processes that this one has adopted of an environment; end those of which nobody knows whose."""
        known = {member for each in self._watched.values() for member in each.members}
        adopted = [child for child in children(os.getpid()) if child not in self._holders]
        send_signal([child for child in adopted if child not in known], signal.SIGKILL)
        return [child for child in adopted if child != pid and child in watched.members]

    def _look_at_memory(self, pid: int, watched: Watched) -> None:
        used = memory_bytes(watched.members)
        if watched.limit_bytes and used > watched.limit_bytes:
            watched.out_of_memory = True
            self.kill(pid)

    @staticmethod
    def _cpu_s(pids: tuple[int, ...], now: float) -> float:
        """Return the CPU time that processes have used, with all their threads; `now` where it can't be read."""
        used = 0.0
        for pid in pids:
            try:
                # The clock of another process: what clock_getcpuclockid(3) computes on Linux.
                used += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                if pid == pids[0]:
                    return now
        return used


def children(pid: int) -> list[int]:
    """Return what any thread of a process has started and not lost; nothing where the kernel does not list it."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def descendants(pids: Iterable[int]) -> list[int]:
    """Return what processes have started, directly or not."""
    found: list[int] = []
    todo = list(pids)
    while todo:
        new = children(todo.pop())
        found += new
        todo += new
    return found


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, or, on macOS, which does not list what they start, to their groups."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.kill if sys.platform == "linux" else os.killpg)(pid, number)


def memory_bytes(pids: tuple[int, ...]) -> int:
    """Return the bytes that processes use; what several share counts once. 0 where it can't be read."""
    used = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            if len(pids) == 1:
                with open(f"/proc/{pid}/statm") as file:
                    used += int(file.read().split()[1]) * PAGE_BYTES
            else:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    used += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return used
