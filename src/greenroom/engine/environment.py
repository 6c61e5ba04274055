"""One execution environment's life: init, invocations one after the other, frozen between them, and its end.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from greenroom.engine import quiet
from greenroom.engine.cgroup import Group, isolation, new_group, quota_us, vcpus
from greenroom.engine.spec import FunctionSpec, LogEvent
from greenroom.engine.watched import WatchedGroup
from greenroom.engine.zygote import Zygote

MAX_RESPONSE_BYTES = 6_291_556
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB, as the service's own message says."""

MIN_MEMORY_BYTES = 16 * 1024 * 1024
MAX_LOG_EVENT_BYTES = 262_144
MAX_LOG_BYTES = 16 * 1024 * 1024
LENGTHS = struct.Struct("!II")

SIGNALS = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "floating point exception",
}

Ending = Literal["result", "error", "init_error", "timeout", "exit"]


@dataclass(frozen=True)
class Outcome:
    """How an init phase or an invocation ended, and how long it took.

    `disturbed_ms` is how long others kept a measured invocation from running; None below the noise threshold.
    """

    ending: Ending
    payload: bytes = b""
    duration_ms: float = 0.0
    error_type: str | None = None
    disturbed_ms: float | None = None


@dataclass(frozen=True)
class Setup:
    """What an environment is set up with: code, layers, variables, and how it is kept apart and limited.

    `task` and `opt` are folders of the code store. `jailed` gives it a root of its own (Linux namespaces), and
    `control_groups` the kernel's limits instead of the watcher's.
    """

    task: Path
    opt: Path | None
    environment: Mapping[str, str]
    jailed: bool
    control_groups: bool


