"""What becomes of an asynchronous invocation, and what its destinations are told (as recorded on AWS by LocalStack)."""

from __future__ import annotations

import json

import pytest

from greenroom.lambda_api.invoke.attempts import Again, Attempts, Finished, Settings, Waits, after_run, after_throttle
from greenroom.lambda_api.invoke.destinations import Outcome, dead_letter_attributes, envelope

WAITS = Waits()
ARN = "arn:aws:lambda:us-east-1:111111111111:function:f:$LATEST"
ERROR = b'{"errorMessage": "Test exception (this is intentional)", "errorType": "Exception"}'


def test_an_error_is_tried_again_after_a_minute_and_after_two_more() -> None:
    settings = Settings()
    assert after_run(Attempts(0, runs=1), True, settings, WAITS, now=100) == Again(160)
    assert after_run(Attempts(0, runs=2), True, settings, WAITS, now=200) == Again(320)
    assert after_run(Attempts(0, runs=3), True, settings, WAITS, now=400) == Finished("RetriesExhausted")
    assert after_run(Attempts(0, runs=1), False, settings, WAITS, now=1) == Finished("Success")


@pytest.mark.parametrize("retries", [0, 1])
def test_a_function_may_have_fewer_retries(retries: int) -> None:
    settings = Settings.of({"MaximumRetryAttempts": retries})
    assert after_run(Attempts(0, runs=retries + 1), True, settings, WAITS, now=1) == Finished("RetriesExhausted")


def test_an_event_that_would_be_too_old_is_not_tried_again() -> None:
    settings = Settings.of({"MaximumEventAgeInSeconds": 60})
    assert after_run(Attempts(0, runs=1), True, settings, WAITS, now=1) == Finished("EventAgeExceeded")
    assert after_throttle(Attempts(0, throttles=1), settings, WAITS, now=59.5) == Finished("EventAgeExceeded")


def test_throttles_are_no_attempts_and_wait_longer_each_time_up_to_five_minutes() -> None:
    waits = [after_throttle(Attempts(0, throttles=n), Settings(), WAITS, now=0) for n in (1, 2, 5, 12, 60)]
    assert waits == [Again(1), Again(2), Again(16), Again(300), Again(300)]


def test_a_destination_is_told_how_it_ended_with_payloads_as_they_came() -> None:
    outcome = Outcome("r", ARN, "Success", 1, b'{"big":12345678901234567890.50}', "3", None, b'"\\ud800"')
    told = envelope(outcome, 0.0)
    assert b'"requestPayload":{"big":12345678901234567890.50}' in told
    assert b'"responsePayload":"\\ud800"' in told
    found = json.loads(told)
    assert list(found) == [
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    ]
    assert found["version"] == "1.0"
    assert found["requestContext"] == {
        "requestId": "r",
        "functionArn": ARN,
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert found["responseContext"] == {"statusCode": 200, "executedVersion": "3"}


def test_an_error_stands_in_the_context_of_the_answer() -> None:
    told = json.loads(envelope(Outcome("r", ARN, "RetriesExhausted", 3, b"{}", "$LATEST", "Unhandled", ERROR), 0.0))
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert told["responsePayload"]["errorType"] == "Exception"


def test_what_never_ran_has_no_answer() -> None:
    told = json.loads(envelope(Outcome("r", ARN, "ZeroReservedConcurrency", 0, b"{}"), 0.0))
    assert list(told) == ["version", "timestamp", "requestContext", "requestPayload"]
    assert told["requestContext"]["approximateInvokeCount"] == 0


def test_a_dead_letter_has_the_error_in_its_attributes() -> None:
    outcome = Outcome("r", ARN, "RetriesExhausted", 3, b'{"raise_error":1}', "$LATEST", "Unhandled", ERROR)
    assert dead_letter_attributes(outcome) == {
        "RequestID": ("String", "r"),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "Test exception (this is intentional)"),
    }
