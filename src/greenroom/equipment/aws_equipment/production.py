"""Documents from the algorithm's queue, and their answers to the next algorithms' queues or to the algorithm's bucket.

Delivery is at least once: what is written has a key that follows from the message, and the first answer stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import cache
from typing import Any

from aws_equipment import documents
from aws_equipment.documents import Message
from aws_equipment.errors import EquipmentError

MAX_RECEIVE_COUNT = 3
"""As the redrive policy in algorithm.yaml says."""

MAX_REASON_CHARS = 1_000
ANSWERED = ("PreconditionFailed", "412")
"""What S3 says to If-None-Match where an object is there already."""


def run(algorithm: Any, event: dict[str, Any]) -> dict[str, Any]:
    """Handle the messages of one event, each for itself; answer which of them have to be delivered again."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise EquipmentError("the event has no Records: in production an algorithm is invoked by its queue")
    failures = []
    for record in records:
        try:
            _handle(algorithm, record)
        except Exception as error:
            if not _rest_with_reason(record, error):
                failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _handle(algorithm: Any, record: dict[str, Any]) -> None:
    message = documents.parse_message(record["body"], record["messageId"].replace("-", ""))
    document = message.document if message.claim is None else _fetch(message)
    answer, content_type = documents.encode(algorithm.translate(document))
    next_: dict[str, Any] = json.loads(os.environ["GREENROOM_NEXT"])
    if not next_:
        _write_answer(message, answer, content_type)
        return
    route = list(next_) if message.route is None else message.route
    unknown = [name for name in route if name not in next_]
    if unknown:
        raise EquipmentError(f"the message is routed to {', '.join(unknown)}, which metadata.json's next does not name")
    for name in route:
        _forward(message, answer, content_type, next_[name])


def _fetch(message: Message) -> Any:
    claim = message.claim
    assert claim is not None  # noqa: S101 -- the caller has looked
    if claim.bucket != os.environ["GREENROOM_BUCKET"]:
        raise EquipmentError(f"the claim is for bucket {claim.bucket}, which is not this algorithm's")
    body = _client("s3").get_object(Bucket=claim.bucket, Key=claim.key)["Body"].read(documents.MAX_DOCUMENT_BYTES + 1)
    if len(body) > documents.MAX_DOCUMENT_BYTES:
        raise EquipmentError(f"the document is larger than {documents.MAX_DOCUMENT_BYTES:,} bytes")
    if claim.sha256 is not None and hashlib.sha256(body).hexdigest() != claim.sha256:
        raise EquipmentError("the document is not the one that the claim was made for")
    return documents.decode(body, message.content_type)


def _forward(message: Message, answer: bytes, content_type: str, target: dict[str, str]) -> None:
    envelope: dict[str, Any] = {
        "greenroom": 1,
        "messageId": message.message_id,
        "route": None,
        "contentType": content_type,
    }
    if len(answer) <= documents.INLINE_LIMIT_BYTES:
        envelope["document"] = documents.decode(answer, content_type)
    else:
        sender = os.environ["GREENROOM_ALGORITHM"]
        key = f"inbox/{message.message_id}/{sender}.{documents.SUFFIXES[content_type]}"
        _client("s3").put_object(Bucket=target["bucket"], Key=key, Body=answer, ContentType=content_type)
        envelope["claim"] = {
            "bucket": target["bucket"],
            "key": key,
            "sizeBytes": len(answer),
            "sha256": hashlib.sha256(answer).hexdigest(),
        }
    _client("sqs").send_message(QueueUrl=target["queueUrl"], MessageBody=json.dumps(envelope))


def _write_answer(message: Message, answer: bytes, content_type: str) -> None:
    from botocore.exceptions import ClientError

    name = os.environ["GREENROOM_ALGORITHM"]
    try:
        _client("s3").put_object(
            Bucket=os.environ["GREENROOM_BUCKET"],
            Key=f"results/{message.message_id}/{name}.{documents.SUFFIXES[content_type]}",
            Body=answer,
            ContentType=content_type,
            Metadata={
                "greenroom-release": os.environ["GREENROOM_RELEASE"],
                "greenroom-version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
                "greenroom-message": message.message_id,
            },
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in ANSWERED:
            raise


def _rest_with_reason(record: dict[str, Any], error: Exception) -> bool:
    """Say why a message could not be handled; after the last try lay it into the dead-letter queue with that reason.

    Returns whether it rests there. If not, SQS delivers it again, or moves it without a reason.
    """
    attempt = int(record["attributes"]["ApproximateReceiveCount"])
    reason = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS]
    try:
        message_id = documents.parse_message(record["body"], record["messageId"].replace("-", "")).message_id
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
    print(json.dumps({"level": "ERROR", **failure}))
    try:
        _client("s3").put_object(
            Bucket=os.environ["GREENROOM_BUCKET"],
            Key=f"failures/{message_id}/{os.environ['GREENROOM_ALGORITHM']}.json",
            Body=json.dumps(failure).encode(),
            ContentType=documents.JSON,
        )
        if final:
            _client("sqs").send_message(
                QueueUrl=os.environ["GREENROOM_DEAD_LETTER_QUEUE_URL"],
                MessageBody=record["body"],
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
            )
    except Exception as second:
        print(json.dumps({"level": "ERROR", "reason": f"{type(second).__name__}: {second}"}), file=sys.stderr)
        return False
    return final


def prepare() -> None:
    """Make the clients in the init phase, which has all of the CPU: the first document of a small function would wait
    for seconds. Nothing is called; a test finds them and leaves them alone."""
    for name in ("s3", "sqs"):
        _client(name)


@cache
def _client(name: str) -> Any:
    import boto3

    return boto3.client(name)  # type: ignore[call-overload]
