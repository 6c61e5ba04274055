"""What a payload may be. The messages are AWS's own, recorded by LocalStack (see `invoke/payload.py`)."""

from __future__ import annotations

import pytest

from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke.payload import checked

PLACE = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]"


def refusal(payload: bytes, kind: str = "RequestResponse") -> LambdaError:
    with pytest.raises(LambdaError) as caught:
        checked(payload, kind)
    return caught.value


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a": 1}',
        b'"\\ud800"',
        b"123456789012345678901234567890" * 200,
        b"1e400",
        b"\xef\xbb\xbf{}",
        b' [null, true, "x"] \n',
    ],
)
def test_what_is_json_goes_to_the_function_byte_for_byte(payload: bytes) -> None:
    assert checked(payload, "RequestResponse") == payload


def test_no_payload_is_an_empty_event() -> None:
    assert checked(b"", "Event") == b"{}"


@pytest.mark.parametrize(
    ("payload", "reason", "column"),
    [
        (
            b"\x99\xeb,j\x07\xa1zYh",
            "Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, Number, Array, Object "
            "or token 'null', 'true' or 'false')",
            1,
        ),
        (b"n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt", "Invalid UTF-8 start byte 0x87", 3),
    ],
)
def test_bytes_that_are_no_text_are_refused_as_recorded_on_aws(payload: bytes, reason: str, column: int) -> None:
    error = refusal(payload)
    assert (error.code, error.status) == ("InvalidRequestContentException", 400)
    assert error.message == (
        f"Could not parse request body into json: Could not parse payload into json: {reason}{PLACE.format(1, column)}"
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{bad", "Unexpected character ('b' (code 98)): was expecting double-quote to start field name"),
        (b"hello", "Unrecognized token 'hello': was expecting"),
        (b"NaN", "Unrecognized token 'NaN'"),
        (b'{"a": -Infinity}', "Unrecognized token 'Infinity'"),
        (b'{"a": 1', "Unexpected end-of-input"),
        (b"{} {}", "was expecting end of input"),
        (b'"a\nb"', "Unexpected character"),
        (b"[" * 100_000, "nesting depth"),
    ],
)
def test_what_is_not_json_is_refused_and_says_why(payload: bytes, reason: str) -> None:
    assert reason in str(refusal(payload).message)


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6_291_456), ("Event", 1_048_576)])
def test_each_type_of_invocation_has_its_largest_payload(kind: str, limit: int) -> None:
    largest = b'"' + b"a" * (limit - 2) + b'"'
    assert checked(largest, kind) == largest
    error = refusal(largest + b" ", kind)
    assert (error.code, error.status) == ("RequestTooLargeException", 413)
    assert error.message == (
        f"{limit + 1} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
    )
