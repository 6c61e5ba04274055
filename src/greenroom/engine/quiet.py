"""Quiet measurement: a measured invocation has its cores to itself, and its report says what was taken from it.

`Cores` lets such invocations begin only while there are cores for them. `taken_ms` computes afterwards how long other
processes or the hypervisor kept an invocation from running although its share of CPU allowed it.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PERIOD_MS = 20.0
"""The period in which a share of CPU is given (cgroup.PERIOD_US): the error of the time spent waiting for it."""

WAKING_MS = 0.3
"""An upper bound for what starting to run costs on an idle machine."""

DISTURBED_SHARE = 0.05
"""An invocation that was kept from running for more than this share of its time is disturbed."""

STEAL_FIELD = 8
"""The column of /proc/stat: https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat"""


class Cores:
    """The cores for measured invocations, first come, first served.

    Where there is more than one, one is left for everything else: the platform, live traffic.
    """

    def __init__(self, cpus: float) -> None:
        self._all = max(1, math.floor(cpus) - 1)
        self._free = self._all
        self._turn = threading.Condition()
        self._waiting: deque[object] = deque()

    def needed(self, vcpus: float) -> int:
        """Return how many cores a share of CPU takes: whole ones, since two on one core would disturb each other."""
        return min(self._all, math.ceil(vcpus))

    def take(self, count: int, timeout_s: float) -> bool:
        """Wait for cores; return whether there were any in time. The caller gives them back."""
        ticket = object()
        with self._turn:
            self._waiting.append(ticket)
            free = self._turn.wait_for(lambda: self._waiting[0] is ticket and self._free >= count, timeout_s)
            self._waiting.remove(ticket)
            if free:
                self._free -= count
            self._turn.notify_all()
            return free

    def give_back(self, count: int) -> None:
        """Make cores available again."""
        with self._turn:
            self._free += count
            self._turn.notify_all()


@dataclass(frozen=True)
class Usage:
    """What the kernel has counted so far.

    `threads` has the milliseconds on a CPU and waiting for one of each thread of a process, `throttled` how often its
    share was used up, `stolen_ms` what the hypervisor took from the machine.
    """

    threads: Mapping[str, tuple[float, float]]
    throttled: int
    stolen_ms: float


def usage(pid: int, throttled: int) -> Usage | None:
    """Read a process's usage from the kernel; None where the kernel has none (macOS).

    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    threads = {}
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            on_cpu, waiting, _ = (thread / "schedstat").read_text().split()
            threads[thread.name] = int(on_cpu) / 1e6, int(waiting) / 1e6
        with Path("/proc/stat").open() as file:
            stolen = int(file.readline().split()[STEAL_FIELD])
    except (OSError, ValueError, IndexError):
        return None
    return Usage(threads, throttled, stolen * 1_000 / os.sysconf("SC_CLK_TCK"))


def taken_ms(before: Usage, after: Usage, duration_ms: float, vcpus: float, cpus: float) -> float | None:
    """Return how long an invocation was kept from running, in milliseconds; None below the noise threshold.

    Waiting for the next period once the share is used up is the function's own doing; so is waiting for its other
    threads. Stolen time is attributed in proportion to the CPU that it used.

    Args:
        before, after: what the kernel had counted at the beginning and at the end.
        duration_ms: how long it took.
        vcpus: its share of CPU.
        cpus: how many CPUs the machine has.
    """
    spent = [
        (on_cpu - had, waiting - waited)
        for thread, (on_cpu, waiting) in after.threads.items()
        for had, waited in [before.threads.get(thread, (0.0, 0.0))]
    ]
    on_cpu_ms, waited_ms = (math.fsum(column) for column in zip(*spent, strict=True)) if spent else (0.0, 0.0)
    busy = sum(on_cpu > WAKING_MS for on_cpu, _ in spent)
    own_ms, unsure_ms = max(0.0, busy / min(vcpus, cpus) - 1) * on_cpu_ms if busy > 1 else 0.0, WAKING_MS
    if after.throttled != before.throttled:
        own_ms, unsure_ms = max(own_ms, on_cpu_ms * max(0.0, 1 / vcpus - 1)), PERIOD_MS
    stolen_ms = (after.stolen_ms - before.stolen_ms) * min(1.0, on_cpu_ms / max(duration_ms, WAKING_MS) / cpus)
    # Waiting while it was thawed is not part of its time.
    idle_ms = max(0.0, duration_ms - max((on_cpu for on_cpu, _ in spent), default=0.0))
    taken = min(max(0.0, waited_ms - own_ms) + stolen_ms, idle_ms)
    return taken if taken > max(unsure_ms, DISTURBED_SHARE * duration_ms) else None
