r"""Reads the REPORT line of an invocation out of a Lambda log, in its text form and in its JSON form.

Not for finding the log: the caller gives the log tail of an Invoke call, or the messages it read from CloudWatch Logs
when the tail (the last 4 KB) did not hold the line whole. The text that the algorithm itself wrote into its log is
hostile here: sizes are bounded, numbers checked, and only the last line that belongs to the invocation counts.

Text form:  REPORT RequestId: <id>\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t…
JSON form:  {"time": …, "type": "platform.report", "record": {"requestId": …, "metrics": {"durationMs": 12.34, …}}}
Source: AWS Lambda Developer Guide, "Using Lambda structured JSON logs", and the Telemetry API's schema reference.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from greenroom.tuning.limits import MAX_INIT_S

_MAX_LOG_CHARS = 256 * 1024
_MAX_LINE_CHARS = 8 * 1024

_MAX_NUMBER = 1e8
"""Lambda's own bounds with room to spare: 15 minutes and 10 GB."""

_LEAST_INIT_BILLED_MS = 1_000 * MAX_INIT_S - 500
"""An init phase that ran out of its time took `MAX_INIT_S`; half a second is for how Lambda measures that."""

_TEXT_LINE = re.compile(r"^REPORT RequestId: (?P<request_id>[0-9A-Za-z-]{1,64})\t(?P<fields>.*)$")
_FIELD = re.compile(r"^(?P<name>[A-Z][A-Za-z ]{0,40}): (?P<value>.{1,128})$")
_QUANTITY = re.compile(r"^([0-9]{1,9}(?:\.[0-9]{1,9})?) (?:ms|MB)$")


@dataclass(frozen=True, slots=True)
class Report:
    """What a REPORT line says. `status` is None (text form, success), "success", "timeout", "error" or "failure".

    `disturbed_ms` and `differs` are written by Greenroom's engine only: for how long other processes kept the
    invocation from running, and what was not as on Lambda.
    """

    request_id: str
    duration_ms: float
    billed_duration_ms: float
    memory_mb: int
    max_memory_used_mb: int | None = None
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None
    status: str | None = None
    error_type: str | None = None
    disturbed_ms: float | None = None
    differs: str | None = None

    @property
    def start_duration_ms(self) -> float | None:
        """How long the init phase took, or the restore in place of it; None for a warm environment."""
        return self.restore_duration_ms if self.init_duration_ms is None else self.init_duration_ms

    @property
    def init_timed_out(self) -> bool:
        """Whether the init phase ran out of its time, and began again within the invocation.

        REPORT has no Init Duration then, but what it bills is the first try and the duration, in which is the second.
        https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib and
        https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
        """
        return self.start_duration_ms is None and self.billed_duration_ms - self.duration_ms >= _LEAST_INIT_BILLED_MS

    @property
    def cold_start(self) -> bool:
        """Whether this invocation was the first of its environment."""
        return self.init_timed_out or self.start_duration_ms is not None


def parse_report(log: bytes | str, request_id: str | None = None) -> Report | None:
    """Return the report of an invocation, or None when the log does not hold it whole.

    `log` is the decoded log tail (LogResult after base64) or any piece of the log; of more than 256 Ki characters only
    the end is read. With `request_id` only that invocation's line counts; of several the last one does, because
    Lambda writes it after the algorithm can write no more.
    """
    text = log.decode("utf-8", "replace") if isinstance(log, bytes) else log
    for line in reversed(text[-_MAX_LOG_CHARS:].splitlines()):
        if len(line) > _MAX_LINE_CHARS:
            continue
        report: Report | None = None
        if line.startswith("REPORT RequestId: "):
            report = _from_text(line)
        elif line.lstrip().startswith("{") and '"platform.report"' in line:
            report = _from_json(line)
        if report is not None and request_id in (None, report.request_id):
            return report
    return None


def _from_text(line: str) -> Report | None:
    match = _TEXT_LINE.match(line.strip())
    if match is None:
        return None
    fields: dict[str, str] = {}
    for part in match["fields"].split("\t"):
        field = _FIELD.match(part.strip())
        if field is not None:
            fields.setdefault(field["name"], field["value"])

    def quantity(name: str) -> float | None:
        value = _QUANTITY.match(fields.get(name, ""))
        return _number(float(value[1])) if value else None

    return _report(
        match["request_id"],
        {
            "durationMs": quantity("Duration"),
            "billedDurationMs": quantity("Billed Duration"),
            "memorySizeMB": quantity("Memory Size"),
            "maxMemoryUsedMB": quantity("Max Memory Used"),
            "initDurationMs": quantity("Init Duration"),
            "restoreDurationMs": quantity("Restore Duration"),
            "disturbedMs": quantity("Disturbed"),
        },
        fields.get("Status"),
        fields.get("Error Type"),
        fields.get("Differs From Lambda"),
    )


def _from_json(line: str) -> Report | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if document.get("type") != "platform.report":
        return None
    record = document.get("record")
    if not isinstance(record, dict) or not isinstance(record.get("metrics"), dict):
        return None
    request_id = record.get("requestId")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= 64:
        return None
    texts = (record.get("status"), record.get("errorType"), record.get("differsFromLambda"))
    return _report(request_id, record["metrics"], *texts)


def _report(request_id: str, metrics: dict[str, Any], status: Any, error_type: Any, differs: Any) -> Report | None:
    duration_ms = _number(metrics.get("durationMs"))
    billed_ms = _number(metrics.get("billedDurationMs"))
    memory_mb = _number(metrics.get("memorySizeMB"))
    if duration_ms is None or billed_ms is None or memory_mb is None:
        return None
    max_used = _number(metrics.get("maxMemoryUsedMB"))
    return Report(
        request_id=request_id,
        duration_ms=duration_ms,
        billed_duration_ms=billed_ms,
        memory_mb=int(memory_mb),
        max_memory_used_mb=None if max_used is None else int(max_used),
        init_duration_ms=_number(metrics.get("initDurationMs")),
        restore_duration_ms=_number(metrics.get("restoreDurationMs")),
        status=status[:64] if isinstance(status, str) else None,
        error_type=error_type[:128] if isinstance(error_type, str) else None,
        disturbed_ms=_number(metrics.get("disturbedMs")),
        differs=differs[:128] if isinstance(differs, str) else None,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _MAX_NUMBER or not math.isfinite(value):
        return None
    return float(value)