class Environment:
    """One execution environment. Used by one thread at a time.

    `reusable` says whether it has asked for another invocation since the last one.
    """

    def __init__(self, spec: FunctionSpec, zygote: Zygote, setup: Setup) -> None:
        """Fork the environment and let it begin its init phase; `wait_until_ready` comes next."""
        self.spec = spec
        now = datetime.now(UTC)
        self.log_stream = f"{now:%Y/%m/%d}/[{spec.version}]{uuid4().hex}"
        self.idle_since = 0.0
        self.reusable = False
        self._exit_known = False
        self._zygote = zygote
        self._log_bytes = b""
        self._unsent = memoryview(b"")
        self._received = bytearray()
        with contextlib.ExitStack() as undo:
            self._group: Group = new_group() if setup.control_groups else WatchedGroup(zygote)
            undo.callback(self._group.remove)
            self._channel, theirs = socket.socketpair()
            undo.callback(self._channel.close)
            self._log, log_write = os.pipe()
            undo.callback(os.close, self._log)
            os.set_blocking(self._log, False)
            self._begin = time.perf_counter()
            try:
                self.pid = zygote.fork(self._request(setup), theirs.fileno(), log_write)
            finally:
                theirs.close()
                os.close(log_write)
            undo.pop_all()
        self._group.add(self.pid)
        # The group does not count what is shared with the prepared process, but the function uses that as well.
        ceiling = spec.memory_mb * 1024 * 1024 - zygote.baseline_bytes
        self._group.limit_memory(max(MIN_MEMORY_BYTES, ceiling))
        self._channel.sendall(b"!")

    def _request(self, setup: Setup) -> dict[str, Any]:
        """Return what the prepared process needs to know to fork the environment."""
        task_root = "/var/task" if setup.jailed else str(setup.task)
        opt_root = ("/opt" if setup.jailed else str(setup.opt)) if setup.opt else None
        return {
            "group": self._group.name,
            "task": setup.task.name,
            "opt": setup.opt.name if setup.opt else None,
            "task_root": task_root,
            "opt_root": opt_root,
            "handler": self.spec.handler,
            "ephemeral_storage_mb": self.spec.ephemeral_storage_mb,
            "environment": {
                **setup.environment,
                "LAMBDA_TASK_ROOT": task_root,
                "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            },
        }

    def wait_until_ready(self, timeout_s: float) -> Outcome:
        """Wait for the end of the init phase, in which CPU is not limited. "result" means that it went well."""
        outcome = self._wait(self._begin, timeout_s)
        if outcome.ending == "result":
            self._group.limit_cpu(quota_us(self.spec.memory_mb, isolation().cpus))
        return outcome

    def invoke(self, payload: bytes, header: Mapping[str, Any], timeout_s: float, *, measured: bool = False) -> Outcome:
        """Run one invocation; if it is measured, find out what disturbed it.

        Args:
            payload: the event's JSON.
            header: what the context is made from.
            timeout_s: what is left of the function's time.
            measured: whether to read from the kernel how long others kept it from running.
        """
        self.reusable = False
        before = quiet.usage(self.pid, self._group.throttled()) if measured else None
        self._group.freeze(False)
        head = json.dumps(header).encode()
        begin = time.perf_counter()
        self._unsent = memoryview(LENGTHS.pack(len(head), len(payload)) + head + payload)
        outcome = self._wait(begin, timeout_s)
        if before is not None and (after := quiet.usage(self.pid, self._group.throttled())) is not None:
            taken_ms = quiet.taken_ms(before, after, outcome.duration_ms, vcpus(self.spec.memory_mb), isolation().cpus)
            outcome = replace(outcome, disturbed_ms=taken_ms)
        if outcome.ending in ("result", "error"):
            # A runtime that does not ask for the next invocation must not get one: answers would be mixed up.
            self.reusable = self._wait(begin, timeout_s).ending == "result"
            if len(outcome.payload) > MAX_RESPONSE_BYTES:
                return _too_large(outcome)
        return outcome

    def stand_still(self) -> None:
        """Freeze the environment until its next invocation."""
        self.idle_since = time.monotonic()
        self._group.freeze(True)

    @property
    def has_ended(self) -> bool:
        """Return whether it, or the process it was forked from, died while it was frozen."""
        return self._zygote.has_ended(self.pid)

    def take_log(self) -> list[LogEvent]:
        """Return the log events that the function has written since the last call."""
        with contextlib.suppress(BlockingIOError):
            while len(self._log_bytes) < MAX_LOG_BYTES and (piece := os.read(self._log, 1 << 16)):
                self._log_bytes += piece
        now_ms = int(time.time() * 1_000)
        # awslambdaric ends the lines of one message with a carriage return, so that they stay one event.
        lines, self._log_bytes = self._log_bytes.split(b"\n"), b""
        if lines and not lines[-1]:
            lines.pop()
        return [
            LogEvent(now_ms, line[:MAX_LOG_EVENT_BYTES].decode(errors="replace").replace("\r", "\n")) for line in lines
        ]

    def max_memory_used_mb(self) -> int:
        """Return the most memory that the environment has used since it started."""
        if self._group.out_of_memory():
            return self.spec.memory_mb
        # The group leaves out what is shared with the prepared process, and the process what it has started.
        peak = self._group.peak_bytes() // 1024
        with contextlib.suppress(OSError, StopIteration):  # it may have ended
            status = Path(f"/proc/{self.pid}/status").read_text()
            peak = max(peak, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")))
        return min(self.spec.memory_mb, -(-peak // 1024))

    def close(self) -> None:
        """End the environment and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)
        self._group.remove()
        if not self._exit_known:
            self._zygote.exit_code(self.pid, 2.0)
        self._channel.close()
        with contextlib.suppress(OSError):
            os.close(self._log)

    def _wait(self, begin: float, timeout_s: float) -> Outcome:
        """Send what is unsent, and read frames until one ends init or the invocation.

        The log is drained meanwhile: a function whose log pipe is full would read nothing, and answer nothing.
        """
        poll = select.poll()
        poll.register(self._log, select.POLLIN)
        while True:
            if (outcome := self._next_frame(begin)) is not None:
                return outcome
            left_ms = (begin + timeout_s - time.perf_counter()) * 1_000
            if left_ms <= 0:
                return Outcome("timeout", duration_ms=timeout_s * 1_000)
            poll.register(self._channel, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            ready = dict(poll.poll(left_ms))
            if self._log in ready and not self._drain():
                poll.unregister(self._log)
            if (found := ready.get(self._channel.fileno())) and not self._transfer(found):
                return self._ended(begin)

    def _transfer(self, found: int) -> bool:
        """Send and receive what the channel is ready for; return whether the environment is still there."""
        try:
            if self._unsent and found & select.POLLOUT:
                self._unsent = self._unsent[self._channel.send(self._unsent, socket.MSG_DONTWAIT) :]
            if found & ~select.POLLOUT:
                piece = self._channel.recv(1 << 20)
                self._received += piece
                return bool(piece)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _next_frame(self, begin: float) -> Outcome | None:
        if len(self._received) < LENGTHS.size:
            return None
        head, size = LENGTHS.unpack_from(self._received)
        whole = LENGTHS.size + head + size
        if len(self._received) < whole:
            return None
        duration_ms = (time.perf_counter() - begin) * 1_000
        header = json.loads(self._received[LENGTHS.size : LENGTHS.size + head])
        payload = bytes(self._received[LENGTHS.size + head : whole])
        del self._received[:whole]
        return Outcome("result" if header["kind"] == "next" else header["kind"], payload, duration_ms)

    def _drain(self) -> bool:
        """Read what is in the log pipe; return whether anybody may still write there."""
        try:
            piece = os.read(self._log, 1 << 16)
        except BlockingIOError:
            return True
        if len(self._log_bytes) < MAX_LOG_BYTES:
            self._log_bytes += piece
        return bool(piece)

    def _ended(self, begin: float) -> Outcome:
        duration_ms = (time.perf_counter() - begin) * 1_000
        code = self._zygote.exit_code(self.pid, 2.0)
        self._exit_known = code is not None
        if self._group.out_of_memory():
            return Outcome("exit", b"signal: killed", duration_ms, "Runtime.OutOfMemory")
        if code is not None and code < 0:
            name = SIGNALS.get(signal.Signals(-code), signal.Signals(-code).name)
            return Outcome("exit", f"signal: {name}".encode(), duration_ms, "Runtime.ExitError")
        if code:
            return Outcome("exit", f"exit status {code}".encode(), duration_ms, "Runtime.ExitError")
        return Outcome("exit", b"", duration_ms, "Runtime.ExitError")


def _too_large(outcome: Outcome) -> Outcome:
    message = (
        f"Response payload size ({len(outcome.payload)} bytes) exceeded maximum allowed payload size "
        f"({MAX_RESPONSE_BYTES} bytes)."
    )
    body = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return replace(outcome, ending="error", payload=json.dumps(body).encode(), error_type=body["errorType"])
