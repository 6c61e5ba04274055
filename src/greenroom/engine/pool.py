"""The engine's face: gives each invocation an execution environment, warm or new, and reports how it ended."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from greenroom.engine import capability, cgroup, interpreters, result
from greenroom.engine.code import CodeStore, brings_own_sdk, built_for_other_python, imports_sdk
from greenroom.engine.conversation import Event
from greenroom.engine.environment import Environment, Outcome, Setup
from greenroom.engine.interpreters import Runner
from greenroom.engine.quiet import Cores
from greenroom.engine.report import PlatformLog
from greenroom.engine.spec import FunctionSpec, Invocation, InvokeResult, LogEvent
from greenroom.engine.turns import MAX_AGE_S, Bounds, ClosedError, Key, Turns, bounds_here
from greenroom.engine.zygote import Layout, Zygote, folder_for_functions

REAP_EVERY_S = 5.0
"""How often unused environments are looked for."""

CORES_WAIT_S = 4.0
"""How long a measured invocation waits for cores of its own before it is throttled: its caller tries again."""

START_HOLD_S = 1.0
"""After this an init phase counts no longer as one of those that may run at once: it may be waiting for something."""


LIBRARIES = "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"


@dataclass(frozen=True)
class Limits:
    """What an engine allows.

    `concurrency` is how many invocations may run at once; more are throttled. After `idle_s` seconds an unused
    environment is ended: AWS does not say how long it waits. An init phase that takes longer than `init_s` is begun
    again, within the function's own time:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
    What may start at once and stand idle depends on the machine, unless `bounds` says it.
    """

    concurrency: int = 100
    idle_s: float = 600.0
    init_s: float = 10.0
    bounds: Bounds | None = None


@dataclass(frozen=True)
class Sources:
    """What a function version's environments are made from.

    Its code, what it sees as /opt, whether the SDK is imported before it starts, and warnings for its log.
    """

    task: Path
    opt: Path | None
    sdk: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Begun:
    """An environment for an invocation: warm, or new with the outcome of its init phase, and of a second one if that
    failed."""

    environment: Environment
    init: Outcome | None = None
    again: Outcome | None = None


@dataclass
class InvocationLog:
    """The log events of one invocation, in order: Lambda's own lines and the function's."""

    lines: PlatformLog
    events: list[LogEvent] = field(default_factory=list)

    def write(self, line: str | None) -> None:
        """Add one of Lambda's own lines, unless the function's system log level leaves it out."""
        if line is not None:
            self.events.append(LogEvent(int(time.time() * 1_000), f"{line}\n"))

    def write_init_report(self, phase: Literal["init", "invoke"], outcome: Outcome) -> None:
        """Add the line for an init phase that failed."""
        status, error_type = result.status(outcome), result.error_type(outcome)
        self.write(self.lines.init_report(phase, outcome.duration_ms, status, error_type))

    def write_ending(self, request_id: str, outcome: Outcome) -> None:
        """Add the line for a timeout or for a runtime that ended, if there is one, and the line END."""
        end = outcome.afterwards or outcome
        if end.ending == "timeout":
            self.write(self.lines.timed_out(request_id))
        elif end.ending == "exit":
            self.write(self.lines.exited(request_id, result.how_it_exited(end)))
        self.write(self.lines.end(request_id))


class Engine:
    """Runs Lambda functions in execution environments on this machine. All methods may be called by many threads.

    Args:
        data_dir: folder for unpacked code, this engine's alone; everything in it can be made again.
        environment: variables that every function gets in addition to its own, for example `AWS_ENDPOINT_URL`.
        limits: how much may run at once, and for how long.
        control_groups: limit by the kernel's control groups; by default if this process may make them.
        host_network: let functions use this machine's network, with all that listens on it, instead of one of their
            own that reaches the endpoint only.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        control_groups: bool | None = None,
        host_network: bool = False,
    ) -> None:
        self._environment = dict(environment or {})
        self._limits = limits or Limits()
        self._slots = threading.BoundedSemaphore(self._limits.concurrency)
        self._cores = Cores(cgroup.isolation().cpus)
        self._lock = threading.Lock()
        self._turns = Turns(self._limits.bounds or bounds_here(cgroup.isolation().cpus))
        self._busy: set[Environment] = set()
        self._sources: dict[Key, Sources] = {}
        self._starting = threading.Lock()
        self._zygotes: dict[tuple[str, bool, tuple[tuple[str, str], ...]], Zygote] = {}
        self._closed = threading.Event()
        self._jailed = cgroup.isolation().namespaces
        available = cgroup.isolation().limits != "watcher"
        self._control_groups = available if control_groups is None else control_groups and available
        cgroup.remove_leftovers()
        cgroup.take_weight()
        folder = folder_for_functions(data_dir, jailed=self._jailed)
        self._elsewhere = folder if folder != data_dir else None
        self._code = CodeStore(folder / "code")
        self._scratch = folder / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed engine has left
        self._layout = Layout(
            folder / "code",
            self._scratch,
            self._jailed,
            control_groups=self._control_groups,
            host_network=host_network,
            endpoint_port=_port_of(self._environment.get("AWS_ENDPOINT_URL", "")),
        )
        threading.Thread(target=self._reap, name="greenroom-reaper", daemon=True).start()

    def invoke(self, invocation: Invocation) -> InvokeResult:
        """Run one invocation and wait for its end.

        What the function does wrong is in the result; an exception means that the engine itself could not run it.
        """
        throttled = InvokeResult(b"", throttled=True)
        if self._closed.is_set() or not self._slots.acquire(blocking=False):
            return throttled
        cores = self._cores.needed(cgroup.vcpus(invocation.spec.memory_mb)) if invocation.measured else 0
        try:
            if cores and not self._cores.take(cores, CORES_WAIT_S):
                cores = 0
                return throttled
            return self._run(invocation)
        except Exception:
            if self._closed.is_set():  # what ended under way ended with the engine
                return throttled
            raise
        finally:
            self._cores.give_back(cores)
            self._slots.release()

    @property
    def environments(self) -> int:
        """Return how many execution environments there are, at work and standing still."""
        with self._lock:
            return len(self._busy) + len(self._turns.idle())

    def close(self) -> None:
        """End all environments. Invocations that are under way end with them."""
        self._closed.set()
        idle = self._turns.close()
        with self._lock:
            environments = [*self._busy, *idle]
        for environment in environments:
            environment.close()
        with self._starting:
            zygotes, self._zygotes = list(self._zygotes.values()), {}
        for zygote in zygotes:
            zygote.close()
        shutil.rmtree(self._elsewhere or self._scratch, ignore_errors=True)

    def _run(self, invocation: Invocation) -> InvokeResult:
        log = InvocationLog(PlatformLog(invocation.spec))
        begun = self._begin(invocation, log)
        kept = False
        try:
            found = self._serve(invocation, begun, log)
            kept = begun.environment.reusable
        finally:
            # Whatever went wrong, an environment that has not asked for more work does not go on.
            (self._give_back if kept else self._drop)(begun.environment)
        return found

    def _serve(self, invocation: Invocation, begun: Begun, log: InvocationLog) -> InvokeResult:
        """Run the handler, and write down how it went."""
        request_id, environment = invocation.request_id, begun.environment
        begin = len(log.events)
        log.write(log.lines.start(request_id))
        outcome = self._handle(invocation, begun)
        log.events += environment.take_log()
        log.write_ending(request_id, outcome)
        max_memory_used_mb = environment.max_memory_used_mb()
        payload, report = result.of_invocation(invocation, outcome, begun.init, max_memory_used_mb)
        log.write(log.lines.report(request_id, report))
        return InvokeResult(
            payload=payload,
            function_error=None if outcome.ending == "result" else "Unhandled",
            log_events=tuple(log.events),
            init_log_events=begin,
            log_stream=environment.log_stream,
            duration_ms=report.duration_ms,
            billed_duration_ms=report.billed_duration_ms,
            init_duration_ms=report.init_duration_ms,
            max_memory_used_mb=report.max_memory_used_mb,
            disturbed_ms=report.disturbed_ms,
            cold_start=begun.init is not None,
        )

    def _begin(self, invocation: Invocation, log: InvocationLog) -> Begun:
        """Take a warm environment, or start one; if its init fails start another, within the function's own time."""
        spec = invocation.spec
        if (warm := self._take(spec.key)) is not None:
            return Begun(warm)
        try:
            runner = interpreters.runner(spec.runtime)
            sources = self._sources_of(invocation, runner)
            log.write(log.lines.init_start(runner.runtime))
            for warning in sources.warnings:
                log.write(log.lines.warning(warning))
            environment = self._start(invocation, runner, sources)
            init = self._ready(environment, min(START_HOLD_S, self._limits.init_s), log)
        finally:
            self._turns.started()
        if init.ending == "timeout" and self._limits.init_s > START_HOLD_S:
            init = self._ready(environment, self._limits.init_s, log)
        if init.ending == "result":
            return Begun(environment, init)
        log.write_init_report("init", init)
        self._drop(environment)
        environment = self._start(invocation, runner, sources)
        again = self._ready(environment, float(spec.timeout_s), log)
        if again.ending != "result":
            log.write_init_report("invoke", again)
        return Begun(environment, init, again)

    def _ready(self, environment: Environment, timeout_s: float, log: InvocationLog) -> Outcome:
        """Wait for the end of an init phase."""
        try:
            outcome = environment.wait_until_ready(timeout_s)
            log.events += environment.take_log()
        except BaseException:
            self._drop(environment)
            raise
        return outcome

    @staticmethod
    def _handle(invocation: Invocation, begun: Begun) -> Outcome:
        """Run the handler, in the time that a second init has left of the function's own; a failed one leaves none."""
        again = begun.again
        if again is not None and again.ending != "result":
            return again
        spent_ms = again.duration_ms if again is not None else 0.0
        left_s = invocation.spec.timeout_s - spent_ms / 1_000
        event = Event(
            invocation.request_id,
            invocation.payload,
            invocation.invoked_function_arn,
            deadline_ms=int((time.time() + left_s) * 1_000),
            trace_id=invocation.trace_id or _new_trace_id(),
            client_context=invocation.client_context,
        )
        outcome = begun.environment.invoke(event, left_s, measured=invocation.measured)
        return outcome if again is None else replace(outcome, duration_ms=outcome.duration_ms + spent_ms)

    def _take(self, key: Key) -> Environment | None:
        """Return a warm environment; None when it is this thread's turn to start one."""
        while (environment := self._turns.take(key)) is not None:
            with self._lock:
                self._busy.add(environment)
            if not environment.has_ended and environment.born > time.monotonic() - MAX_AGE_S:
                return environment
            self._drop(environment)
        return None

    def _give_back(self, environment: Environment) -> None:
        try:
            environment.stand_still()
        except BaseException:
            self._drop(environment)
            raise
        with self._lock:
            self._busy.discard(environment)
        for surplus in self._turns.put(environment):
            surplus.close()

    def _drop(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
        environment.close()

    def _sources_of(self, invocation: Invocation, runner: Runner) -> Sources:
        spec = invocation.spec
        sources = self._sources.get(spec.key)
        if sources is None:
            task, opt = self._code.unpack(invocation.code()), self._code.layers(invocation.layers())
            python = runner.programs is None
            # A function that brings its own SDK must not find another one imported already.
            sdk = python and imports_sdk(task, opt) and not brings_own_sdk(task, opt)
            warnings = []
            if runner.runtime != spec.runtime:
                warnings.append(f"{spec.runtime} is not on this machine: this function runs on {runner.runtime}")
            if spec.architecture != (here := capability.machine()):
                warnings.append(f"this machine is no {spec.architecture}: this function runs on {here}")
            if python and (unusable := built_for_other_python(runner.python.version, task, opt)):
                more = f" and {len(unusable) - 1} more" if len(unusable) > 1 else ""
                warnings.append(f"compiled for another Python than {runner.runtime}: {unusable[0]}{more}")
            sources = self._sources[spec.key] = Sources(task, opt, sdk, tuple(warnings))
        return sources

    def _start(self, invocation: Invocation, runner: Runner, sources: Sources) -> Environment:
        spec = invocation.spec
        setup = Setup(
            task=sources.task,
            opt=sources.opt,
            environment={**_variables(spec), **self._environment, **invocation.credentials(), **spec.environment},
            jailed=self._jailed,
            programs=_programs(spec, runner),
            runtime_root="/var/runtime" if self._jailed else str(self._layout.scratch / "runtime"),
            own_network=self._layout.own_network,
        )
        if self._closed.is_set():
            raise ClosedError
        environment = Environment(spec, self._zygote(runner, sources.sdk), setup)
        with self._lock:
            self._busy.add(environment)
        return environment

    def _zygote(self, runner: Runner, sdk: bool) -> Zygote:
        key = (runner.python.runtime, sdk, runner.shown)
        with self._starting:  # not the other lock: warm invocations need not wait for a start
            zygote = self._zygotes.get(key)
            if zygote is None or not zygote.alive:
                zygote = Zygote(self._layout, runner.python, sdk=sdk, shown=dict(runner.shown))
                self._zygotes[key] = zygote
            return zygote

    def _reap(self) -> None:
        while not self._closed.wait(min(REAP_EVERY_S, self._limits.idle_s)):
            for environment in self._turns.remove_unused(self._limits.idle_s):
                with suppress(OSError):
                    environment.close()


def _new_trace_id() -> str:
    """Return a tracing header for an invocation that comes with none; nothing is traced here.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


def _port_of(endpoint_url: str) -> int:
    """Return the port of an endpoint on this machine; 0 for any other."""
    found = urlsplit(endpoint_url)
    return found.port or 0 if found.hostname in ("127.0.0.1", "localhost") else 0


def _programs(spec: FunctionSpec, runner: Runner) -> tuple[tuple[str, ...], ...] | None:
    """Return the command lines of a function's runtime, with what its settings and its size add to them."""
    if runner.programs is None or not spec.runtime.startswith("nodejs"):
        return runner.programs
    ((executable, *arguments),) = runner.programs
    command = (executable, f"--max-old-space-size={spec.memory_mb * 9 // 10}", *arguments)
    if capability.WRAPPER in spec.environment:
        # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
        command = ("/bin/sh", "-c", f'exec "${capability.WRAPPER}" "$@"', "bootstrap", *command)
    return (command,)


def _variables(spec: FunctionSpec) -> dict[str, str]:
    """Return the environment variables that Lambda defines.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime; the paths and
    what a runtime has of them as recorded on AWS: `test_introspection_invoke` in LocalStack's
    tests/aws/services/lambda_/test_lambda_common.snapshot.json.
    """
    region = spec.arn.split(":")[3]
    variables = {
        "_HANDLER": spec.handler,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": LIBRARIES,
        "TZ": ":UTC",
    }
    if not spec.runtime.startswith("provided"):
        variables |= {"AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}", "PWD": "/var/task", "SHLVL": "0"}
    if spec.runtime.startswith("python"):
        variables["PYTHONPATH"] = "/var/runtime"
    if (major := interpreters.node_major(spec.runtime)) is not None:
        layers = f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules"
        variables["NODE_PATH"] = f"{layers}:/var/runtime/node_modules:/var/runtime:/var/task"
    if spec.log_format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html: by default INFO
        variables["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level or "INFO"
    return variables
