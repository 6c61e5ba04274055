"""Messages that ended their function: by a timeout, an exit, or for want of memory.

Such a function writes no reason. SQS moves the message to the dead-letter queue after the third time, and its sender
would wait for ever. Here each gets the reason that the function's log gives, as a record next to those that functions
write.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from greenroom.messages import envelope
from greenroom.platform import aws_errors, failures, names, storage
from greenroom.platform.services import Services

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

MOST_LOG_EVENTS = 1_000
"""How many lines are looked through for the reason."""

MAX_RECORD_BYTES = 64 * 1024

STATUS = re.compile(
    r"Status: (?P<text>timeout|error)(?:\tError Type: (?P<text_type>[\w.]+))?"
    r'|"status": ?"(?P<json>timeout|error)"(?:, ?"errorType": ?"(?P<json_type>[\w.]+)")?'
)
"""How a REPORT line says, as text or as JSON, that an invocation did not end well.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report"""

WORDS = {
    "timeout": "it took longer than its timeout",
    "Runtime.ExitError": "its process ended",
    "Runtime.OutOfMemory": "it needed more memory than it has",
}


def explain(services: Services, name: str) -> int:
    """Record why each message is in an algorithm's dead-letter queue, where its function did not; return how many.

    Nothing is taken out of the queue.
    """
    letters = failures.of_algorithm(services, name)
    explained = 0

    def record(message: MessageTypeDef) -> bool:
        nonlocal explained
        message_id = envelope.look(message["Body"]).message_id
        if message_id and "reason" not in message.get("MessageAttributes", {}):
            explained += _record(services, name, message_id, int(message["Attributes"]["SentTimestamp"]))
        return True

    failures.each(services, letters, record, None, failures.MOST_SEARCHED)
    return explained


def _record(services: Services, name: str, message_id: str, sent_at_ms: int) -> bool:
    """Write the record of a failure, unless there is one; return whether it was written."""
    bucket, key = services.algorithm_bucket(name), envelope.failure_key(message_id, name)
    try:
        if json.loads(storage.read(services.s3, bucket, key, max_bytes=MAX_RECORD_BYTES)).get("final"):
            return False
    except KeyError:
        pass
    reason = reason_from(_log_lines(services, name, sent_at_ms))
    storage.write_json(services.s3, bucket, key, {"reason": reason, "final": True, "messageId": message_id})
    return True


def reason_from(lines: list[str]) -> str:
    """Return why a function ended without having handled a message, from its log since the message was sent."""
    ended = [match for line in lines if (match := STATUS.search(line))]
    kinds = dict.fromkeys(_kind(match) for match in ended)
    found = " and ".join(WORDS.get(kind, kind) for kind in kinds)
    because = f"according to its log {found}" if found else "its log does not say why"
    return f"the function ended each time before it had handled the message: {because}"


def _kind(match: re.Match[str]) -> str:
    return match["text_type"] or match["json_type"] or match["text"] or match["json"]


def _log_lines(services: Services, name: str, since_ms: int) -> list[str]:
    try:
        pages = services.logs.get_paginator("filter_log_events").paginate(
            logGroupName=names.log_group(services.function_name(name)),
            startTime=since_ms,
            filterPattern="?Status ?status",
            PaginationConfig={"MaxItems": MOST_LOG_EVENTS},
        )
        return [
            event["message"]
            for page in pages
            for event in page["events"]
            if "REPORT" in event["message"] or "platform.report" in event["message"]
        ]
    except ClientError as error:
        if aws_errors.is_absent(error):
            return []
        raise
