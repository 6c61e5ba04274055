"""What a payload may be: JSON in UTF-8, within Lambda's sizes. The bytes themselves go to the function as they came.

The messages are Lambda's, as recorded in `tests/aws/services/lambda_/test_lambda.snapshot.json` of
https://github.com/localstack/localstack (TestLambdaErrors::test_lambda_invoke_payload_encoding_error).
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from greenroom.lambda_api.errors import LambdaError

MAX_BYTES = {"RequestResponse": 6_291_456, "Event": 1_048_576}
"""The largest payload of each type of invocation.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution"""

EMPTY = b"{}"
"""The event of an invocation without a payload."""

VALUES = "JSON String, Number, Array, Object or token 'null', 'true' or 'false'"
EXPECTED = {
    "Expecting property name": "was expecting double-quote to start field name",
    "Expecting ':'": "was expecting a colon to separate field name and value",
    "Expecting ','": "was expecting comma to separate entries",
    "Extra data": "was expecting end of input",
}
"""What Lambda's parser says was expected, by the beginning of what Python's says."""

BOM = "\ufeff"


def checked(payload: bytes, invocation_type: str) -> bytes:
    """Return the bytes that the function gets. Raises LambdaError if Lambda would not take the payload."""
    limit = MAX_BYTES.get(invocation_type, MAX_BYTES["RequestResponse"])
    if len(payload) > limit:
        raise LambdaError(
            "RequestTooLargeException",
            f"{len(payload)} byte payload is too large for the {invocation_type} invocation type (limit {limit} bytes)",
            413,
        )
    if not payload:
        return EMPTY
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        _refuse_bytes(payload, error)
    _check_json(text.removeprefix(BOM))
    return payload


def _check_json(text: str) -> None:
    try:
        # Numbers stay text: integers of any length and 1e400 are JSON, and Python would refuse or change them.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        _refuse_text(text, error.pos, error.msg)
    except _Constant:
        _refuse_text(text, text.find("N") if "NaN" in text else text.find("I"), "Expecting value")
    except RecursionError:
        _refuse("Document nesting depth (1001) exceeds the maximum allowed (1000)", 1, 1)


class _Constant(ValueError):
    """NaN or Infinity, which Python reads and JSON has not."""


def _no_constant(name: str) -> NoReturn:
    raise _Constant(name)


def _refuse_bytes(payload: bytes, error: UnicodeDecodeError) -> NoReturn:
    """Refuse bytes that are not UTF-8; one that no value begins with is an unexpected character first."""
    before = payload[: error.start].decode()
    code = payload[error.start]
    if not before.strip(" \t\r\n"):
        _refuse(f"Unexpected character ((CTRL-CHAR, code {code})): expected a valid value ({VALUES})", *_place(before))
    kind = "start" if code < 0xC2 or code > 0xF4 else "middle"
    line, column = _place(before)
    _refuse(f"Invalid UTF-8 {kind} byte 0x{code:02x}", line, column + 1)


def _refuse_text(text: str, position: int, what: str) -> NoReturn:
    place = _place(text[:position])
    if position >= len(text.rstrip(" \t\r\n")):
        _refuse("Unexpected end-of-input", *place)
    if what == "Expecting value" and (token := re.match(r"[A-Za-z_][A-Za-z0-9_]*", text[position:])):
        _refuse(f"Unrecognized token '{token[0]}': was expecting ({VALUES})", *place)
    character = text[position]
    shown = f"'{character}'" if character.isprintable() else "(CTRL-CHAR"
    code = f"(code {ord(character)})" if character.isprintable() else f", code {ord(character)})"
    expected = next((said for begin, said in EXPECTED.items() if what.startswith(begin)), None)
    named = f"({shown} {code})" if character.isprintable() else f"({shown}{code})"
    _refuse(f"Unexpected character {named}: {expected or f'expected a valid value ({VALUES})'}", *place)


def _place(before: str) -> tuple[int, int]:
    """Return the line and the column, from 1, of what comes after a text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _refuse(reason: str, line: int, column: int) -> NoReturn:
    raise LambdaError(
        "InvalidRequestContentException",
        f"Could not parse request body into json: Could not parse payload into json: {reason}\n at [Source: REDACTED "
        f"(`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {line}, column: {column}]",
        400,
    )
