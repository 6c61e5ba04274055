"""Batches of records: how they are cut, what a queue's messages look like in one, and what follows a failure. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html and
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from greenroom.lambda_api.invoke.destinations import timestamp
from greenroom.lambda_api.invoke.payload import MAX_BYTES
from greenroom.lambda_api.invoke.ports import Message

MAX_EVENT_BYTES = MAX_BYTES["RequestResponse"]
SHARD = "shardId-00000000000000000000-00000000"
"""The one shard of a stream here."""

EVENT_AROUND = len(b'{"Records":[]}')

Record = Mapping[str, Any]
Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True)
class Batch:
    """Records that go to the function together.

    `failures` is how often they failed, as the limit on retries counts; `invokes` is how often the function got them.
    """

    records: tuple[Record, ...]
    failures: int = 0
    invokes: int = 0


@dataclass(frozen=True)
class Rules:
    """What a mapping says about failed batches of a stream; -1 is no limit."""

    max_retries: int = -1
    max_age_s: int = -1
    bisect: bool = False

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Rules:
        """Return a mapping's rules."""
        return cls(
            int(mapping.get("MaximumRetryAttempts", -1)),
            int(mapping.get("MaximumRecordAgeInSeconds", -1)),
            bool(mapping.get("BisectBatchOnFunctionError")),
        )


@dataclass(frozen=True)
class Plan:
    """What follows a run: records that are done, batches that come again in this order, a batch that is given up."""

    done: tuple[Record, ...] = ()
    again: tuple[Batch, ...] = ()
    given_up: Batch | None = None


def after_failure(batch: Batch, failed: set[str] | None, rules: Rules) -> Plan:
    """Return what follows a run that failed, which `batch` counts already as an invoke.

    Args:
        batch: what was sent.
        failed: the sequence numbers that the function reported; None if it failed as a whole.
        rules: the mapping's.
    """
    begin = 0
    if failed:
        begin = next(number for number, each in enumerate(batch.records) if sequence(each) in failed)
    done, rest = batch.records[:begin], batch.records[begin:]
    if rules.bisect and len(rest) > 1:
        # Splitting does not count as a retry. What the function reported is where it is split.
        half = len(rest) // 2
        parts = (rest,) if begin else (rest[:half], rest[half:])
        return Plan(done, tuple(Batch(part, batch.failures, batch.invokes) for part in parts))
    left = Batch(rest, batch.failures + 1, batch.invokes)
    if 0 <= rules.max_retries < left.failures:
        return Plan(done, given_up=left)
    return Plan(done, (left,))


def without_old(batch: Batch, max_age_s: int, now: float) -> tuple[Batch | None, Batch | None]:
    """Return the part of a batch that is too old, and the rest; None where there is none."""
    if max_age_s < 0:
        return None, batch
    count = 0
    while count < len(batch.records) and created_at(batch.records[count]) < now - max_age_s:
        count += 1
    old, young = batch.records[:count], batch.records[count:]
    return (replace(batch, records=old) if old else None), (replace(batch, records=young) if young else None)


def retry_wait_s(failures: int) -> float:
    """Return how long to wait before a batch of a stream comes again: half a second, then twice as long each time."""
    return float(min(60.0, 0.5 * 2.0 ** min(failures, 30)))


def sequence(record: Record) -> str:
    """Return a stream record's sequence number."""
    return str(record["dynamodb"]["SequenceNumber"])


def created_at(record: Record) -> float:
    """Return when a stream record came about."""
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


def lane(record: Record, lanes: int) -> int:
    """Return which of the parallel lanes of a shard a record goes through: the same one for all records of an item."""
    if lanes == 1:
        return 0
    keys = json.dumps(record["dynamodb"].get("Keys"), sort_keys=True)
    return int.from_bytes(hashlib.sha256(keys.encode()).digest()[:4]) % lanes


def encoded(records: Sequence[Record]) -> bytes:
    """Return the event that holds records."""
    return json.dumps({"Records": records}, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def within_size(sizes: Sequence[int]) -> int:
    """Return how many items of these encoded sizes fit into one event; at least one."""
    total = EVENT_AROUND
    for count, size in enumerate(sizes):
        total += size + 1
        if total > MAX_EVENT_BYTES:
            return max(count, 1)
    return len(sizes)


def queue_record(message: Message, arn: str) -> dict[str, Any]:
    """Return a queue's message as a record of an event.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    """
    record: dict[str, Any] = {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": dict(message.attributes),
        "messageAttributes": {
            name: {
                **({"stringValue": value["StringValue"]} if "StringValue" in value else {}),
                **({"binaryValue": value["BinaryValue"]} if "BinaryValue" in value else {}),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.get("DataType", "String"),
            }
            for name, value in message.message_attributes.items()
        },
    }
    if message.md5_of_message_attributes:
        record["md5OfMessageAttributes"] = message.md5_of_message_attributes
    return {
        **record,
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }


def filtered_view(record: Record) -> Record:
    """Return what filters of a queue look at: the record, with a body that is JSON read as such."""
    try:
        body = json.loads(record["body"])
    except ValueError:
        return record
    return {**record, "body": body} if isinstance(body, (dict, list)) else record


@dataclass(frozen=True)
class LastRun:
    """The last run of the function on a batch: the version, and its error; None if it reported failed items."""

    request_id: str
    version: str
    error: str | None


def failure_record(
    batch: Batch, mapping: Mapping[str, Any], condition: Condition, run: LastRun, now: float
) -> dict[str, Any]:
    """Return what a destination is told of a batch that is given up.

    As recorded in `event_source_mapping/test_lambda_integration_dynamodbstreams.snapshot.json` of
    https://github.com/localstack/localstack.
    """
    first, last = batch.records[0], batch.records[-1]
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": run.request_id,
            "functionArn": mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": batch.invokes,
        },
    }
    if run.version:
        record["responseContext"] = {"statusCode": 200, "executedVersion": run.version, "functionError": run.error}
    return record | {
        "version": "1.0",
        "timestamp": timestamp(now),
        "DDBStreamBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": sequence(first),
            "endSequenceNumber": sequence(last),
            "approximateArrivalOfFirstRecord": _second(created_at(first)),
            "approximateArrivalOfLastRecord": _second(created_at(last)),
            "batchSize": len(batch.records),
            "streamArn": mapping["EventSourceArn"],
        },
    }


def failure_key(mapping: Mapping[str, Any], now: float) -> str:
    """Return the key of the object in which a bucket is told of a batch that is given up.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    at = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/{mapping['UUID']}/{SHARD}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"


def _second(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
