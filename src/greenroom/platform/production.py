"""Production as seen from the API: documents sent to live algorithms, their answers, and the way back.

A document goes to the inbox of the first algorithm's bucket by presigned POST and travels on as a claim check: real
firewall exports are larger than an SQS message. Answers lie under keys that follow from the message's id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from greenroom.messages import envelope
from greenroom.messages.envelope import Claim, Message
from greenroom.platform import aws_errors, names, storage
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Conflict, NotFound, Status, new_id
from greenroom.wire import models
from greenroom.wire.requests import MAX_DOCUMENT_BYTES

DOCUMENT_EXPIRES_S = 900
ANSWER_EXPIRES_S = 900
MAX_FAILURE_BYTES = 64 * 1024


class NotPossible(RuntimeError):
    """What was asked for can't be done now.

    Args:
        message: why.
        hint: what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class AllowedDocument:
    """A message's id, and the form that lets its document in."""

    message_id: str
    url: str
    fields: dict[str, str]
    max_size_bytes: int = MAX_DOCUMENT_BYTES


def allow_document(services: Services, name: str, content_type: str, to: Sequence[str] | None) -> AllowedDocument:
    """Return a new message's id and a presigned POST for its document. Raises NotFound or NotPossible."""
    route(services, name, to)
    message_id = new_id()
    form = services.s3.generate_presigned_post(
        Bucket=services.algorithm_bucket(name),
        Key=envelope.document_key(message_id, content_type),
        Fields={"Content-Type": content_type},
        Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, MAX_DOCUMENT_BYTES]],
        ExpiresIn=DOCUMENT_EXPIRES_S,
    )
    return AllowedDocument(message_id, form["url"], form["fields"])


def submit(services: Services, name: str, message_id: str, content_type: str, to: Sequence[str] | None) -> list[str]:
    """Put an uploaded document into the algorithm's queue; return who will answer. Raises NotFound or NotPossible."""
    answering = route(services, name, to)
    bucket, key = services.algorithm_bucket(name), envelope.document_key(message_id, content_type)
    try:
        size_bytes = services.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ClientError as error:
        if not aws_errors.is_absent_object(error):
            raise
        raise NotPossible(f"no document of message {message_id} has arrived", "Upload it first.") from error
    claim = Claim(bucket, key, size_bytes, sha256=None)
    message = Message(message_id, None if answering == [name] else answering, content_type, claim=claim)
    queue = names.input_queue(services.settings.prefix, name)
    url = services.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    services.sqs.send_message(QueueUrl=url, MessageBody=envelope.write(message))
    return answering


def route(services: Services, name: str, to: Sequence[str] | None) -> list[str]:
    """Return which algorithms will answer a document sent to `name`, in the order asked for.

    Raises NotFound if there is no such algorithm, NotPossible if it is not live, may not forward to one of `to`, or
    one of those is not live.
    """
    algorithm = services.registry.algorithm(name)
    _require_live(algorithm)
    answering = list(dict.fromkeys(to if to is not None else algorithm.next))
    for target in answering:
        if target not in algorithm.next:
            allowed = ", ".join(algorithm.next) or "none"
            raise NotPossible(f"{name} does not forward to {target!r}", f"Its metadata's next allows: {allowed}.")
        try:
            _require_live(services.registry.algorithm(target))
        except NotFound as error:
            message = f"{name} would forward to {target!r}, which does not exist yet"
            raise NotPossible(message, f"Push {target} first.") from error
    return answering or [name]


def _require_live(algorithm: Algorithm) -> None:
    if algorithm.live is None:
        raise NotPossible(f"{algorithm.name} has no live release yet", "Push one that passes its tests.")


def answers(services: Services, message_id: str, name: str, to: Sequence[str] | None) -> list[models.MessageResult]:
    """Return what has become of a message at each algorithm that answers it, or at the one it was sent to."""
    answering = to if to else [*services.registry.algorithm(name).next] or [name]
    found = [_answer(services, message_id, target) for target in answering]
    if name not in answering and any(answer.status == "pending" for answer in found):
        # A document that the first algorithm could not read never reaches the others.
        failure = _failure(services, message_id, name)
        if failure:
            told = {"status": failure.status, "reason": f"{name}: {failure.reason}"}
            found = [answer.model_copy(update=told) if answer.status == "pending" else answer for answer in found]
    return found


