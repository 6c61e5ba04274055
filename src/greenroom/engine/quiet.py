"""Quiet measurement: an invocation whose times somebody reads has its cores to itself, and it is known what was taken
from it.

`Cores` lets such invocations begin only while there are cores for them. `taken_ms` says afterwards for how long an
invocation was kept from running although its share of CPU allowed it: by other processes, or by the hypervisor.
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
"""In which a share of CPU is given (cgroup.PERIOD_US): how far the time spent waiting for it may be off."""

WAKING_MS = 0.3
"""What starting to run costs on a machine with nothing else to do, with room to spare."""

DISTURBED_SHARE = 0.05
"""An invocation that was kept from running for more than this share of its time is a disturbed one."""

STEAL_FIELD = 8
"""The column of /proc/stat: https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat"""


class Cores:
    """The cores that measured invocations share out among themselves, first come, first served.

    One core is left to everybody else (the platform, live traffic), where there is more than one.
    """

    def __init__(self, cpus: float) -> None:
        self._all = max(1, math.floor(cpus) - 1)
        self._free = self._all
        self._turn = threading.Condition()
        self._waiting: deque[object] = deque()

    def needed(self, vcpus: float) -> int:
        """How many cores a share of CPU takes: whole ones, since two on one core would disturb each other."""
        return min(self._all, math.ceil(vcpus))

    def take(self, count: int, timeout_s: float) -> bool:
        """Wait for cores; whether there were any in time. They are to be given back."""
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
        """Let others have the cores."""
        with self._turn:
            self._free += count
            self._turn.notify_all()


@dataclass(frozen=True)
class Usage:
    """What a process's threads have had and have waited for so far, in milliseconds: {thread: (CPU, waiting)}; how
    often its share was used up; and what the hypervisor took from the machine."""

    threads: Mapping[str, tuple[float, float]]
    throttled: int
    stolen_ms: float


def usage(pid: int, throttled: int) -> Usage | None:
    """Read it from the kernel; None where the kernel doesn't tell (macOS).

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
    """For how long an invocation was kept from running, in milliseconds; None if that is not worth a word.

    Waiting for the next period once the share is used up is the function's own; so is waiting for its other threads.
    Of the time stolen from the machine it bears as much as it used of the machine.

    Args:
        before, after: what the kernel said at the beginning and at the end.
        duration_ms: how long it took.
        vcpus: the CPU share that it has.
        cpus: what the machine has.
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
    # What it waited for while it was thawed is no part of its time.
    idle_ms = max(0.0, duration_ms - max((on_cpu for on_cpu, _ in spent), default=0.0))
    taken = min(max(0.0, waited_ms - own_ms) + stolen_ms, idle_ms)
    return taken if taken > max(unsure_ms, DISTURBED_SHARE * duration_ms) else None
