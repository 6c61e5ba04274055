"""The engine's face: hands an invocation to an execution environment, warm or new, and tells what became of it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from greenroom.engine import cgroup, interpreters
from greenroom.engine.code import CodeStore, brings_own_sdk, built_for_other_python, imports_sdk
from greenroom.engine.environment import Environment, Outcome
from greenroom.engine.interpreters import Interpreter
from greenroom.engine.quiet import Cores
from greenroom.engine.report import PlatformLog, Report, billed_ms, timeout_message
from greenroom.engine.spec import FunctionSpec, InvokeResult, LayerCode, LogEvent
from greenroom.engine.zygote import Layout, Zygote

INIT_TIMEOUT_S = 10.0
"""https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib"""

IDLE_S = 600.0
"""How long an environment stands still before it is ended. AWS does not say how long it waits."""

REAP_EVERY_S = 5.0

CORES_WAIT_S = 4.0
"""How long a measured invocation waits for cores of its own before it is throttled: its caller tries again."""

NO_REASON = "Runtime exited without providing a reason"

Key = tuple[str, str, str, str]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What a function version's environments are made of: its code, what is seen as /opt, whether they are forked from
    a process that has imported the SDK, and what has to be said of it in the log."""

    task: Path
    opt: Path | None
    sdk: bool
    warnings: tuple[str, ...]


