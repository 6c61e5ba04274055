"""One invocation of a function under test, and what its log says of it, as a measurement.

It makes the call and reads the REPORT line. Which invocations are made is decided elsewhere, and so is what they mean.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from greenroom.platform import names
from greenroom.platform.services import Services
from greenroom.releases import utc_now
from greenroom.tuning import Measurement, Report, error_of, parse_report

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef

THROTTLE_TRIES = 8
REPORT_TRIES = 6

Judge = Callable[[bytes, str], dict[str, Any]]
"""What is wrong with an answer, given with the log's tail: fields of a measurement, none if nothing is."""


class Disturbed(RuntimeError):
    """The test could not be carried out as planned, which says nothing about the algorithm."""


def measure(
    services: Services,
    invoker: LambdaClient,
    function: str,
    alias: str,
    event: bytes,
    *,
    memory_mb: int,
    case: str,
    index: int,
    version: str | None = None,
    judge: Judge = lambda _answer, _log: {},
    allowed: Collection[str] = (),
) -> tuple[Measurement, bytes]:
    """Invoke a function through an alias and return the measurement and the answer.

    Args:
        services: where the function is, and its log.
        invoker: the client that invokes, which waits as long as the function may take.
        function, alias: what is invoked.
        event: the payload.
        memory_mb, case, index: what the measurement is of.
        version: the version that the alias has to lead to.
        judge: says whether an answer is right; called for an invocation that did not fail.
        allowed: the errorTypes of failures that count as answers.

    Raises:
        Disturbed: the alias leads to another version, or there is no REPORT line.
    """
    found: dict[str, Any] = {"memory_mb": memory_mb, "case": case, "index": index, "at": utc_now()}
    try:
        answer = _invoke(invoker, f"{function}:{alias}", event)
    except invoker.exceptions.TooManyRequestsException as error:
        lost = Measurement(**found, duration_ms=0, billed_duration_ms=0, error="throttled", error_message=str(error))
        return lost, b""
    except ReadTimeoutError as error:
        lost = Measurement(**found, duration_ms=0, billed_duration_ms=0, error="timeout", error_message=str(error))
        return lost, b""
    payload = answer["Payload"].read()
    executed = answer["ExecutedVersion"]
    if version is not None and executed != version:
        raise Disturbed(f"alias {alias} of {function} led to version {executed}")
    request_id = answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    report = parse_report(tail, request_id) or report_from_logs(services, function, request_id, found["at"])
    found |= {
        "duration_ms": report.duration_ms,
        "billed_duration_ms": report.billed_duration_ms,
        "init_duration_ms": report.init_duration_ms,
        "max_memory_used_mb": report.max_memory_used_mb,
        "cold_start": report.cold_start,
        "disturbed_ms": report.disturbed_ms,
        "differs": report.differs,
        "request_id": request_id,
        "version": executed,
    }
    # A 200 from Lambda is not success: FunctionError decides, and then what the judge finds.
    if "FunctionError" not in answer:
        return Measurement(**found, **judge(payload, tail)), payload
    if allowed and _error_type(payload) in allowed:
        return Measurement(**found), payload
    kind, message = error_of(payload, report, memory_mb=memory_mb)
    return Measurement(**found, error=kind, error_message=message, log=tail), payload


def report_from_logs(services: Services, function: str, request_id: str, at: str) -> Report:
    """The REPORT line from CloudWatch Logs: the tail of 4 KB did not hold it whole. Raises Disturbed."""
    since_ms = int(datetime.fromisoformat(at).timestamp() * 1_000) - 1_000
    for attempt in range(REPORT_TRIES):
        pages = services.logs.get_paginator("filter_log_events").paginate(
            logGroupName=names.log_group(function),
            startTime=since_ms,
            filterPattern=f'"{request_id}"',
            PaginationConfig={"MaxItems": 2_000},
        )
        for page in pages:
            for event in page["events"]:
                if report := parse_report(event["message"], request_id):
                    return report
        time.sleep(min(5.0, 0.2 * 2**attempt))  # logs arrive some seconds after the invocation
    raise Disturbed(f"no REPORT line of invocation {request_id} of {function} is in its log")


def _invoke(invoker: LambdaClient, qualified_name: str, event: bytes) -> InvocationResponseTypeDef:
    for attempt in range(THROTTLE_TRIES):
        try:
            return invoker.invoke(FunctionName=qualified_name, LogType="Tail", Payload=event)
        except invoker.exceptions.TooManyRequestsException:
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            time.sleep(random.uniform(0, min(20, 0.2 * 2**attempt)))  # noqa: S311
    return invoker.invoke(FunctionName=qualified_name, LogType="Tail", Payload=event)


def _error_type(payload: bytes) -> str | None:
    try:
        document = json.loads(payload)
    except ValueError:
        return None
    return document.get("errorType") if isinstance(document, dict) else None
