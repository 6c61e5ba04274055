"""One execution environment's life: init, invocations one after the other, frozen between them, and its end.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from greenroom.engine import quiet
from greenroom.engine.cgroup import Group, isolation, quota_us, vcpus
from greenroom.engine.conversation import Conversation, Event, Link, Message, Violation
from greenroom.engine.frames import FrameLink
from greenroom.engine.logs import Output
from greenroom.engine.runtime_api import RuntimeApi
from greenroom.engine.spec import FunctionSpec, LogEvent
from greenroom.engine.watched import WatchedGroup
from greenroom.engine.zygote import Zygote, ZygoteFailed

MIN_MEMORY_BYTES = 16 * 1024 * 1024
RUNTIME_API_PORT = 9001
"""Where Lambda's own Runtime API listens, as recorded on AWS (the variable AWS_LAMBDA_RUNTIME_API)."""


def _has_pidfd() -> bool:
    """Return whether this system tells of the end of a process that is not a child: Linux 5.3 and later."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


HAS_PIDFD = _has_pidfd()

LOG_PIECES = 16
"""How often the log pipe is read at the end: its content at the most, and no longer than that if more comes."""

SIGNALS = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "floating point exception",
}

Ending = Literal["result", "error", "too_large", "init_error", "timeout", "exit"]


ENDINGS: Mapping[str, Ending] = {
    "next": "result",
    "result": "result",
    "error": "error",
    "too_large": "too_large",
    "init_error": "init_error",
    "not_started": "exit",
}
"""How a message of a runtime ends what is waited for."""


@dataclass(frozen=True)
class Outcome:
    """How an init phase or an invocation ended, and how long it took.

    An invocation takes until the runtime asks for the next one; `afterwards` is how it ended if it never did, although
    it had answered. `disturbed_ms` is how long others kept a measured invocation from running; None below the noise
    threshold.
    """

    ending: Ending
    payload: bytes = b""
    duration_ms: float = 0.0
    error_type: str | None = None
    disturbed_ms: float | None = None
    afterwards: Outcome | None = None


@dataclass(frozen=True)
class Setup:
    """What an environment is set up with: code, layers, variables, and how it is kept apart and limited.

    `task` and `opt` are folders of the code store. `jailed` gives it a root of its own (Linux namespaces). `programs`
    are the command lines of its runtime, of which the first one that exists is started; None for Python, which goes on
    in the process that was forked. `own_network` says whether it has a network of its own, with ports that nobody else
    uses.
    """

    task: Path
    opt: Path | None
    environment: Mapping[str, str]
    jailed: bool
    programs: Sequence[Sequence[str]] | None = None
    own_network: bool = False
    runtime_root: str = "/var/runtime"


class Environment:
    """One execution environment. Used by one thread at a time.

    `reusable` says whether it has asked for another invocation since the last one, `used_mb` what memory it has used
    as far as `max_memory_used_mb` has been asked.
    """

    def __init__(self, spec: FunctionSpec, zygote: Zygote, setup: Setup) -> None:
        """Fork the environment and let it begin its init phase; `wait_until_ready` comes next."""
        self.spec = spec
        self.key = spec.key
        self.used_mb = 0
        now = datetime.now(UTC)
        self.log_stream = f"{now:%Y/%m/%d}/[{spec.version}]{uuid4().hex}"
        self.born = self.idle_since = time.monotonic()
        self.reusable = False
        self._exit_known = False
        self._closing = threading.Lock()
        self._zygote = zygote
        # The group does not count what is shared with the prepared process, but a Python function uses that as well.
        self._shared_bytes = zygote.baseline_bytes if setup.programs is None else 0
        self._output = Output()
        with contextlib.ExitStack() as undo:
            prepared = zygote.take()
            self.pid = prepared.pid
            self._group: Group = prepared.group or WatchedGroup(zygote, prepared.pid)
            undo.callback(self._group.remove)
            undo.callback(self._kill)
            channel, theirs = socket.socketpair()
            undo.callback(channel.close)
            self._log, log_write = os.pipe()
            undo.callback(os.close, self._log)
            os.set_blocking(self._log, False)
            self._group.limit_memory(max(MIN_MEMORY_BYTES, spec.memory_mb * 1024 * 1024 - self._shared_bytes))
            self._begin = time.perf_counter()
            try:
                prepared.run(self._request(setup), theirs.fileno(), log_write)
            except OSError as error:
                raise ZygoteFailed(f"the prepared environment has ended: {error}") from error
            finally:
                theirs.close()
                os.close(log_write)
            if setup.programs is None:
                self._link: Link = FrameLink(channel, Conversation())
            else:
                self._link = RuntimeApi(channel, Conversation(), process=os.pidfd_open(self.pid) if HAS_PIDFD else None)
            undo.pop_all()

    def _request(self, setup: Setup) -> dict[str, Any]:
        """Return what the prepared process needs to know to fork the environment."""
        task_root = "/var/task" if setup.jailed else str(setup.task)
        opt_root = ("/opt" if setup.jailed else str(setup.opt)) if setup.opt else None
        return {
            "task": setup.task.name,
            "opt": setup.opt.name if setup.opt else None,
            "task_root": task_root,
            "opt_root": opt_root,
            "runtime_root": setup.runtime_root,
            "handler": self.spec.handler,
            "programs": setup.programs,
            "keeps_control": not HAS_PIDFD,
            "port": RUNTIME_API_PORT if setup.own_network else 0,
            "ephemeral_storage_mb": self.spec.ephemeral_storage_mb,
            "environment": {
                **setup.environment,
                "LAMBDA_TASK_ROOT": task_root,
                "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            },
        }

    def wait_until_ready(self, timeout_s: float) -> Outcome:
        """Wait for the end of the init phase, in which CPU is not limited. "result" means that it went well.

        After a timeout it can be called again, for an init phase that may take longer than it was waited for.
        """
        try:
            outcome = self._wait(self._begin, timeout_s)
        except Violation as violation:
            return _broken(violation, self._begin)
        if outcome.ending == "result":
            self._group.limit_cpu(quota_us(self.spec.memory_mb, isolation().cpus))
        return outcome

    def invoke(self, event: Event, timeout_s: float, *, measured: bool = False) -> Outcome:
        """Run one invocation; if it is measured, find out what disturbed it.

        Args:
            event: the invocation.
            timeout_s: what is left of the function's time.
            measured: whether to read from the kernel how long others kept it from running.
        """
        self.reusable = False
        before = quiet.usage(self.pid, self._group.throttled()) if measured else None
        begin = time.perf_counter()
        try:
            self._link.deliver(event)
            self._group.freeze(False)
            begin = time.perf_counter()
            outcome = self._answer(begin, timeout_s)
        except Violation as violation:
            return _broken(violation, begin)
        if before is not None and (after := quiet.usage(self.pid, self._group.throttled())) is not None:
            taken_ms = quiet.taken_ms(before, after, outcome.duration_ms, vcpus(self.spec.memory_mb), isolation().cpus)
            outcome = replace(outcome, disturbed_ms=taken_ms)
        return outcome

    def _answer(self, begin: float, timeout_s: float) -> Outcome:
        """Wait for an answer, and for the runtime to ask for more work: until then the invocation goes on.

        "The duration is the total of all invocation time [...] and is not calculated until the function and all
        extensions have finished executing": https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
        """
        answer = self._wait(begin, timeout_s)
        if answer.ending in ("timeout", "exit"):
            return answer
        end = self._wait(begin, timeout_s)
        # A runtime that does not ask for the next invocation must not get one: answers would be mixed up.
        self.reusable = end.ending == "result"
        return replace(answer, duration_ms=end.duration_ms, afterwards=None if self.reusable else end)

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
        for _ in range(LOG_PIECES):
            if not self._drain():
                break
        return self._output.take(int(time.time() * 1_000))

    def max_memory_used_mb(self) -> int:
        """Return the most memory that the environment has used since it started."""
        if self._group.out_of_memory():
            return self.spec.memory_mb
        if (own := self._group.peak_bytes()) > 0:
            peak = (own + self._shared_bytes) // 1024  # as the ceiling counts it
        else:
            peak = self._peak_of_process_kb()
        self.used_mb = min(self.spec.memory_mb, -(-peak // 1024))
        return self.used_mb

    def _peak_of_process_kb(self) -> int:
        """Return what the kernel says of the process itself, without what it has started; 0 if it has ended."""
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{self.pid}/status").read_text()
            return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return 0

    def close(self) -> None:
        """End the environment and everything it started. May be called by several threads, and again."""
        if not self._closing.acquire(blocking=False):
            return
        self._kill()
        self._group.remove()
        if not self._exit_known:
            self._zygote.exit_code(self.pid, 2.0)
        self._link.close()
        with contextlib.suppress(OSError):
            os.close(self._log)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)

    def _wait(self, begin: float, timeout_s: float) -> Outcome:
        """Send what is unsent, and receive until a message ends the init phase, the invocation, or the time after it.

        The log is drained meanwhile: a function whose log pipe is full would read nothing, and answer nothing. Raises
        Violation.
        """
        log_open = True
        while True:
            if (message := self._link.take()) is not None:
                return _outcome(message, begin)
            left_ms = (begin + timeout_s - time.perf_counter()) * 1_000
            if left_ms <= 0:
                return Outcome("timeout", duration_ms=timeout_s * 1_000)
            poll = select.poll()
            for descriptor, interest in self._link.interest():
                poll.register(descriptor, interest)
            if log_open:
                poll.register(self._log, select.POLLIN)
            ready = dict(poll.poll(left_ms))
            if self._log in ready and self._drain() == 0:
                log_open = False
            for descriptor, found in ready.items():
                if descriptor != self._log and not self._link.transfer(descriptor, found):
                    last = self._link.take()
                    return self._ended(begin) if last is None else _outcome(last, begin)

    def _drain(self) -> int | None:
        """Read from the log pipe; return how much: 0 if nobody can write there any more, None if nothing is there."""
        try:
            piece = os.read(self._log, 1 << 16)
        except BlockingIOError:
            return None
        self._output.add(piece)
        return len(piece)

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


def _outcome(message: Message, begin: float) -> Outcome:
    duration_ms = (time.perf_counter() - begin) * 1_000
    return Outcome(ENDINGS[message.kind], message.payload, duration_ms, message.error_type)


def _broken(violation: Violation, begin: float) -> Outcome:
    """Return how an environment ends whose runtime can't be believed."""
    duration_ms = (time.perf_counter() - begin) * 1_000
    return Outcome("exit", f"{violation}".encode(), duration_ms, "Runtime.ExitError")
