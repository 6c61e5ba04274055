"""The lines that Lambda itself writes into a function's log, in text and in JSON.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html and, for the JSON records,
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from greenroom.engine.spec import FunctionSpec


def billed_ms(duration_ms: float, init_duration_ms: float | None) -> int:
    """Return what Lambda bills: the duration, with the init phase of a cold start, rounded up to the next millisecond.

    The init phase is billed since August 2025:
    https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
    """
    return max(1, math.ceil(round(duration_ms + (init_duration_ms or 0.0), 2)))


@dataclass(frozen=True)
class Report:
    """What REPORT says about one invocation; `status` and `error_type` only where it did not succeed.

    The last two are the engine's own: `disturbed_ms` is how long others kept a measured invocation from running, None
    below the noise threshold, and `differs` says what is not as on Lambda.
    """

    duration_ms: float
    billed_duration_ms: int
    max_memory_used_mb: int
    init_duration_ms: float | None = None
    status: str | None = None
    error_type: str | None = None
    disturbed_ms: float | None = None
    differs: str | None = None


class PlatformLog:
    """Writes the platform's lines for one function version; None for a line that its system log level leaves out.

    Levels are for the JSON format only. WARN leaves out what went well; this engine has no lines for DEBUG:
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """

    def __init__(self, spec: FunctionSpec) -> None:
        self._spec = spec
        self._json = spec.log_format == "JSON"
        self._only_warnings = self._json and spec.system_log_level == "WARN"

    def init_start(self, runtime_version: str) -> str | None:
        """Return the line before a cold start's init phase."""
        if self._only_warnings:
            return None
        if self._json:
            return _record(
                "platform.initStart",
                {
                    "initializationType": "on-demand",
                    "phase": "init",
                    "runtimeVersion": runtime_version,
                    "functionName": self._spec.name,
                    "functionVersion": self._spec.version,
                },
            )
        return f"INIT_START Runtime Version: {runtime_version}"

    def init_report(
        self, phase: Literal["init", "invoke"], duration_ms: float, status: str | None, error_type: str | None
    ) -> str:
        """Return the line after an init that failed; REPORT has the duration of one that went well.

        Phase "invoke" is the second try, in the function's own time:
        https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
        """
        if self._json:
            body: dict[str, Any] = {"initializationType": "on-demand", "phase": phase, "status": status}
            if error_type:
                body["errorType"] = error_type
            return _record("platform.initReport", {**body, "metrics": {"durationMs": round(duration_ms, 3)}})
        fields = [f"INIT_REPORT Init Duration: {duration_ms:.2f} ms", f"Phase: {phase}", f"Status: {status}"]
        if error_type:
            fields.append(f"Error Type: {error_type}")
        return "\t".join(fields)

    def start(self, request_id: str) -> str | None:
        """Return the line before an invocation."""
        if self._only_warnings:
            return None
        if self._json:
            return _record("platform.start", {"requestId": request_id, "version": self._spec.version})
        return f"START RequestId: {request_id} Version: {self._spec.version}"

    def end(self, request_id: str) -> str | None:
        """Return the line after an invocation; the JSON format has none."""
        return None if self._json else f"END RequestId: {request_id}"

    def report(self, request_id: str, report: Report) -> str | None:
        """Return the line with an invocation's figures."""
        if self._only_warnings and report.status is None:
            return None
        return self._report_json(request_id, report) if self._json else self._report_text(request_id, report)

    def _report_json(self, request_id: str, report: Report) -> str:
        metrics: dict[str, Any] = {
            "durationMs": round(report.duration_ms, 3),
            "billedDurationMs": report.billed_duration_ms,
            "memorySizeMB": self._spec.memory_mb,
            "maxMemoryUsedMB": report.max_memory_used_mb,
        }
        if report.init_duration_ms is not None:
            metrics["initDurationMs"] = round(report.init_duration_ms, 3)
        if report.disturbed_ms is not None:
            metrics["disturbedMs"] = round(report.disturbed_ms, 3)
        body: dict[str, Any] = {"requestId": request_id, "metrics": metrics, "status": report.status or "success"}
        if report.error_type:
            body["errorType"] = report.error_type
        if report.differs:
            body["differsFromLambda"] = report.differs
        return _record("platform.report", body)

    def _report_text(self, request_id: str, report: Report) -> str:
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {report.duration_ms:.2f} ms",
            f"Billed Duration: {report.billed_duration_ms} ms",
            f"Memory Size: {self._spec.memory_mb} MB",
            f"Max Memory Used: {report.max_memory_used_mb} MB",
        ]
        if report.init_duration_ms is not None:
            fields.append(f"Init Duration: {report.init_duration_ms:.2f} ms")
        if report.status:
            fields.append(f"Status: {report.status}")
        if report.error_type:
            fields.append(f"Error Type: {report.error_type}")
        if report.disturbed_ms is not None:
            fields.append(f"Disturbed: {report.disturbed_ms:.2f} ms")
        if report.differs:
            fields.append(f"Differs From Lambda: {report.differs}")
        return "\t".join(fields) + "\t"

    def warning(self, text: str) -> str:
        """Return a line of the engine's own, about what differs from Lambda here."""
        if self._json:
            return _compact({"timestamp": _now(), "level": "WARN", "message": text})
        return f"[WARNING] {text}"

    def timed_out(self, request_id: str) -> str:
        """Return the line for a timeout."""
        message = timeout_message(self._spec.timeout_s)
        return self._error(request_id, message) or f"{_now()} {request_id} {message}"

    def exited(self, request_id: str, how: str) -> str:
        """Return the line for a runtime that has ended."""
        return self._error(request_id, how) or f"RequestId: {request_id} Error: {how}\nRuntime.ExitError"

    def _error(self, request_id: str, message: str) -> str | None:
        if not self._json:
            return None
        return _compact({"timestamp": _now(), "level": "ERROR", "requestId": request_id, "message": message})


def timeout_message(timeout_s: int) -> str:
    """Say in Lambda's words that a function took longer than it may."""
    return f"Task timed out after {timeout_s:.2f} seconds"


def _record(kind: str, record: dict[str, Any]) -> str:
    return _compact({"time": _now(), "type": kind, "record": record})


def _compact(record: dict[str, Any]) -> str:
    """Return a record as Lambda writes it, without blanks."""
    return json.dumps(record, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
