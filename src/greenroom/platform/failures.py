"""Messages that could not be handled: looking into a dead-letter queue, redriving, deleting.

Each algorithm has such a queue, with documents, and the platform has one for uploads that it could not register.

SQS shows a message only to a receiver. So every call here receives what is in the queue, which hides it from others for
a moment, does its work with the messages it was asked for, and shows the others again at once. Nothing is kept between
two calls: a message is named by its SQS id, which stays the same until it leaves the queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from greenroom.messages import envelope
from greenroom.messages.envelope import Legible
from greenroom.platform import ingest, names, storage
from greenroom.platform.production import ANSWER_EXPIRES_S
from greenroom.platform.services import Services
from greenroom.wire import models

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

HIDDEN_S = 30
"""How long a message stays hidden if the call that looks at it dies: as long as the HTTP API has for an answer."""

MOST_SEARCHED, MOST_HANDLED = 1_000, 200
"""How many messages one call looks through for those it was asked for, and how many it handles if it was asked for all.
SQS gives ten a request, and the HTTP API has 30 s for an answer."""

MAX_SHOWN_CHARS = 8_000
"""How much of a document a list shows: 100 of them, escaped, stay below the 6 MB of a Lambda answer."""

RECEIVE_COUNT = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""


@dataclass(frozen=True)
class DeadLetters:
    """A dead-letter queue, the queue its messages came from, and its algorithm; None for that of failed uploads."""

    url: str
    source_name: str
    algorithm: str | None = None


def of_algorithm(services: Services, name: str) -> DeadLetters:
    """Return an algorithm's dead-letter queue. Raises NotFound."""
    algorithm, prefix = services.registry.algorithm(name), services.settings.prefix
    dead, source = names.dead_letter_queue(prefix, algorithm.name), names.input_queue(prefix, algorithm.name)
    return DeadLetters(_url(services, dead), source, algorithm.name)


def of_uploads(services: Services) -> DeadLetters:
    """Return the dead-letter queue of uploads that the platform could not register."""
    settings = services.settings
    return DeadLetters(_url(services, settings["INGEST_DLQ"]), settings["INGEST_QUEUE"])


def look(services: Services, letters: DeadLetters, limit: int) -> models.FailureList:
    """Return the messages in the queue, oldest first, with the beginning of each document, and how many there are."""
    found: list[models.Failure] = []

    def note(message: MessageTypeDef) -> bool:
        found.append(_failure(services, letters, message, MAX_SHOWN_CHARS))
        return True

    total = each(services, letters, note, None, limit)
    oldest_first = sorted(found, key=lambda failure: (failure.since, failure.failure_id))
    return models.FailureList(failures=oldest_first, total=total)


def find(services: Services, letters: DeadLetters, failure_id: str) -> models.Failure | None:
    """Return one message with all of its document; None if it is not in the queue."""
    found: list[models.Failure] = []

    def note(message: MessageTypeDef) -> bool:
        found.append(_failure(services, letters, message, None))
        return True

    each(services, letters, note, {failure_id}, MOST_SEARCHED)
    return found[0] if found else None


def redrive(services: Services, letters: DeadLetters, failure_ids: Collection[str] | None) -> models.Redriven:
    """Put messages back into the queue they came from: those named, or all of them, up to 200 a call.

    Each is sent first and deleted then: whatever happens between, a message is delivered twice rather than lost. The
    record of a document's failure goes, so that its sender sees it as pending again.
    """
    source = _url(services, letters.source_name)

    def send_back(message: MessageTypeDef) -> None:
        message_id = envelope.look(message["Body"]).message_id
        if letters.algorithm and message_id:
            key = envelope.failure_key(message_id, letters.algorithm)
            services.s3.delete_object(Bucket=services.algorithm_bucket(letters.algorithm), Key=key)
        services.sqs.send_message(QueueUrl=source, MessageBody=message["Body"])
        services.sqs.delete_message(QueueUrl=letters.url, ReceiptHandle=message["ReceiptHandle"])

    count, left = _handle(services, letters, send_back, failure_ids)
    return models.Redriven(redriven=count, left=left)


def delete(services: Services, letters: DeadLetters, failure_ids: Collection[str] | None) -> models.Deleted:
    """Delete messages: those named, or all, up to 200 a call. The records of their failures stay."""

    def forget(message: MessageTypeDef) -> None:
        services.sqs.delete_message(QueueUrl=letters.url, ReceiptHandle=message["ReceiptHandle"])

    count, left = _handle(services, letters, forget, failure_ids)
    return models.Deleted(deleted=count, left=left)


def _handle(
    services: Services,
    letters: DeadLetters,
    act: Callable[[MessageTypeDef], None],
    failure_ids: Collection[str] | None,
) -> tuple[int, int]:
    """Act on messages; return how many there were, and how many are left as far as SQS knows."""
    count = 0

    def act_and_count(message: MessageTypeDef) -> bool:
        nonlocal count
        act(message)
        count += 1
        return False

    total = each(services, letters, act_and_count, failure_ids, MOST_HANDLED if failure_ids is None else MOST_SEARCHED)
    return count, max(0, total - count)


def each(
    services: Services,
    letters: DeadLetters,
    act: Callable[[MessageTypeDef], bool],
    wanted: Collection[str] | None,
    most: int,
) -> int:
    """Act on each message in the queue, or on those wanted; return how many messages there are.

    `act` returns whether the message stays in the queue. Those that stay are shown to others again at the end, and so
    are those that were not wanted.
    """
    url = letters.url
    total = _count(services, url)
    hidden: dict[str, str] = {}
    left = None if wanted is None else set(wanted)
    try:
        for messages in _received(services, url, min(total, most)):
            hidden |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            for message in messages:
                if (left is None or message["MessageId"] in left) and not act(message):
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


def _failure(
    services: Services, letters: DeadLetters, message: MessageTypeDef, max_chars: int | None
) -> models.Failure:
    body = message["Body"]
    legible = envelope.look(body) if letters.algorithm else Legible()
    attributes: dict[str, Any] = dict(message.get("MessageAttributes", {}))
    return models.Failure(
        failure_id=message["MessageId"],
        message_id=legible.message_id,
        release_id=None if letters.algorithm else _release_id(body),
        reason=attributes["reason"].get("StringValue") if "reason" in attributes else None,
        since=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1_000, UTC),
        content_type=legible.content_type or envelope.TEXT,
        to=legible.route,
        **_document(services, letters, body, max_chars),
    )


def _document(services: Services, letters: DeadLetters, body: str, max_chars: int | None) -> dict[str, Any]:
    """Return the fields of a failure that are about its document: the text or its beginning, or where to get it."""
    legible = envelope.look(body) if letters.algorithm else Legible()
    claim, bucket = legible.claim, services.algorithm_bucket(letters.algorithm) if letters.algorithm else None
    # A body could name any object: only a document of this algorithm is shown.
    if claim is not None and claim.bucket == bucket and claim.key.startswith(envelope.INBOX):
        parameters = {"Bucket": claim.bucket, "Key": claim.key}
        url = services.s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=ANSWER_EXPIRES_S)
        return {"size_bytes": claim.size_bytes, "url": url}
    value = legible.document if legible.has_document else body
    document = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    shown = document[:max_chars]
    return {"size_bytes": len(body.encode()), "document": shown, "cut": shown != document}


def _release_id(body: str) -> str | None:
    """Return the release that an event about an upload is for."""
    try:
        return storage.release_of_upload(ingest.upload_keys(body)[0])
    except (ValueError, IndexError, RecursionError):
        return None