class Engine:
    """Runs Lambda functions in execution environments on this machine. All methods may be called by many threads.

    Args:
        data_dir: folder for unpacked code, this engine's alone; everything in it can be made again.
        environment: variables that every function gets beside its own, for example `AWS_ENDPOINT_URL`.
        max_concurrency: how many invocations may run at once; more are throttled.
        idle_s: seconds after which an unused environment is ended.
        init_timeout_s: seconds that an init phase may take before it is begun anew, within the function's own time.
        control_groups: limit by the kernel's control groups; by default if this process may make them.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        environment: Mapping[str, str] | None = None,
        max_concurrency: int = 100,
        idle_s: float = IDLE_S,
        init_timeout_s: float = INIT_TIMEOUT_S,
        control_groups: bool | None = None,
    ) -> None:
        self._environment = dict(environment or {})
        self._idle_s = idle_s
        self._init_timeout_s = init_timeout_s
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._cores = Cores(cgroup.isolation().cpus)
        self._lock = threading.Lock()
        self._idle: dict[Key, list[Environment]] = {}
        self._busy: set[Environment] = set()
        self._sources: dict[Key, Sources] = {}
        self._zygotes: dict[tuple[str, bool], Zygote] = {}
        self._closed = threading.Event()
        self._jailed = cgroup.isolation().namespaces
        available = cgroup.isolation().limits != "watcher"
        self._control_groups = available if control_groups is None else control_groups and available
        cgroup.remove_leftovers()
        self._code = CodeStore(data_dir / "code")
        self._scratch = data_dir / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed engine has left
        self._layout = Layout(data_dir / "code", self._scratch, self._jailed)
        threading.Thread(target=self._reap, name="greenroom-reaper", daemon=True).start()

    def invoke(
        self,
        spec: FunctionSpec,
        payload: bytes,
        *,
        invoked_function_arn: str,
        request_id: str,
        code: Callable[[], bytes],
        layers: Callable[[], Sequence[LayerCode]] = tuple,
        credentials: Callable[[], Mapping[str, str]] = dict,
        client_context: str | None = None,
        trace_id: str | None = None,
        measured: bool = False,
    ) -> InvokeResult:
        """Run one invocation and wait for its end.

        `code`, `layers` and `credentials` are asked for only when a new environment needs them. What is `measured` has
        its cores to itself, as far as other measured invocations go, and its report says if it was disturbed. What the
        function does wrong is in the result; an exception means that the engine itself could not run it.
        """
        throttled = InvokeResult(b"", throttled=True, executed_version=spec.version)
        if self._closed.is_set() or not self._slots.acquire(blocking=False):
            return throttled
        cores = self._cores.needed(cgroup.vcpus(spec.memory_mb)) if measured else 0
        try:
            if cores and not self._cores.take(cores, CORES_WAIT_S):
                cores = 0
                return throttled
            return self._invoke(
                spec,
                payload,
                invoked_function_arn,
                request_id,
                code,
                layers,
                credentials,
                client_context,
                trace_id,
                measured,
            )
        finally:
            self._cores.give_back(cores)
            self._slots.release()

    @property
    def environments(self) -> int:
        """How many execution environments there are, at work and standing still."""
        with self._lock:
            return len(self._busy) + sum(len(idle) for idle in self._idle.values())

    def close(self) -> None:
        """End all environments. Invocations that are under way end with them."""
        self._closed.set()
        with self._lock:
            environments = [*self._busy, *(each for idle in self._idle.values() for each in idle)]
            self._idle.clear()
            zygotes, self._zygotes = list(self._zygotes.values()), {}
        for environment in environments:
            environment.close()
        for zygote in zygotes:
            zygote.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _invoke(
        self,
        spec: FunctionSpec,
        payload: bytes,
        invoked_function_arn: str,
        request_id: str,
        code: Callable[[], bytes],
        layers: Callable[[], Sequence[LayerCode]],
        credentials: Callable[[], Mapping[str, str]],
        client_context: str | None,
        trace_id: str | None,
        measured: bool,
    ) -> InvokeResult:
        log = PlatformLog(spec)
        events: list[LogEvent] = []

        def write(line: str | None) -> None:
            if line is not None:
                events.append(LogEvent(int(time.time() * 1_000), line))

        environment = self._take_warm(spec)
        init: Outcome | None = None
        again: Outcome | None = None
        left_s = float(spec.timeout_s)
        if environment is None:
            interpreter = _interpreter(spec)
            sources = self._sources_of(spec, interpreter, code, layers)
            write(log.init_start(interpreter.runtime))
            for warning in sources.warnings:
                write(log.warning(warning))
            environment = self._start(spec, interpreter, sources, credentials)
            init = environment.wait_until_ready(self._init_timeout_s)
            events += environment.take_log()
            if init.ending != "result":
                # Lambda then inits once more, within the function's own time.
                write(log.init_report("init", init.duration_ms, _status(init), _error_type(init)))
                self._drop(environment)
                environment = self._start(spec, interpreter, sources, credentials)
                again = environment.wait_until_ready(left_s)
                events += environment.take_log()
                left_s -= again.duration_ms / 1_000
                if again.ending != "result":
                    write(log.init_report("invoke", again.duration_ms, _status(again), _error_type(again)))
        write(log.start(request_id))
        if again is None or again.ending == "result":
            header = {
                "request_id": request_id,
                "invoked_function_arn": invoked_function_arn,
                "deadline_ms": int((time.time() + left_s) * 1_000),
                "client_context": client_context,
                "trace_id": trace_id,
            }
            outcome = environment.invoke(payload, header, left_s, measured=measured)
            if again is not None:
                outcome = replace(outcome, duration_ms=outcome.duration_ms + again.duration_ms)
        else:
            outcome = again
        events += environment.take_log()
        if outcome.ending == "timeout":
            write(log.timed_out(request_id))
        elif outcome.ending == "exit":
            write(log.exited(request_id, _how_it_exited(outcome)))
        write(log.end(request_id))
        answer, report = _result(spec, request_id, outcome, init, environment.max_memory_used_mb())
        write(log.report(request_id, report))
        if outcome.ending in ("result", "error"):
            self._give_back(environment)
        else:
            self._drop(environment)
        return InvokeResult(
            payload=answer,
            function_error=None if outcome.ending == "result" else "Unhandled",
            log_events=tuple(events),
            log_stream=environment.log_stream,
            duration_ms=report.duration_ms,
            billed_duration_ms=report.billed_duration_ms,
            init_duration_ms=report.init_duration_ms,
            max_memory_used_mb=report.max_memory_used_mb,
            disturbed_ms=report.disturbed_ms,
            cold_start=init is not None,
            executed_version=spec.version,
        )

    def _take_warm(self, spec: FunctionSpec) -> Environment | None:
        while True:
            with self._lock:
                idle = self._idle.get(spec.key)
                if not idle:
                    return None
                environment = idle.pop()
                self._busy.add(environment)
            if not environment.has_ended:
                return environment
            self._drop(environment)

    def _give_back(self, environment: Environment) -> None:
        environment.stand_still()
        with self._lock:
            self._busy.discard(environment)
            if not self._closed.is_set():
                self._idle.setdefault(environment.spec.key, []).append(environment)
                return
        environment.close()

    def _drop(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
        environment.close()

    def _sources_of(
        self,
        spec: FunctionSpec,
        interpreter: Interpreter,
        code: Callable[[], bytes],
        layers: Callable[[], Sequence[LayerCode]],
    ) -> Sources:
        sources = self._sources.get(spec.key)
        if sources is None:
            task, opt = self._code.unpack(code()), self._code.layers(layers())
            # A function that brings its own SDK must not find another one imported already.
            sdk = imports_sdk(task, opt) and not brings_own_sdk(task, opt)
            warnings = []
            if interpreter.runtime != spec.runtime:
                warnings.append(f"{spec.runtime} is not on this machine: this function runs on {interpreter.runtime}")
            if unusable := built_for_other_python(interpreter.version, task, opt):
                more = f" and {len(unusable) - 1} more" if len(unusable) > 1 else ""
                warnings.append(f"compiled for another Python than {interpreter.runtime}: {unusable[0]}{more}")
            sources = self._sources[spec.key] = Sources(task, opt, sdk, tuple(warnings))
        return sources

    def _start(
        self,
        spec: FunctionSpec,
        interpreter: Interpreter,
        sources: Sources,
        credentials: Callable[[], Mapping[str, str]],
    ) -> Environment:
        environment = Environment(
            spec,
            self._zygote(interpreter, sources.sdk),
            task=sources.task,
            opt=sources.opt,
            jailed=self._jailed,
            control_groups=self._control_groups,
            environment={**_variables(spec), **self._environment, **credentials(), **spec.environment},
        )
        with self._lock:
            self._busy.add(environment)
        return environment

    def _zygote(self, interpreter: Interpreter, sdk: bool) -> Zygote:
        key = (interpreter.runtime, sdk)
        with self._lock:
            zygote = self._zygotes.get(key)
            if zygote is None or not zygote.alive:
                zygote = self._zygotes[key] = Zygote(self._layout, interpreter, sdk=sdk)
            return zygote

    def _reap(self) -> None:
        while not self._closed.wait(min(REAP_EVERY_S, self._idle_s)):
            before = time.monotonic() - self._idle_s
            with self._lock:
                old = [each for idle in self._idle.values() for each in idle if each.idle_since < before]
                for environment in old:
                    self._idle[environment.spec.key].remove(environment)
            for environment in old:
                with suppress(OSError):
                    environment.close()


def _interpreter(spec: FunctionSpec) -> Interpreter:
    """The Python for a function; the one that runs here where the machine has no better, which the log then says."""
    return interpreters.for_runtime(spec.runtime) or interpreters.own()


def _variables(spec: FunctionSpec) -> dict[str, str]:
    """The variables that Lambda defines.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    region = spec.arn.split(":")[3]
    variables = {
        "_HANDLER": spec.handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
        "AWS_LAMBDA_LOG_FORMAT": spec.log_format,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/var/task:/var/task/lib:/opt/lib",
        "PYTHONPATH": "/var/runtime",
        "TZ": ":UTC",
    }
    if spec.application_log_level and spec.log_format == "JSON":
        variables["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level
    return variables


def _result(
    spec: FunctionSpec, request_id: str, outcome: Outcome, init: Outcome | None, max_memory_used_mb: int
) -> tuple[bytes, Report]:
    """The payload that the caller gets, and the figures of REPORT."""
    duration_ms, payload = outcome.duration_ms, outcome.payload
    if outcome.ending == "timeout":
        duration_ms = spec.timeout_s * 1_000.0
        payload = _error("Sandbox.Timedout", f"RequestId: {request_id} Error: {timeout_message(spec.timeout_s)}")
    elif outcome.ending == "exit":
        kind = outcome.error_type or "Runtime.ExitError"
        payload = _error(kind, f"RequestId: {request_id} Error: {_how_it_exited(outcome)}")
    report = Report(
        duration_ms=duration_ms,
        billed_duration_ms=billed_ms(duration_ms, init.duration_ms if init is not None else None),
        max_memory_used_mb=max_memory_used_mb,
        init_duration_ms=init.duration_ms if init is not None and init.ending == "result" else None,
        status=_status(outcome),
        error_type=_error_type(outcome),
        disturbed_ms=outcome.disturbed_ms,
        differs="; ".join(_differences(spec, cgroup.isolation().cpus)) or None,
    )
    return payload, report


def _status(outcome: Outcome) -> Literal["timeout", "error"] | None:
    """What REPORT and INIT_REPORT say; nothing of an error that the function itself has reported."""
    if outcome.ending == "timeout":
        return "timeout"
    return "error" if outcome.ending in ("exit", "init_error") else None


def _error_type(outcome: Outcome) -> str | None:
    if outcome.ending == "init_error":
        with suppress(ValueError):
            return str(json.loads(outcome.payload).get("errorType"))
    return outcome.error_type if outcome.ending == "exit" else None


def _how_it_exited(outcome: Outcome) -> str:
    return f"Runtime exited with error: {outcome.payload.decode()}" if outcome.payload else NO_REASON


def _differences(spec: FunctionSpec, cpus: float) -> Iterator[str]:
    """What a function does not have here as it would have it on Lambda."""
    if cgroup.vcpus(spec.memory_mb) > cpus:
        yield f"{cpus:g} of {cgroup.vcpus(spec.memory_mb):.2f} vCPU, the size is not representable here"
    if (runs_on := _interpreter(spec).runtime) != spec.runtime:
        yield f"runs on {runs_on} instead of {spec.runtime}"


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
