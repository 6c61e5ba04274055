"""Measurements, and the kinds of error."""

from __future__ import annotations

import math
from typing import Any

import pytest

from greenroom.tuning import Report, error_of
from tests.unit.tuning.builders import measurement


@pytest.mark.parametrize("name", ["duration_ms", "billed_duration_ms"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_time_that_cannot_be_is_refused_by_name(name: str, value: float) -> None:
    times: dict[str, Any] = {"billed_duration_ms": 1.0, name: value}
    with pytest.raises(ValueError, match=f"^{name} is {value}: a time in milliseconds, 0 or more, is needed$"):
        measurement(**times)


def report(**fields: object) -> Report:
    return Report(**{"request_id": "1", "duration_ms": 1.0, "billed_duration_ms": 1, "memory_mb": 128, **fields})  # type: ignore[arg-type]


EXITED = '{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited with error: %s"}'
TIMED_OUT = '{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds"}'


@pytest.mark.parametrize(
    ("payload", "found", "kind"),
    [
        (TIMED_OUT, None, "timeout"),
        ('{"errorMessage":"2026-11-24T10:00:00Z 1 Task timed out after 3.00 seconds"}', None, "timeout"),
        ("{}", report(status="timeout"), "timeout"),
        ('{"errorType":"Runtime.OutOfMemory","errorMessage":"x"}', None, "out_of_memory"),
        (EXITED % "signal: killed", None, "out_of_memory"),
        (EXITED % "exit status 1", report(max_memory_used_mb=128), "out_of_memory"),
        (EXITED % "exit status 1", report(max_memory_used_mb=50), "exception"),
        ('{"errorType":"MemoryError","errorMessage":""}', None, "out_of_memory"),
        ("{}", report(status="error", error_type="Runtime.OutOfMemory"), "out_of_memory"),
        ('{"errorType":"ValueError","errorMessage":"no such rule"}', report(), "exception"),
        ("not json", None, "exception"),
        ("[" * 5000, None, "exception"),
        ("null", None, "exception"),
    ],
)
def test_the_kind_of_error_is_told(payload: str, found: Report | None, kind: str) -> None:
    assert error_of(payload.encode(), found, memory_mb=128)[0] == kind


def test_an_exceptions_message_names_its_type() -> None:
    assert error_of('{"errorType":"ValueError","errorMessage":"no such rule"}', None, memory_mb=128) == (
        "exception",
        "ValueError: no such rule",
    )
