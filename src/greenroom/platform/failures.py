"""What could not be handled: the messages that rest in a dead-letter queue, looked at, redriven, deleted.

There is one such queue for each algorithm, with documents, and one for uploads that the platform could not register.

SQS lets nobody look without receiving. So every call here receives what there is, hidden from others for a moment, does
its work with the messages it was asked for, and shows the rest again at once. Nothing is kept between two calls: a
message is named by its SQS id, which stays the same until it leaves the queue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenroom.platform import ingest, names, storage
from greenroom.platform.production import ANSWER_EXPIRES_S, CONTENT_TYPES
from greenroom.platform.services import Services

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

HIDDEN_S = 30
"""How long a message stays hidden if whoever looks at it dies: as long as the HTTP API has for an answer."""

MOST_SEARCHED, MOST_HANDLED = 1_000, 200
"""How many messages one call looks through for those it was asked for, and how many it handles where that is all of
them: SQS gives ten a request, and the HTTP API has 30 s for an answer."""

MAX_SHOWN_CHARS = 8_000
"""Of a document in a list; 100 of them, escaped, stay below the 6 MB of a Lambda answer."""

RECEIVE_COUNT = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""

MESSAGE_ID = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True)
class DeadLetters:
    """A dead-letter queue, the queue its messages came from, and the algorithm they are for: none, of uploads."""

    url: str
    source_name: str
    algorithm: str | None = None


@dataclass(frozen=True)
class Failure:
    """One message that rests: why, since when, and its document, or where that can be had for a while (`url`).

    Of an upload the document is the event that told of it, and `release_id` the release it is for.
    """

    failure_id: str
    message_id: str | None
    release_id: str | None
    reason: str | None
    since_ms: int
    content_type: str
    size_bytes: int
    document: str | None
    cut: bool
    url: str | None
    to: list[str] | None


@dataclass(frozen=True)
class Handled:
    """How many messages were redriven or deleted, and how many rest still, as far as SQS knows."""

    handled: int
    left: int


def of_algorithm(services: Services, name: str) -> DeadLetters:
    """Return where the documents rest that an algorithm could not handle. Raises NotFound if there is no such one."""
    algorithm, prefix = services.registry.algorithm(name), services.settings.prefix
    dead, source = names.dead_letter_queue(prefix, algorithm.name), names.input_queue(prefix, algorithm.name)
    return DeadLetters(_url(services, dead), source, algorithm.name)


def of_uploads(services: Services) -> DeadLetters:
    """Return where the uploads rest that the platform could not register."""
    settings = services.settings
    return DeadLetters(_url(services, settings["INGEST_DLQ"]), settings["INGEST_QUEUE"])


def look(services: Services, letters: DeadLetters, limit: int, only: str | None = None) -> tuple[list[Failure], int]:
    """Return the messages that rest, oldest first, and how many there are in all.

    With `only` it is that one message, with all of its document.
    """
    found: list[Failure] = []

    def note(message: MessageTypeDef) -> None:
        found.append(_failure(services, letters, message, None if only else MAX_SHOWN_CHARS))

    total = _each(services, letters, note, {only} if only else None, most=MOST_SEARCHED if only else limit)
    return sorted(found, key=lambda failure: (failure.since_ms, failure.failure_id)), total


def redrive(services: Services, letters: DeadLetters, failure_ids: Collection[str] | None) -> Handled:
    """Put messages back into the queue they came from: those named, or all of them, up to 200 a call.

    Sent first and deleted then: whatever happens between, a message is delivered twice rather than lost. A document's
    record of failure goes, so that whoever waits for its answer sees it as pending again.
    """
    source = _url(services, letters.source_name)

    def send_back(message: MessageTypeDef) -> None:
        message_id = _message_id(_envelope(message["Body"]))
        if letters.algorithm and message_id:
            key = f"failures/{message_id}/{letters.algorithm}.json"
            services.s3.delete_object(Bucket=services.algorithm_bucket(letters.algorithm), Key=key)
        services.sqs.send_message(QueueUrl=source, MessageBody=message["Body"])
        services.sqs.delete_message(QueueUrl=letters.url, ReceiptHandle=message["ReceiptHandle"])

    return _handle(services, letters, send_back, failure_ids)


def delete(services: Services, letters: DeadLetters, failure_ids: Collection[str] | None) -> Handled:
    """Delete messages: those named, or all, up to 200 a call. Their records of failure stay."""

    def forget(message: MessageTypeDef) -> None:
        services.sqs.delete_message(QueueUrl=letters.url, ReceiptHandle=message["ReceiptHandle"])

    return _handle(services, letters, forget, failure_ids)


def _handle(
    services: Services,
    letters: DeadLetters,
    act: Callable[[MessageTypeDef], None],
    failure_ids: Collection[str] | None,
) -> Handled:
    count = 0

    def act_and_count(message: MessageTypeDef) -> None:
        nonlocal count
        act(message)
        count += 1

    most = MOST_HANDLED if failure_ids is None else MOST_SEARCHED
    total = _each(services, letters, act_and_count, failure_ids, most=most, keep=False)
    return Handled(count, max(0, total - count))


def _each(
    services: Services,
    letters: DeadLetters,
    act: Callable[[MessageTypeDef], None],
    wanted: Collection[str] | None,
    *,
    most: int,
    keep: bool = True,
) -> int:
    """Do something with each message that rests, or with those wanted; return how many there were.

    With `keep` they stay, and are shown to others again at the end, like those that were not wanted.
    """
    url = letters.url
    total = _count(services, url)
    hidden: dict[str, str] = {}
    left = None if wanted is None else set(wanted)
    try:
        for messages in _received(services, url, min(total, most)):
            hidden |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            for message in messages:
                if left is None or message["MessageId"] in left:
                    act(message)
                    if not keep:
                        del hidden[message["MessageId"]]
            if left is not None:
                left -= {message["MessageId"] for message in messages}
                if not left:
                    break
    finally:
        for receipt in hidden.values():
            services.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return total


def _received(services: Services, url: str, count: int) -> Iterator[list[MessageTypeDef]]:
    seen = 0
    while seen < count:
        # A short wait asks all of SQS's servers; without one it is a sample of them that answers.
        messages = services.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(RECEIVE_COUNT, count - seen),
            VisibilityTimeout=HIDDEN_S,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["reason"],
        ).get("Messages", [])
        if not messages:
            return
        seen += len(messages)
        yield messages


def _url(services: Services, queue: str) -> str:
    return services.sqs.get_queue_url(QueueName=queue)["QueueUrl"]


def _count(services: Services, url: str) -> int:
    answer = services.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def _failure(services: Services, letters: DeadLetters, message: MessageTypeDef, max_chars: int | None) -> Failure:
    body = message["Body"]
    envelope = _envelope(body) if letters.algorithm else {}
    claim: Any = envelope.get("claim")
    bucket = services.algorithm_bucket(letters.algorithm) if letters.algorithm else None
    document: str | None = None
    url, size_bytes = None, len(body.encode())
    if bucket and _is_claim(claim, bucket):
        size_bytes = claim["sizeBytes"]
        url = services.s3.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": claim["key"]}, ExpiresIn=ANSWER_EXPIRES_S
        )
    elif "document" in envelope:
        value = envelope["document"]
        document = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    else:
        document = body
    content_type = envelope.get("contentType")
    route = envelope.get("route")
    shown = document if document is None or max_chars is None else document[:max_chars]
    attributes: dict[str, Any] = dict(message.get("MessageAttributes", {}))
    reason = attributes["reason"].get("StringValue") if "reason" in attributes else None
    return Failure(
        failure_id=message["MessageId"],
        message_id=_message_id(envelope),
        release_id=None if letters.algorithm else _release_id(body),
        reason=reason,
        since_ms=int(message["Attributes"]["SentTimestamp"]),
        content_type=content_type if content_type in CONTENT_TYPES else "text/plain",
        size_bytes=size_bytes,
        document=shown,
        cut=shown != document,
        url=url,
        to=[str(each) for each in route] if isinstance(route, list) else None,
    )


def _envelope(body: str) -> dict[str, Any]:
    """What a body says of its message; nothing if it is no envelope. Anybody may have put it there."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and value.get("greenroom") == 1 else {}


def _message_id(envelope: dict[str, Any]) -> str | None:
    message_id = envelope.get("messageId")
    return message_id if isinstance(message_id, str) and MESSAGE_ID.fullmatch(message_id) else None


def _release_id(body: str) -> str | None:
    """The release whose upload an event tells of."""
    try:
        return storage.release_of_upload(ingest.upload_keys(body)[0])
    except (ValueError, IndexError, RecursionError):
        return None


def _is_claim(claim: Any, bucket: str) -> bool:
    """Whether a claim is for a document of this algorithm: a body could name any object that the platform may read."""
    return (
        isinstance(claim, dict)
        and claim.get("bucket") == bucket
        and isinstance(claim.get("key"), str)
        and claim["key"].startswith("inbox/")
        and isinstance(claim.get("sizeBytes"), int)
    )
