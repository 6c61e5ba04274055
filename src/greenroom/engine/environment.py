"""One execution environment's life: init, invocations one after the other, standing still between them, and its end.

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
    """How init or an invocation came out of an environment, and how long that took.

    `disturbed_ms` is for how long a measured invocation was kept from running by others, if that is worth a word.
    """

    ending: Ending
    payload: bytes = b""
    duration_ms: float = 0.0
    error_type: str | None = None
    disturbed_ms: float | None = None


class Environment:
    """One execution environment. Used by one thread at a time."""

    def __init__(
        self,
        spec: FunctionSpec,
        zygote: Zygote,
        *,
        task: Path,
        opt: Path | None,
        jailed: bool,
        control_groups: bool,
        environment: Mapping[str, str],
    ) -> None:
        """Fork the environment and let it begin its init phase; `wait_until_ready` comes next."""
        self.spec = spec
        now = datetime.now(UTC)
        self.log_stream = f"{now:%Y/%m/%d}/[{spec.version}]{uuid4().hex}"
        self.idle_since = 0.0
        self._exit_known = False
        self._zygote = zygote
        self._log_bytes = b""
        self._received = bytearray()
        self._group: Group = new_group() if control_groups else WatchedGroup(zygote)
        self._channel, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        os.set_blocking(log_read, False)
        self._log = log_read
        task_root = "/var/task" if jailed else str(task)
        opt_root = ("/opt" if jailed else str(opt)) if opt else None
        request = {
            "group": self._group.name,
            "task": task.name,
            "opt": opt.name if opt else None,
            "task_root": task_root,
            "opt_root": opt_root,
            "handler": spec.handler,
            "ephemeral_storage_mb": spec.ephemeral_storage_mb,
            "environment": {
                **environment,
                "LAMBDA_TASK_ROOT": task_root,
                "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            },
        }
        self._begin = time.perf_counter()
        try:
            self.pid = zygote.fork(request, theirs.fileno(), log_write)
        finally:
            theirs.close()
            os.close(log_write)
        self._group.add(self.pid)
        # What is shared with the prepared process is not counted in the group, but is the function's use as well.
        ceiling = spec.memory_mb * 1024 * 1024 - zygote.baseline_bytes
        self._group.limit_memory(max(MIN_MEMORY_BYTES, ceiling))
        self._channel.sendall(b"!")

    def wait_until_ready(self, timeout_s: float) -> Outcome:
        """Wait for the end of the init phase, which has all of the CPU. "result" means that it went well."""
        outcome = self._wait(self._begin, timeout_s)
        if outcome.ending == "result":
            self._group.limit_cpu(quota_us(self.spec.memory_mb, isolation().cpus))
        return outcome

    def invoke(self, payload: bytes, header: Mapping[str, Any], timeout_s: float, *, measured: bool = False) -> Outcome:
        """Run one invocation, and look at what disturbs it if it is measured.

        Anything else than "result" and "error" means that the environment is gone.
        """
        before = quiet.usage(self.pid, self._group.throttled()) if measured else None
        self._group.freeze(False)
        head = json.dumps(header).encode()
        begin = time.perf_counter()
        try:
            self._channel.sendall(LENGTHS.pack(len(head), len(payload)) + head + payload)
        except OSError:
            return self._ended(begin)
        outcome = self._wait(begin, timeout_s)
        if before is not None and (after := quiet.usage(self.pid, self._group.throttled())) is not None:
            taken_ms = quiet.taken_ms(before, after, outcome.duration_ms, vcpus(self.spec.memory_mb), isolation().cpus)
            outcome = replace(outcome, disturbed_ms=taken_ms)
        if outcome.ending in ("result", "error"):
            self._wait(begin, timeout_s)  # until the runtime asks for the next invocation
            if len(outcome.payload) > MAX_RESPONSE_BYTES:
                return _too_large(outcome)
        return outcome

    def stand_still(self) -> None:
        """Freeze the environment until its next invocation."""
        self.idle_since = time.monotonic()
        self._group.freeze(True)

    @property
    def has_ended(self) -> bool:
        """Whether it was killed while it stood still, or what it was forked from."""
        return self._zygote.has_ended(self.pid)

    def take_log(self) -> list[LogEvent]:
        """Return the log events that the function has written since the last time."""
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
        """The most memory the environment has used since it started."""
        if self._group.out_of_memory():
            return self.spec.memory_mb
        # The group does not count what is shared with the prepared process; the process not what it has started.
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
        """Read frames until one that ends init or the invocation; drain the log meanwhile, so that nobody blocks."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._log, select.POLLIN)
        while True:
            if (outcome := self._next_frame(begin)) is not None:
                return outcome
            left_ms = (begin + timeout_s - time.perf_counter()) * 1_000
            if left_ms <= 0:
                return Outcome("timeout", duration_ms=timeout_s * 1_000)
            ready = {descriptor for descriptor, _ in poll.poll(left_ms)}
            if self._log in ready and not self._drain():
                poll.unregister(self._log)
            if self._channel.fileno() in ready:
                try:
                    piece = self._channel.recv(1 << 20)
                except OSError:
                    piece = b""
                if not piece:
                    return self._ended(begin)
                self._received += piece

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
        """Read what is in the log pipe; whether anybody may still write there."""
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