def _answer(services: Services, message_id: str, name: str) -> models.MessageResult:
    bucket = services.algorithm_bucket(name)
    try:
        for key in storage.keys(services.s3, bucket, envelope.result_prefix(message_id, name)):
            head = services.s3.head_object(Bucket=bucket, Key=key)
            meta = head.get("Metadata", {})
            return models.MessageResult(
                algorithm=name,
                status="done",
                content_type=head.get("ContentType"),
                size_bytes=head["ContentLength"],
                url=services.s3.generate_presigned_url(
                    "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=ANSWER_EXPIRES_S
                ),
                release_id=meta.get("greenroom-release"),
                version=meta.get("greenroom-version"),
            )
    except ClientError as error:
        if not aws_errors.is_absent_bucket(error):
            raise
        raise NotFound(f"there is no algorithm {name!r}") from error
    return _failure(services, message_id, name) or models.MessageResult(algorithm=name)


def _failure(services: Services, message_id: str, name: str) -> models.MessageResult | None:
    """Return why the algorithm gave the message up, or why it is tried again; None if neither is known."""
    key = envelope.failure_key(message_id, name)
    try:
        body = storage.read(services.s3, services.algorithm_bucket(name), key, max_bytes=MAX_FAILURE_BYTES)
    except KeyError:
        return None
    failure: dict[str, Any] = json.loads(body)
    if failure.get("final"):
        return models.MessageResult(algorithm=name, status="failed", reason=str(failure.get("reason")))
    again = f"try {failure.get('attempt')} failed, and it is tried again: {failure.get('reason')}"
    return models.MessageResult(algorithm=name, reason=again)


def roll_back(services: Services, name: str, asked: models.RollBack, *, author: str | None = None) -> models.RolledBack:
    """Make an earlier release the live one again, for `author`: the one asked for, or the last one that was live.

    A test that is under way goes on, and may go live afterwards. Raises NotFound, NotPossible, or Conflict if another
    release is live than the one that was to be replaced, or another call was faster.
    """
    algorithm = services.registry.algorithm(name)
    if algorithm.live is None:
        raise NotPossible(f"{name} has no live release", "There is nothing to roll back.")
    if asked.from_release_id not in (None, algorithm.live.release_id):
        raise Conflict(f"release {asked.from_release_id} is no longer live: {algorithm.live.release_id} is")
    candidates = {before.release_id: before for before in algorithm.live_before}
    if not candidates:
        raise NotPossible(f"{name} has had no other live release", "There is nothing to roll back to.")
    target = asked.to_release_id or next(iter(candidates))
    if target not in candidates:
        kept = ", ".join(candidates)
        raise NotPossible(f"release {target} can't be rolled back to", f"The versions of these are kept: {kept}.")
    release = services.registry.release(target)
    if release.status not in (Status.RETIRED, Status.ROLLED_BACK):
        raise Conflict(f"release {target} is {release.status}")
    version = candidates[target].version
    client = services.lambda_
    try:
        client.update_alias(FunctionName=services.function_name(name), Name=names.PROD, FunctionVersion=version)
    except client.exceptions.ResourceNotFoundException as error:
        raise NotPossible(
            f"version {version} of release {target} is no longer kept", "Push that package again."
        ) from error
    try:
        services.registry.roll_back(algorithm, release, author=author)
    except Conflict:
        # Another call was faster: alias prod follows the registry.
        if live := services.registry.algorithm(name).live:
            client.update_alias(
                FunctionName=services.function_name(name), Name=names.PROD, FunctionVersion=live.version
            )
        raise
    return models.RolledBack(release_id=target, rolled_back_release_id=algorithm.live.release_id, version=version)
