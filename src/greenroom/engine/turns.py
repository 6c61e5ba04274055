"""Who gets which environment next: an idle one of the same function version, or leave to start one.

Starts are limited by cores: a hundred at once would all be late. Who has to wait for a start takes an environment that
becomes idle meanwhile. What stands idle is bounded too: per function version, in number, in memory.
"""

from __future__ import annotations

import math
import os
import resource
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from greenroom.engine.environment import Environment

Key = tuple[str, str, str, str]

MAX_AGE_S = 5 * 3_600
"""No environment is used for longer: its credentials are for six hours. Lambda replaces its own every few hours."""

DESCRIPTORS = 65_536
"""How many open files this process asks for: an environment takes two to twelve."""

IDLE_PER_CORE = 128
"""An idle environment is frozen: it takes memory and descriptors, but no time."""

DESCRIPTORS_EACH, DESCRIPTORS_ELSE = 12, 512
"""What an environment takes at most, and what is kept for connections and files of this process."""


@dataclass(frozen=True)
class Bounds:
    """How many environments may start at once, and how many may stand idle."""

    starts: int
    idle_each: int
    idle_all: int
    idle_mb: int


class ClosedError(Exception):
    """The engine ends: there are no more environments."""


class _Ticket:
    """One who waits for an environment of a function version, or for a turn to start one."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.environment: Environment | None = None
        self.refused = False
        self.called = threading.Event()


class Turns:
    """The idle environments, and those who wait for one. All methods may be called by many threads."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._idle: dict[Key, list[Environment]] = {}  # each in the order in which they became idle
        self._idle_count = self._idle_mb = 0
        self._waiting: deque[_Ticket] = deque()
        self._starting = 0
        self._closed = False

    def take(self, key: Key) -> Environment | None:
        """Return an idle environment; or None, when it is this caller's turn to start one and then call `started`.

        Raises ClosedError.
        """
        with self._lock:
            if self._closed:
                raise ClosedError
            if same := self._idle.get(key):
                return self._remove(same[-1])
            if self._starting < self._bounds.starts and not self._waiting:
                self._starting += 1
                return None
            ticket = _Ticket(key)
            self._waiting.append(ticket)
        ticket.called.wait()
        if ticket.refused:
            raise ClosedError
        return ticket.environment

    def started(self) -> None:
        """Let the next one start, now that an environment is ready, has failed, or takes its time."""
        with self._lock:
            self._starting -= 1
            if self._waiting and self._starting < self._bounds.starts:
                self._starting += 1
                self._waiting.popleft().called.set()

    def put(self, environment: Environment) -> list[Environment]:
        """Give an environment to the first who waits for one, or keep it; return those that are too many now."""
        with self._lock:
            if self._closed:
                return [environment]
            for ticket in self._waiting:
                if ticket.key == environment.key:
                    self._waiting.remove(ticket)
                    ticket.environment = environment
                    ticket.called.set()
                    return []
            self._idle.setdefault(environment.key, []).append(environment)
            self._idle_count += 1
            self._idle_mb += environment.used_mb
            return self._surplus(environment.key)

    def remove_unused(self, idle_s: float) -> list[Environment]:
        """Take away and return the environments that have stood idle for too long, or are too old."""
        now = time.monotonic()
        with self._lock:
            every = [each for same in self._idle.values() for each in same]
            old = [each for each in every if each.idle_since < now - idle_s or each.born < now - MAX_AGE_S]
            return [self._remove(each) for each in old]

    def idle(self) -> list[Environment]:
        """Return the idle environments."""
        with self._lock:
            return [each for same in self._idle.values() for each in same]

    def close(self) -> list[Environment]:
        """Send all who wait away; return the idle environments."""
        with self._lock:
            self._closed = True
            idle = [each for same in self._idle.values() for each in same]
            self._idle.clear()
            while self._waiting:
                ticket = self._waiting.popleft()
                ticket.refused = True
                ticket.called.set()
        return idle

    def _remove(self, environment: Environment) -> Environment:
        same = self._idle[environment.key]
        same.remove(environment)
        if not same:
            del self._idle[environment.key]
        self._idle_count -= 1
        self._idle_mb -= environment.used_mb
        return environment

    def _surplus(self, key: Key) -> list[Environment]:
        """Take away what is over the bounds: first of the same version, then whatever has been idle for longest."""
        surplus = []
        while len(self._idle.get(key, ())) > self._bounds.idle_each:
            surplus.append(self._remove(self._idle[key][0]))
        while self._idle_count > self._bounds.idle_all or (
            self._idle_mb > self._bounds.idle_mb and self._idle_count > 1
        ):
            oldest = min((same[0] for same in self._idle.values()), key=lambda each: each.idle_since)
            surplus.append(self._remove(oldest))
        return surplus


def bounds_here(cpus: float) -> Bounds:
    """Return what this machine is good for."""
    cores = math.ceil(cpus)
    descriptors = raise_descriptor_limit()
    memory_mb = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20
    return Bounds(
        starts=2 * cores,
        idle_each=max(4, 4 * cores),
        idle_all=max(1, min(IDLE_PER_CORE * cores, (descriptors - DESCRIPTORS_ELSE) // DESCRIPTORS_EACH)),
        idle_mb=memory_mb // 4,
    )


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files as far as it may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (DESCRIPTORS, 10_240):  # macOS takes no more than the second, whatever its hard limit says
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if limit <= soft:
            break
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return limit
    return soft
