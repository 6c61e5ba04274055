"""Where the outcome of an invocation goes: destinations, dead-letter queues, and what they are told.

The records are as recorded in `tests/aws/services/lambda_/test_lambda_destinations.snapshot.json` and
`event_source_mapping/test_lambda_integration_dynamodbstreams.snapshot.json` of https://github.com/localstack/localstack.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from greenroom.lambda_api.invoke.ports import Outside

log = logging.getLogger(__name__)

MAX_ERROR_MESSAGE_BYTES = 1_024
"""How much of the error's message is an attribute of a dead letter.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq"""

ACTIONS = {
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "events": "events:PutEvents",
    "lambda": "lambda:InvokeFunction",
    "s3": "s3:PutObject",
}
"""What a function's role needs for each kind of destination.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-async-destinations"""


@dataclass(frozen=True)
class Outcome:
    """How an asynchronous invocation ended.

    `executed_version`, `function_error` and `answer` are those of the last run; None if it never ran.
    """

    request_id: str
    function_arn: str
    condition: str
    invoke_count: int
    request_payload: bytes
    executed_version: str | None = None
    function_error: str | None = None
    answer: bytes | None = None


def timestamp(at: float) -> str:
    """Return a time as records of invocations have it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(outcome: Outcome, now: float) -> bytes:
    """Return the record that a destination gets. Payloads stand in it as they came."""
    context = {
        "requestId": outcome.request_id,
        "functionArn": outcome.function_arn,
        "condition": outcome.condition,
        "approximateInvokeCount": outcome.invoke_count,
    }
    members = [
        b'"version":"1.0"',
        b'"timestamp":' + _json(timestamp(now)),
        b'"requestContext":' + _json(context),
        b'"requestPayload":' + outcome.request_payload,
    ]
    if outcome.executed_version is not None:
        response = {"statusCode": 200, "executedVersion": outcome.executed_version}
        if outcome.function_error:
            response["functionError"] = outcome.function_error
        members.append(b'"responseContext":' + _json(response))
        members.append(b'"responsePayload":' + (outcome.answer or b"null"))
    return b"{" + b",".join(members) + b"}"


def dead_letter_attributes(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return the attributes of a dead letter, each a type and a value: the letter itself is the event."""
    message, code = _error_message(outcome.answer or b""), "200"
    if outcome.executed_version is None:
        message, code = "Rate Exceeded.", "429"
    cut = message.encode()[:MAX_ERROR_MESSAGE_BYTES].decode(errors="ignore")
    attributes = {"RequestID": ("String", outcome.request_id), "ErrorCode": ("Number", code)}
    return attributes | ({"ErrorMessage": ("String", cut)} if cut else {})


class Deliveries:
    """Delivers to destinations, in the function's role.

    Args:
        outside: the services.
        invoke: invokes a function asynchronously, by ARN, with a payload.
    """

    def __init__(self, outside: Outside, invoke: Callable[[str, bytes], None]) -> None:
        self._outside = outside
        self._invoke = invoke

    def outcome(self, destination: str, role: str, outcome: Outcome, now: float) -> None:
        """Tell a destination of asynchronous invocations how one ended."""
        record = envelope(outcome, now)
        kind = "Success" if outcome.condition == "Success" else "Failure"
        resources = [destination, outcome.function_arn]
        self._deliver(destination, role, record, (f"Lambda Function Invocation Result - {kind}", resources))

    def dead_letter(self, target: str, role: str, outcome: Outcome) -> None:
        """Send an event that was given up to a dead-letter queue or topic."""
        attributes = dead_letter_attributes(outcome)
        self._deliver(target, role, outcome.request_payload, ("", ()), attributes)

    def stream_failure(self, destination: str, role: str, record: Mapping[str, Any], key: str) -> None:
        """Tell a destination of an event source that a batch was given up.

        Args:
            destination: its ARN.
            role: the function's role.
            record: what it is told.
            key: the object's key where the destination is a bucket.
        """
        self._deliver(destination, role, _json(record), (key, ()))

    def _deliver(
        self,
        destination: str,
        role: str,
        record: bytes,
        title: tuple[str, Sequence[str]],
        attributes: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        service = destination.split(":")[2]
        resource = f"{destination}/{title[0]}" if service == "s3" else destination
        if service not in ACTIONS or not self._outside.roles.may(role, ACTIONS[service], resource):
            log.warning("%s may not %s on %s: an outcome is not delivered", role, ACTIONS.get(service), resource)
            return
        try:
            if service == "lambda":
                self._invoke(destination, record)
            elif service == "sqs":
                self._outside.queues.send(destination, record.decode(), attributes or {})
            elif service == "sns":
                self._outside.topics.publish(destination, record.decode(), attributes or {})
            elif service == "events":
                self._outside.buses.put(destination, title[0], title[1], record.decode())
            else:
                self._outside.objects.put(destination.rpartition(":")[2], title[0], record)
        except LookupError as error:
            log.warning("an outcome is not delivered to %s: %s", destination, error)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _error_message(answer: bytes) -> str:
    try:
        found = json.loads(answer)
    except ValueError:
        return ""
    return str(found.get("errorMessage", "")) if isinstance(found, dict) else ""
