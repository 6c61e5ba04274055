"""Measurements, and the kinds of error."""

from __future__ import annotations

import math
from typing import Any

import pytest

from greenroom.tuning import Report, error_of
from greenroom.tuning.measurements import timed
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
        (EXITED % "signal: killed", report(max_memory_used_mb=128), "out_of_memory"),
        (EXITED % "signal: killed", report(max_memory_used_mb=68), "exception"),
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


@pytest.mark.parametrize(
    ("payload", "found", "said"),
    [
        ('{"errorType":"Sandbox.Timedout","errorMessage":"after 3 s"}', None, ("timeout", "after 3 s")),
        ("{}", report(status="timeout"), ("timeout", "the invocation ran into the function's timeout")),
        ('{"errorType":"Runtime.OutOfMemory","errorMessage":"killed"}', None, ("out_of_memory", "killed")),
        ('{"errorType":"MemoryError"}', None, ("out_of_memory", "the invocation used all its memory")),
        ("not json", None, ("exception", "not json")),
        ("[1]", None, ("exception", "[1]")),
        ("{}", None, ("exception", "")),
        ('{"errorType":null,"errorMessage":"no"}', None, ("exception", "no")),
        ('{"errorType":"Runtime.ExitError","errorMessage":"no"}', report(), ("exception", "Runtime.ExitError: no")),
    ],
)
def test_the_message_of_an_error_is_the_functions_own_or_says_what_happened(
    payload: str, found: Report | None, said: tuple[str, str]
) -> None:
    assert error_of(payload, found, memory_mb=128) == said


@pytest.mark.parametrize(("used_mb", "kind"), [(127, "exception"), (128, "out_of_memory"), (129, "out_of_memory")])
def test_a_runtime_that_ended_at_the_limit_of_its_memory_ran_out_of_it(used_mb: int, kind: str) -> None:
    assert error_of(EXITED % "exit status 1", report(max_memory_used_mb=used_mb), memory_mb=128)[0] == kind
    # An exception of the algorithm's own is one, whatever it used.
    raised = '{"errorType":"ValueError","errorMessage":"no"}'
    assert error_of(raised, report(max_memory_used_mb=used_mb), memory_mb=128)[0] == "exception"


def test_of_an_answer_that_is_too_long_only_its_beginning_is_read() -> None:
    kind, message = error_of(b"\xff" + b"x" * 100_000, None, memory_mb=128)
    assert (kind, len(message)) == ("exception", 16 * 1024)


def test_what_was_not_measured_may_be_repeated_and_what_was_disturbed_if_it_passed() -> None:
    rows = [measurement(error=error) for error in (None, "timeout", "exception", "throttled", "platform")]
    assert [row.counts for row in rows] == [True, True, True, False, False]
    assert [row.repeatable for row in rows] == [False, False, False, True, True]
    disturbed = [measurement(error=error, disturbed_ms=1.0) for error in (None, "timeout", "throttled")]
    assert [row.repeatable for row in disturbed] == [True, False, True]


def test_times_count_if_undisturbed_and_warm_where_there_are_such() -> None:
    cold = measurement(128, 1.0, cold_start=True)
    warm = measurement(128, 2.0, index=1)
    disturbed = measurement(128, 3.0, index=2, disturbed_ms=9.0)
    other_case = measurement(128, 4.0, index=3, case="large", disturbed_ms=9.0)
    elsewhere = measurement(256, 5.0, cold_start=True)
    failed = measurement(256, 6.0, error="exception")
    assert timed([cold, warm, disturbed, other_case, elsewhere, failed]) == [warm, elsewhere]
    assert timed([cold, disturbed]) == []
    assert timed([cold]) == [cold]
    assert timed([failed]) == []
