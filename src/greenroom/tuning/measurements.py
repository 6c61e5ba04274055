"""A measurement: what one invocation in a test showed, and what kind of error it met.

Not for statistics over many of them (statistics.py), and not for reading log lines (report_line.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from greenroom.tuning.report_line import Report

ErrorKind = Literal["timeout", "out_of_memory", "wrong_answer", "exception", "throttled", "platform"]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)

TOO_SMALL: frozenset[ErrorKind] = frozenset({"timeout", "out_of_memory"})
"""Errors that exclude a power value and let the others go on."""
ALGORITHM_AT_FAULT: frozenset[ErrorKind] = frozenset({"wrong_answer", "exception"})
"""Errors that fail the release."""
NOT_MEASURED: frozenset[ErrorKind] = frozenset({"throttled", "platform"})
"""Errors that say nothing about the algorithm: the invocation is to be repeated."""

_MAX_TEXT = 16 * 1024
"""The characters that are read of a function's answer."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One invocation in a test.

    `index` counts the invocations of a power value from 0 and decides the case (planning.case_of). Times are in
    milliseconds, memory in MB. `billed_duration_ms` is what Lambda bills (on a cold start the init phase is in it).
    A measurement without `error` passed its case. `difference` and `log` are kept where it did not. `disturbed_ms` says
    for how long the machine kept it from running, `differs` what was not as on Lambda.
    """

    memory_mb: int
    case: str
    index: int
    duration_ms: float
    billed_duration_ms: float
    init_duration_ms: float | None = None
    max_memory_used_mb: int | None = None
    cold_start: bool = False
    error: ErrorKind | None = None
    error_message: str | None = None
    difference: str | None = None
    log: str | None = None
    at: str | None = None
    request_id: str | None = None
    version: str | None = None
    disturbed_ms: float | None = None
    differs: str | None = None

    def __post_init__(self) -> None:
        for name in ("duration_ms", "billed_duration_ms"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is {value!r}: a time in milliseconds, 0 or more, is needed")

    @property
    def init_timed_out(self) -> bool:
        """Whether it is a cold start whose init phase ran out of its time: Lambda reports none then."""
        return self.cold_start and self.init_duration_ms is None

    @property
    def counts(self) -> bool:
        """Whether the invocation says something about the algorithm (it was not throttled, nor our own failure)."""
        return self.error not in NOT_MEASURED

    @property
    def repeatable(self) -> bool:
        """Whether another try may show more: nothing was measured, or the machine disturbed what passed."""
        return not self.counts or (self.error is None and self.disturbed_ms is not None)


def timed(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Return the measurements whose times count: those that passed undisturbed, and warm where a power value has any.

    A time that the machine disturbed is never compared with one that it did not, so it does not count at all.
    """
    passed = [m for m in measurements if m.error is None]
    warm_at = {m.memory_mb for m in passed if not m.cold_start}
    ready = (m for m in passed if not m.cold_start or m.memory_mb not in warm_at)
    return [m for m in ready if m.disturbed_ms is None]


def error_of(payload: bytes | str, report: Report | None, *, memory_mb: int) -> tuple[ErrorKind, str]:
    """Return the kind of error of an invocation that came back with FunctionError, and its message.

    `payload` is the function's answer ({"errorType", "errorMessage"} as Lambda gives it); an answer of another form is
    an exception too. A timeout and a lack of memory are recognised by the REPORT line's status first, then by Lambda's
    texts ("Task timed out after …", errorType Sandbox.Timedout; Runtime.OutOfMemory), then by memory use at the limit,
    and by "signal: killed" if that is not known. A MemoryError that the algorithm raised is out of memory as well.
    """
    text = (payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload)[:_MAX_TEXT]
    error_type, message = "", text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        error_type = str(document.get("errorType") or "")
        message = str(document.get("errorMessage") or "")
    reported = (report.error_type or "") if report else ""
    if (report and report.status == "timeout") or "Timedout" in error_type or "Task timed out after" in message:
        return "timeout", message or "the invocation ran into the function's timeout"
    used_mb = report.max_memory_used_mb if report else None
    # A function can also kill itself, or be killed by what it has started: then it has not used all its memory.
    ended_by_memory = "signal: killed" in message if used_mb is None else used_mb >= memory_mb
    if (
        "OutOfMemory" in error_type
        or "OutOfMemory" in reported
        or error_type == "MemoryError"
        or (ended_by_memory and error_type == "Runtime.ExitError")
    ):
        return "out_of_memory", message or "the invocation used all its memory"
    return "exception", f"{error_type}: {message}" if error_type else message
