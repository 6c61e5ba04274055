"""CPU share and memory ceiling where control groups are out of reach: by stopping processes, and by looking.

Time is cut into periods of 20 ms. A process that has used its share of CPU in one is stopped until the next; what it
used too much is taken from its later shares, so that the average is right. Where the CPU time of another process can't
be read (macOS), running is taken for using. Memory is looked at once a period: a process over its ceiling is killed,
a little later than the kernel would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass

PERIOD_S = 0.02
LATE_S = 0.0002
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watched:
    """One environment: its limits, and where it is in its period."""

    share_s: float | None = None
    limit_bytes: int = 0
    frozen: bool = False
    stopped: bool = False
    credit_s: float = 0.0
    used_s: float = 0.0
    period_end: float = 0.0
    look_at: float = 0.0
    peak_bytes: int = 0
    out_of_memory: bool = False


class Watcher:
    """Watches environments, each the leader of a process group of its own. Used by one thread."""

    def __init__(self) -> None:
        self._watched: dict[int, Watched] = {}

    def add(self, pid: int, limit_bytes: int) -> None:
        """Watch an environment's memory; its CPU is not limited yet."""
        self._watched[pid] = Watched(limit_bytes=limit_bytes)

    def limit_cpu(self, pid: int, share_us: int | None) -> None:
        """Limit an environment's CPU time in each period, or take the limit away."""
        if watched := self._watched.get(pid):
            watched.share_s = None if share_us is None else share_us / 1_000_000
            self._begin(pid, watched, time.monotonic())

    def freeze(self, pid: int, frozen: bool) -> None:
        """Make an environment stand still, or let it go on."""
        if watched := self._watched.get(pid):
            watched.frozen = frozen
            if frozen:
                self._signal(pid, signal.SIGSTOP)
                watched.stopped = True
            else:
                watched.credit_s = 0.0
                self._begin(pid, watched, time.monotonic())

    def forget(self, pid: int) -> bool:
        """Stop watching an environment that has ended; whether it was for its memory."""
        watched = self._watched.pop(pid, None)
        return watched is not None and watched.out_of_memory

    def tick(self) -> float | None:
        """Do what is due; return the seconds until the next time, or None if there is nothing to watch."""
        now = time.monotonic()
        due: float | None = None
        for pid, watched in self._watched.items():
            if watched.frozen:
                continue
            if now >= watched.period_end:
                self._look_at_memory(pid, watched)
                self._begin(pid, watched, now)
            elif watched.share_s is not None and not watched.stopped and now >= watched.look_at:
                left = watched.credit_s - (self._cpu_s(pid, now) - watched.used_s)
                if left <= LATE_S:
                    self._signal(pid, signal.SIGSTOP)
                    watched.stopped = True
                    watched.look_at = watched.period_end
                else:
                    watched.look_at = now + left
            next_ = min(watched.look_at, watched.period_end)
            due = next_ if due is None else min(due, next_)
        return None if due is None else max(0.0, due - time.monotonic())

    def _begin(self, pid: int, watched: Watched, now: float) -> None:
        """Begin a period: the share is credited, what was used too much stays owed."""
        cpu_s = self._cpu_s(pid, now)
        watched.period_end = now + PERIOD_S
        if watched.share_s is None:
            watched.look_at = watched.period_end
        else:
            spent = cpu_s - watched.used_s if watched.used_s else 0.0
            # Unused time is not saved up, as with the kernel's bandwidth control.
            watched.credit_s = min(0.0, watched.credit_s - spent) + watched.share_s
            watched.look_at = now + max(0.0, watched.credit_s)
        watched.used_s = cpu_s
        if watched.stopped and (watched.share_s is None or watched.credit_s > LATE_S):
            watched.stopped = False
            self._signal(pid, signal.SIGCONT)

    def _look_at_memory(self, pid: int, watched: Watched) -> None:
        try:
            with open(f"/proc/{pid}/statm") as file:
                used = int(file.read().split()[1]) * PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return
        watched.peak_bytes = max(watched.peak_bytes, used)
        if watched.limit_bytes and used > watched.limit_bytes:
            watched.out_of_memory = True
            self._signal(pid, signal.SIGKILL)

    @staticmethod
    def _cpu_s(pid: int, now: float) -> float:
        """CPU time that a process has used, all its threads together; where it can't be read, the time that passes."""
        try:
            # The clock of another process: clock_getcpuclockid(3), which Linux computes just so.
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            return now

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended; its exit is on its way
            os.killpg(pid, number)
