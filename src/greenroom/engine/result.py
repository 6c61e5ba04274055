"""Turns an outcome into what the caller and the log get: payload, status, error type, the figures of REPORT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from greenroom.engine import capability, cgroup, interpreters
from greenroom.engine.conversation import MAX_RESPONSE_BYTES, readable_error_type
from greenroom.engine.environment import Outcome
from greenroom.engine.report import Report, billed_ms, timeout_message
from greenroom.engine.spec import FunctionSpec, Invocation

TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."

NO_REASON = "Runtime exited without providing a reason"


def of_invocation(
    invocation: Invocation, outcome: Outcome, init: Outcome | None, max_memory_used_mb: int
) -> tuple[bytes, Report]:
    """Return the payload that the caller gets, and the figures of REPORT.

    Args:
        invocation: what was asked for.
        outcome: how it ended.
        init: how the init phase before it ended; None for a warm environment.
        max_memory_used_mb: the environment's peak since it started.
    """
    spec, request_id = invocation.spec, invocation.request_id
    duration_ms, payload = outcome.duration_ms, outcome.payload
    if (outcome.afterwards or outcome).ending == "timeout":
        duration_ms = spec.timeout_s * 1_000.0
    if outcome.ending == "timeout":
        payload = _error("Sandbox.Timedout", f"RequestId: {request_id} Error: {timeout_message(spec.timeout_s)}")
    elif outcome.ending == "too_large":
        payload = _error("Function.ResponseSizeTooLarge", TOO_LARGE)
    elif outcome.ending == "exit":
        kind = outcome.error_type or "Runtime.ExitError"
        payload = _error(kind, f"RequestId: {request_id} Error: {how_it_exited(outcome)}")
    report = Report(
        duration_ms=duration_ms,
        billed_duration_ms=billed_ms(duration_ms, init.duration_ms if init is not None else None),
        max_memory_used_mb=max_memory_used_mb,
        init_duration_ms=init.duration_ms if init is not None and init.ending == "result" else None,
        status=status(outcome),
        error_type=error_type(outcome),
        disturbed_ms=outcome.disturbed_ms,
        differs="; ".join(_differences(spec, cgroup.isolation().cpus)) or None,
    )
    return payload, report


def status(outcome: Outcome) -> Literal["timeout", "error"] | None:
    """Return the status in REPORT and INIT_REPORT; None also for an error that the function has reported itself."""
    end = outcome.afterwards or outcome
    if end.ending == "timeout":
        return "timeout"
    return "error" if end.ending in ("exit", "init_error") else None


def error_type(outcome: Outcome) -> str | None:
    """Return the error type that REPORT and INIT_REPORT name, if any."""
    end = outcome.afterwards or outcome
    if end.ending == "init_error":
        return readable_error_type(end.error_type or _named_in(end.payload))
    return end.error_type if end.ending == "exit" else None


def _named_in(payload: bytes) -> object:
    with suppress(ValueError, RecursionError):
        error = json.loads(payload)
        if isinstance(error, dict):
            return error.get("errorType")
    return None


def how_it_exited(outcome: Outcome) -> str:
    """Say how the runtime ended, or why it did not start, in Lambda's words."""
    if outcome.error_type == "Runtime.InvalidEntrypoint":
        return outcome.payload.decode(errors="replace")
    return f"Runtime exited with error: {outcome.payload.decode(errors='replace')}" if outcome.payload else NO_REASON


def _differences(spec: FunctionSpec, cpus: float) -> Iterator[str]:
    """Yield each respect in which a function runs differently here than on Lambda."""
    if cgroup.vcpus(spec.memory_mb) > cpus:
        yield f"{cpus:g} of {cgroup.vcpus(spec.memory_mb):.2f} vCPU, the size is not representable here"
    if (runs_on := interpreters.runner(spec.runtime).runtime) != spec.runtime:
        yield f"runs on {runs_on} instead of {spec.runtime}"
    if spec.architecture != (here := capability.machine()):
        yield f"runs on {here} instead of {spec.architecture}"


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
