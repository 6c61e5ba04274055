"""Takes documents from the algorithm's queue, and sends answers to the next algorithms or writes them to its bucket.

Delivery is at least once: answers are written under keys that follow from the message, and the first one stands.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from functools import cache
from typing import Any

from aws_equipment import documents, envelope
from aws_equipment.documents import Answer
from aws_equipment.envelope import Message
from aws_equipment.errors import EquipmentError

MAX_RECEIVE_COUNT = 3
"""How often SQS delivers a message: the same as in algorithm.yaml's redrive policy."""

MAX_REASON_CHARS = 1_000
MAX_TRACE_CHARS = 8_000

PRECONDITION_FAILED, CONFLICT = 412, 409
MAX_WRITES = 3
"""S3 answers 412 where the object is there, and 409 where two writes of it meet: then the loser has to ask again.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""


def run(algorithm: Any, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle the messages of one event one by one; return which of them SQS has to deliver again.

    If too little time is left for another message as slow as the slowest so far, the rest are returned unprocessed: a
    timeout would redeliver the finished ones as well.

    Raises:
        EquipmentError: the event is not one of SQS.
    """
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not all(_is_message(record) for record in records):
        raise EquipmentError("the event has no messages: in production an algorithm is invoked by its queue")
    failures = []
    slowest_ms = 0.0
    for number, record in enumerate(records):
        if number and context.get_remaining_time_in_millis() < slowest_ms:
            given_back = [each["messageId"] for each in records[number:]]
            _log("WARNING", {"reason": "too little time is left for these messages", "givenBack": given_back})
            failures += given_back
            break
        begin = time.monotonic()
        try:
            _handle(algorithm, record)
        # sys.exit in an algorithm must not take the other messages with it.
        except (Exception, SystemExit) as error:
            if not _record_failure(record, error):
                failures.append(record["messageId"])
        slowest_ms = max(slowest_ms, (time.monotonic() - begin) * 1_000)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _is_message(record: Any) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(key), str) for key in ("messageId", "body"))


def _handle(algorithm: Any, record: dict[str, Any]) -> None:
    message = documents.parse_message(record["body"], record["messageId"])
    next_: dict[str, Any] = json.loads(os.environ["GREENROOM_NEXT"])
    route = list(next_) if message.route is None else message.route
    if unknown := [name for name in route if name not in next_]:
        raise EquipmentError(f"the message is routed to {', '.join(unknown)}, which metadata.json's next does not name")
    document = message.document if message.claim is None else _fetch(message)
    answer = documents.encode(algorithm.translate(document))
    if not next_:
        _write_result(message, answer)
    for name in dict.fromkeys(route):
        _forward(message, answer, next_[name])


def _fetch(message: Message) -> Any:
    claim = message.claim
    assert claim is not None  # noqa: S101 -- the caller has looked
    if claim.bucket != os.environ["GREENROOM_BUCKET"]:
        raise EquipmentError(f"the claim is for bucket {claim.bucket}, which is not this algorithm's")
    found = _client("s3").get_object(Bucket=claim.bucket, Key=claim.key)
    with found["Body"] as stream:
        # One byte more shows an object that is larger than claimed, whatever its length is said to be.
        body = documents.redeem(claim, stream.read(claim.size_bytes + 1))
    return documents.decode(body, message.content_type)


def _forward(message: Message, answer: Answer, target: dict[str, str]) -> None:
    body = documents.inline_body(message, answer)
    if body is None:
        key = documents.inbox_key(message, answer, os.environ["GREENROOM_ALGORITHM"])
        _write_once(target["bucket"], key, answer, {})
        body = documents.claim_body(message, answer, target["bucket"], key)
    _client("sqs").send_message(QueueUrl=target["queueUrl"], MessageBody=body)


def _write_result(message: Message, answer: Answer) -> None:
    metadata = {
        "greenroom-release": os.environ["GREENROOM_RELEASE"],
        "greenroom-version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "greenroom-message": message.message_id,
    }
    key = envelope.result_key(message.message_id, os.environ["GREENROOM_ALGORITHM"], answer.content_type)
    _write_once(os.environ["GREENROOM_BUCKET"], key, answer, metadata)


def _write_once(bucket: str, key: str, answer: Answer, metadata: dict[str, str]) -> None:
    """Write an object unless it is there already: then an earlier delivery has written it."""
    from botocore.exceptions import ClientError

    for attempt in range(1, MAX_WRITES + 1):
        try:
            _client("s3").put_object(
                Bucket=bucket,
                Key=key,
                Body=answer.body,
                ContentType=answer.content_type,
                Metadata=metadata,
                IfNoneMatch="*",
            )
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == PRECONDITION_FAILED:
                return
            if status != CONFLICT or attempt == MAX_WRITES:
                raise
        else:
            return


def _record_failure(record: dict[str, Any], error: BaseException) -> bool:
    """Record why a message could not be handled; after the last try put it into the dead-letter queue with the reason.

    Return whether it is there. If not, SQS delivers it again, or moves it without a reason.
    """
    attempt = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    reason = _printable(f"{type(error).__name__}: {error}")[:MAX_REASON_CHARS]
    try:
        message_id = documents.parse_message(record["body"], record["messageId"]).message_id
    except EquipmentError:
        message_id = record["messageId"].replace("-", "")
    final = attempt >= MAX_RECEIVE_COUNT
    failure = {
        "reason": reason,
        "attempt": attempt,
        "final": final,
        "messageId": message_id,
        "release": os.environ["GREENROOM_RELEASE"],
        "version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
    }
    trace = "".join(traceback.format_exception(error))[-MAX_TRACE_CHARS:]
    _log("ERROR", {**failure, "traceback": trace})
    try:
        _client("s3").put_object(
            Bucket=os.environ["GREENROOM_BUCKET"],
            Key=envelope.failure_key(message_id, os.environ["GREENROOM_ALGORITHM"]),
            Body=json.dumps(failure).encode(),
            ContentType=envelope.JSON,
        )
        if final:
            _client("sqs").send_message(
                QueueUrl=os.environ["GREENROOM_DEAD_LETTER_QUEUE_URL"],
                MessageBody=record["body"],
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
            )
    except Exception as second:
        _log("ERROR", {"reason": f"{type(second).__name__}: {second}", "messageId": message_id})
        return False
    return final


def _printable(text: str) -> str:
    """Replace characters that SQS refuses in an attribute and that do not belong in a log line."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _log(level: str, entry: dict[str, Any]) -> None:
    """Write one JSON line to the function's log."""
    print(json.dumps({"level": level, **entry}), flush=True)


def prepare() -> None:
    """Make the clients in the init phase, in which Lambda does not limit CPU.

    Otherwise the first document of a small function would wait for seconds. This calls no service, and a test does not
    use the clients.
    """
    for name in ("s3", "sqs"):
        _client(name)


@cache
def _client(name: str) -> Any:
    import boto3

    return boto3.client(name)  # type: ignore[call-overload]
