"""Do work on a stranger's input in a process of its own, with bounds on its time and memory.

A parser that is given the right input takes minutes, or all memory, or crashes. Here that ends a process that nothing
else depends on, and is reported. The process is forked: it has everything imported already, which a new interpreter in
Lambda would take half a second for, and the pipe needs no shared memory, which Lambda has not got. The work must not
use what other threads of this process hold, such as a connection or a log.

macOS does not enforce the bound on memory.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
MAX_ANSWER_BYTES = 4 * MIB
DONE, AT, FAILED = b"=", b"@", b"!"
OUT_OF_MEMORY = 3

At = Callable[[str], None]
"""What the work calls with what it begins to look at, so that an end can be told with a place."""


@dataclass(frozen=True)
class Bounds:
    """What the work may take. `memory_bytes` comes on top of what this process has."""

    cpu_s: int
    wall_s: float
    memory_bytes: int


class Ended(Exception):
    """The work was ended by a bound or by a crash: `why` it was, and `place`, what it had begun to look at."""

    def __init__(self, why: str, place: str | None) -> None:
        super().__init__(why)
        self.why = why
        self.place = place


def run(work: Callable[[At], bytes], bounds: Bounds) -> bytes:
    """Do some work in a process of its own, and return its answer.

    Raises:
        Ended: it broke a bound, or it crashed.
        RuntimeError: it raised an exception; the message has its traceback.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python warns of a fork next to other threads. The work takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reader)
        _work(work, bounds, writer)
    os.close(writer)
    ended = False
    try:
        parts, in_time = _received(reader, time.monotonic() + bounds.wall_s)
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ended = True
    finally:
        os.close(reader)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    place = parts.get(AT, b"").decode() or None
    if not in_time:
        raise Ended(f"takes more than {bounds.wall_s:g} s", place)
    if status:
        raise Ended(_why(status, bounds), place)
    if FAILED in parts:
        raise RuntimeError(parts[FAILED].decode())
    return parts[DONE]


def _received(reader: int, deadline: float) -> tuple[dict[bytes, bytes], bool]:
    """Read what the work says until it ends: the last of each kind, and whether it was in time and short enough."""
    said: dict[bytes, bytes] = {}
    rest = b""
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (chunk := os.read(reader, 1 << 16)):
            return said, True
        *lines, rest = (rest + chunk).split(b"\n")
        said.update((line[:1], bytes.fromhex(line[1:].decode())) for line in lines)
        if len(rest) > MAX_ANSWER_BYTES:
            break
    return said, False


def _why(status: int, bounds: Bounds) -> str:
    if status == -signal.SIGXCPU:
        return f"takes more than {bounds.cpu_s} s of processor time"
    if status == OUT_OF_MEMORY:
        return f"takes more than {bounds.memory_bytes // MIB:,} MiB of memory"
    if status == -signal.SIGKILL:
        return "takes more time or memory than there is"
    if status < 0:
        return f"crashes Python's own parser ({signal.Signals(-status).name})"
    return f"ends the process that checks it (exit code {status})"


def _work(work: Callable[[At], bytes], bounds: Bounds, writer: int) -> None:
    """Do the work, in the new process, which ends here. No handler of the old one and no buffer is left to run."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        # Looking for cycles in millions of lists takes longer than making them, and this process ends soon.
        gc.disable()
        _limit(bounds)
        try:
            kind, said = DONE, work(lambda place: _say(writer, AT, place.encode("utf-8", "backslashreplace")))
        except MemoryError:
            raise
        except Exception:
            kind, said = FAILED, traceback.format_exc().encode("utf-8", "backslashreplace")
        _say(writer, kind, said)
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _say(writer: int, kind: bytes, said: bytes) -> None:
    left = memoryview(kind + said.hex().encode() + b"\n")
    while left:
        left = left[os.write(writer, left) :]


def _limit(bounds: Bounds) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, bounds.cpu_s)
    # Where there is no /proc, as on macOS, the kernel does not enforce this bound either.
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + bounds.memory_bytes)


def _lower(kind: int, value: int) -> None:
    """Set a limit, or keep the one that there is if that is lower. A process over its CPU limit is told so first."""
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or hard > value:
        resource.setrlimit(kind, (value, hard))
