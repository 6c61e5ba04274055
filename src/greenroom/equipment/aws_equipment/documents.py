"""Documents and how they travel: text or JSON, in an envelope, or as a claim check beside it. No service is touched."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from aws_equipment.errors import EquipmentError

JSON, TEXT = "application/json", "text/plain"
SUFFIXES = {JSON: "json", TEXT: "txt"}

INLINE_LIMIT_BYTES = 192 * 1024
"""Of an encoded message. SQS takes 1 MiB, and Lambda an event of 6 MB, in which ten messages are escaped once more.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

MESSAGE_ID = re.compile(r"[A-Za-z0-9]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Claim:
    """Where a document lies that is too large for a message, and what it has to be."""

    bucket: str
    key: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Message:
    """An envelope: whose message it is, who answers, and the document or the claim for it."""

    message_id: str
    route: list[str] | None
    content_type: str
    document: Any = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Answer:
    """What `translate` gave, and how it is written."""

    value: Any
    body: bytes
    content_type: str


def parse_message(body: str, sqs_message_id: str) -> Message:
    """Read a message's body. One that is no envelope is itself the document, JSON or text.

    Raises:
        EquipmentError: it is an envelope, and a field of it is missing or wrong.
    """
    own_id = re.sub(r"[^A-Za-z0-9]", "", sqs_message_id)[:64]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Message(own_id, None, TEXT, body)
    if not isinstance(value, dict) or value.get("greenroom") != 1:
        return Message(own_id, None, JSON, value)
    message_id, route, content_type = value.get("messageId"), value.get("route"), value.get("contentType", JSON)
    if not isinstance(message_id, str) or not MESSAGE_ID.fullmatch(message_id):
        raise EquipmentError("the envelope's messageId is not up to 64 letters and digits")
    if route is not None and not (isinstance(route, list) and route and all(isinstance(name, str) for name in route)):
        raise EquipmentError("the envelope's route is neither null nor a list of one name or more")
    if not isinstance(content_type, str) or content_type not in SUFFIXES:
        raise EquipmentError(f"the envelope's contentType is {content_type!r}; allowed: {', '.join(SUFFIXES)}")
    if ("claim" in value) == ("document" in value):
        raise EquipmentError("the envelope has to have either a document or a claim")
    if "claim" in value:
        return Message(message_id, route, content_type, claim=_claim(value["claim"]))
    if content_type == TEXT and not isinstance(value["document"], str):
        raise EquipmentError("the envelope's contentType is text/plain, and its document is no text")
    return Message(message_id, route, content_type, value["document"])


def _claim(value: Any) -> Claim:
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("bucket", "key")):
        raise EquipmentError("the envelope's claim names no bucket and key")
    size_bytes, digest = value.get("sizeBytes"), value.get("sha256")
    if type(size_bytes) is not int or not 0 <= size_bytes <= MAX_DOCUMENT_BYTES:
        raise EquipmentError(f"the claim's sizeBytes is {size_bytes!r}; allowed: 0 to {MAX_DOCUMENT_BYTES:,}")
    if digest is not None and not (isinstance(digest, str) and SHA256.fullmatch(digest)):
        raise EquipmentError("the claim's sha256 is neither null nor 64 hexadecimal digits")
    return Claim(value["bucket"], value["key"], size_bytes, digest)


def redeem(claim: Claim, body: bytes) -> bytes:
    """Return the body that was fetched for a claim. Raises EquipmentError if it is not what was claimed."""
    if len(body) != claim.size_bytes:
        raise EquipmentError(f"the document has not the {claim.size_bytes:,} bytes that the claim was made for")
    if claim.sha256 is not None and hashlib.sha256(body).hexdigest() != claim.sha256:
        raise EquipmentError("the document is not the one that the claim was made for: its SHA-256 differs")
    return body


def envelope(message: Message, answer: Answer) -> str | None:
    """Return the message that carries an answer on, or None if it needs a claim check."""
    # Escaped to ASCII: SQS refuses some characters, and a length in characters is then one in bytes.
    body = json.dumps({**_header(message, answer), "document": answer.value}, separators=(",", ":"))
    return body if len(body) <= INLINE_LIMIT_BYTES else None


def claim_envelope(message: Message, answer: Answer, bucket: str, key: str) -> str:
    """Return the message that tells where an answer lies."""
    digest = hashlib.sha256(answer.body).hexdigest()
    claim = {"bucket": bucket, "key": key, "sizeBytes": len(answer.body), "sha256": digest}
    return json.dumps({**_header(message, answer), "claim": claim}, separators=(",", ":"))


def inbox_key(message: Message, answer: Answer, sender: str) -> str:
    """Return where an answer waits for the next algorithm.

    The key holds the content's SHA-256: a message that is delivered again, perhaps to another version that answers
    differently, must not change the document that an earlier claim was made for.
    """
    digest = hashlib.sha256(answer.body).hexdigest()[:16]
    return f"inbox/{message.message_id}/{sender}-{digest}.{SUFFIXES[answer.content_type]}"


def result_key(message: Message, answer: Answer, algorithm: str) -> str:
    """Return where an answer rests; the same for each delivery of a message."""
    return f"results/{message.message_id}/{algorithm}.{SUFFIXES[answer.content_type]}"


def _header(message: Message, answer: Answer) -> dict[str, Any]:
    return {"greenroom": 1, "messageId": message.message_id, "route": None, "contentType": answer.content_type}


def encode(value: Any) -> Answer:
    """Return what `translate` gave with its bytes: text as it is, a dict or a list as JSON. Raises EquipmentError."""
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
    """Return a document as `translate` gets it: parsed JSON, or text. Raises EquipmentError."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text) if content_type == JSON else text
    except UnicodeDecodeError as error:
        raise EquipmentError(f"the document is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise EquipmentError(f"the document is not JSON: {error}") from error
