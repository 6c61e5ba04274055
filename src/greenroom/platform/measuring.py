"""One invocation of a function under test, and what its log says about it, as a measurement.

It makes the call and reads the REPORT line. Which invocations are made is decided elsewhere, and so is what they mean.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ReadTimeoutError

from greenroom.platform import names
from greenroom.platform.services import Services
from greenroom.releases import utc_now
from greenroom.tuning import ErrorKind, Measurement, Report, error_of, longest_wait_s, parse_report

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef

THROTTLE_TRIES = 8
"""How often an invocation that Lambda throttles is tried, with a pause of at most 20 seconds after each."""

REPORT_TRIES = 6
"""How often the log is asked for a REPORT line: over some 11 seconds."""


class Disturbed(RuntimeError):
    """The test could not be carried out as planned, which says nothing about the function."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with an answer."""

    error: ErrorKind
    message: str
    difference: str


def accept(_answer: bytes) -> Verdict | None:
    """Find nothing wrong with an answer, whatever it is."""
    return None


@dataclass(frozen=True)
class Invocation:
    """One invocation to be made and measured.

    Args:
        alias, event: what is invoked, and with what.
        memory_mb, case, index: what the measurement is of.
        version: the version that the alias has to lead to; None where it may be any.
        judge: says what is wrong with an answer. It is asked about an invocation that did not fail.
        allowed: the `errorType`s of failures that count as answers.
    """

    alias: str
    event: bytes
    memory_mb: int
    case: str
    index: int
    version: str | None = None
    judge: Callable[[bytes], Verdict | None] = accept
    allowed: Collection[str] = ()


class Meter:
    """Invokes one function and measures it.

    Args:
        services: where the function is, and its log.
        function: its name.
        timeout_s: how long it may take.
        sleep: how to pause, in seconds.
    """

    def __init__(
        self, services: Services, function: str, timeout_s: int, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._services, self._function, self.sleep = services, function, sleep
        self.invoker: LambdaClient = services.invoker(longest_wait_s(timeout_s))

    def measure(self, invocation: Invocation) -> tuple[Measurement, bytes]:
        """Invoke the function and return the measurement and the answer.

        Raises Disturbed if the alias leads to another version, or if the log has no REPORT line.
        """
        at = utc_now()
        blank = Measurement(
            memory_mb=invocation.memory_mb,
            case=invocation.case,
            index=invocation.index,
            duration_ms=0,
            billed_duration_ms=0,
            at=at,
        )
        try:
            answer = self._invoke(invocation)
        except self.invoker.exceptions.TooManyRequestsException as error:
            return replace(blank, error="throttled", error_message=str(error)), b""
        except ReadTimeoutError as error:
            return replace(blank, error="timeout", error_message=str(error)), b""
        payload, executed = answer["Payload"].read(), answer["ExecutedVersion"]
        if invocation.version is not None and executed != invocation.version:
            raise Disturbed(f"alias {invocation.alias} of {self._function} led to version {executed}")
        request_id = answer["ResponseMetadata"]["RequestId"]
        tail = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        report = parse_report(tail, request_id) or self.report_from_logs(request_id, at)
        measured = replace(
            blank,
            duration_ms=report.duration_ms,
            billed_duration_ms=report.billed_duration_ms,
            init_duration_ms=report.start_duration_ms,
            max_memory_used_mb=report.max_memory_used_mb,
            cold_start=report.cold_start,
            disturbed_ms=report.disturbed_ms,
            differs=report.differs,
            request_id=request_id,
            version=executed,
        )
        return _judged(measured, invocation, answer, payload, (report, tail)), payload

    def report_from_logs(self, request_id: str, at: str) -> Report:
        """Return the REPORT line from CloudWatch Logs, for a log tail of 4 KB that does not hold it whole.

        `at` is when the invocation began. Raises Disturbed.
        """
        since_ms = int(datetime.fromisoformat(at).timestamp() * 1_000) - 1_000
        for attempt in range(REPORT_TRIES):
            pages = self._services.logs.get_paginator("filter_log_events").paginate(
                logGroupName=names.log_group(self._function),
                startTime=since_ms,
                filterPattern=f'"{request_id}"',
                PaginationConfig={"MaxItems": 2_000},
            )
            for page in pages:
                for event in page["events"]:
                    if report := parse_report(event["message"], request_id):
                        return report
            self.sleep(min(5.0, 0.2 * 2**attempt))  # logs arrive some seconds after the invocation
        raise Disturbed(f"no REPORT line of invocation {request_id} of {self._function} is in its log")

    def _invoke(self, invocation: Invocation) -> InvocationResponseTypeDef:
        qualified = f"{self._function}:{invocation.alias}"
        for attempt in range(THROTTLE_TRIES):
            try:
                return self.invoker.invoke(FunctionName=qualified, LogType="Tail", Payload=invocation.event)
            except self.invoker.exceptions.TooManyRequestsException:
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                self.sleep(random.uniform(0, min(20, 0.2 * 2**attempt)))  # noqa: S311
        return self.invoker.invoke(FunctionName=qualified, LogType="Tail", Payload=invocation.event)


def _judged(
    measured: Measurement,
    invocation: Invocation,
    answer: InvocationResponseTypeDef,
    payload: bytes,
    log: tuple[Report, str],
) -> Measurement:
    """Add what is wrong. A 200 from Lambda is not success: FunctionError decides, and then what the judge finds."""
    report, tail = log
    if "FunctionError" not in answer:
        verdict = invocation.judge(payload)
        if verdict is None:
            return measured
        return replace(
            measured,
            error=verdict.error,
            error_message=verdict.message,
            difference=verdict.difference,
            log=tail,
        )
    if invocation.allowed and _error_type(payload) in invocation.allowed:
        return measured
    kind, message = error_of(payload, report, memory_mb=measured.memory_mb)
    return replace(measured, error=kind, error_message=message, log=tail)


def _error_type(payload: bytes) -> str | None:
    try:
        document = json.loads(payload)
    except ValueError:
        return None
    return document.get("errorType") if isinstance(document, dict) else None
