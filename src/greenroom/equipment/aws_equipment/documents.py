"""Documents and how they travel: text or JSON, in an envelope, or claimed by one. No service is touched."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from aws_equipment import envelope
from aws_equipment.envelope import JSON, MAX_DOCUMENT_BYTES, TEXT, Claim, Message
from aws_equipment.errors import EquipmentError

INLINE_LIMIT_BYTES = 192 * 1024
"""The most that an encoded message with its document may have; a larger document travels as a claim.

SQS takes 1 MiB, and Lambda an event of 6 MB, in which ten messages are escaped once more.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""


@dataclass(frozen=True)
class Answer:
    """What `translate` returned, and how it is written."""

    value: Any
    body: bytes
    content_type: str


def parse_message(body: str, sqs_message_id: str) -> Message:
    """Read a message's body. One that is not an envelope is itself the document, JSON or text.

    Raises:
        EquipmentError: it is an envelope, and a field of it is missing or wrong.
    """
    own_id = re.sub(r"[^A-Za-z0-9]", "", sqs_message_id)[:64]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Message(own_id, None, TEXT, body)
    if not envelope.is_envelope(value):
        return Message(own_id, None, JSON, value)
    try:
        return envelope.read(value)
    except envelope.Fault as fault:
        raise EquipmentError(str(fault)) from fault


def redeem(claim: Claim, body: bytes) -> bytes:
    """Return the body fetched for a claim. Raises EquipmentError if it is not the document that was claimed."""
    if len(body) != claim.size_bytes:
        raise EquipmentError(f"the document does not have the {claim.size_bytes:,} bytes that the claim was made for")
    if claim.sha256 is not None and hashlib.sha256(body).hexdigest() != claim.sha256:
        raise EquipmentError("the document is not the one that the claim was made for: its SHA-256 differs")
    return body


def inline_body(message: Message, answer: Answer) -> str | None:
    """Return the body that carries an answer on, or None if it needs a claim check."""
    body = envelope.write(Message(message.message_id, None, answer.content_type, answer.value))
    return body if len(body) <= INLINE_LIMIT_BYTES else None


def claim_body(message: Message, answer: Answer, bucket: str, key: str) -> str:
    """Return the body that says where an answer lies."""
    claim = Claim(bucket, key, len(answer.body), hashlib.sha256(answer.body).hexdigest())
    return envelope.write(Message(message.message_id, None, answer.content_type, claim=claim))


def inbox_key(message: Message, answer: Answer, sender: str) -> str:
    """Return where an answer waits for the next algorithm.

    The key holds the content's SHA-256: a message that is delivered again, perhaps to another version that answers
    differently, must not change the document that an earlier claim was made for.
    """
    digest = hashlib.sha256(answer.body).hexdigest()[:16]
    return envelope.inbox_key(message.message_id, f"{sender}-{digest}", answer.content_type)


def encode(value: Any) -> Answer:
    """Return what `translate` returned, with its bytes: text as is, a dict or a list as JSON. Raises EquipmentError."""
    try:
        if isinstance(value, str):
            answer = Answer(value, value.encode(), TEXT)
        elif isinstance(value, dict | list):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            answer = Answer(value, text.encode(), JSON)
        else:
            raise EquipmentError(f"translate returned {type(value).__name__}; text, a dict or a list is needed")
    except (TypeError, ValueError, RecursionError) as error:
        raise EquipmentError(f"translate returned what can't be written: {error}") from error
    if len(answer.body) > MAX_DOCUMENT_BYTES:
        what = f"translate returned {len(answer.body):,} bytes; at most {MAX_DOCUMENT_BYTES:,} are allowed"
        raise EquipmentError(what)
    return answer


def decode(body: bytes, content_type: str) -> Any:
    """Return a document as `translate` receives it: parsed JSON, or text. Raises EquipmentError."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text) if content_type == JSON else text
    except UnicodeDecodeError as error:
        raise EquipmentError(f"the document is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise EquipmentError(f"the document is not JSON: {error}") from error
