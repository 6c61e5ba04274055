"""Measurements, and the kinds of error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning import Measurement, Report, error_of
from greenroom.tuning.measurements import ERROR_KINDS
from tests.unit.tuning.builders import measurement

TEXTS = st.none() | st.text(max_size=50)


@given(
    st.builds(
        Measurement,
        memory_mb=st.integers(128, 10_240),
        case=st.text(min_size=1, max_size=20),
        index=st.integers(0, 1000),
        duration_ms=st.floats(0, 900_000),
        billed_duration_ms=st.integers(0, 900_000),
        init_duration_ms=st.none() | st.floats(0, 10_000),
        max_memory_used_mb=st.none() | st.integers(0, 10_240),
        cold_start=st.booleans(),
        error=st.none() | st.sampled_from(ERROR_KINDS),
        error_message=TEXTS,
        difference=TEXTS,
        log=TEXTS,
        at=TEXTS,
        request_id=TEXTS,
        version=TEXTS,
    )
)
def test_a_measurement_survives_its_json_form(original: Measurement) -> None:
    assert Measurement.from_dict(json.loads(json.dumps(original.to_dict()))) == original


def test_what_is_wrong_with_a_document_is_named() -> None:
    document = measurement().to_dict()
    with pytest.raises(ValueError, match="'durationMs'"):
        Measurement.from_dict({k: v for k, v in document.items() if k != "durationMs"})
    with pytest.raises(ValueError, match="error is 'oops', not one of timeout"):
        Measurement.from_dict({**document, "error": "oops"})
    with pytest.raises(ValueError, match="wrong type"):
        Measurement.from_dict({**document, "index": None})
    with pytest.raises(ValueError, match="duration_ms is nan"):
        Measurement.from_dict({**document, "durationMs": float("nan")})


def test_a_long_log_is_cut() -> None:
    assert len(measurement(error="exception", log="x" * 100_000).to_dict()["log"]) == 16 * 1024


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
