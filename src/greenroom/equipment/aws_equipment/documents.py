"""Documents and how they travel: text or JSON, in an envelope, or as a claim check beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aws_equipment.errors import EquipmentError

JSON, TEXT = "application/json", "text/plain"
SUFFIXES = {JSON: "json", TEXT: "txt"}

INLINE_LIMIT_BYTES = 192 * 1024
"""A message of SQS has up to 1 MiB and an event of Lambda 6 MB for ten of them; the rest is for the envelope.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Claim:
    """Where a document lies that is too large for a message."""

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


def parse_message(body: str, sqs_message_id: str) -> Message:
    """Read a message's body. One that is no envelope is itself the document. Raises EquipmentError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Message(sqs_message_id, None, TEXT, body)
    if not isinstance(value, dict) or value.get("greenroom") != 1:
        return Message(sqs_message_id, None, JSON, value)
    message_id, route, content_type = value.get("messageId"), value.get("route"), value.get("contentType", JSON)
    if not isinstance(message_id, str) or not message_id.isalnum() or len(message_id) > 64:
        raise EquipmentError("the envelope's messageId is not up to 64 letters and digits")
    if route is not None and not (isinstance(route, list) and all(isinstance(name, str) for name in route)):
        raise EquipmentError("the envelope's route is neither null nor a list of names")
    if content_type not in SUFFIXES:
        raise EquipmentError(f"the envelope's contentType is {content_type!r}; allowed: {', '.join(SUFFIXES)}")
    claim = value.get("claim")
    if claim is None:
        return Message(message_id, route, content_type, value.get("document"))
    if not isinstance(claim, dict) or not all(isinstance(claim.get(key), str) for key in ("bucket", "key")):
        raise EquipmentError("the envelope's claim names no bucket and key")
    size, digest = claim.get("sizeBytes"), claim.get("sha256")
    return Message(
        message_id,
        route,
        content_type,
        claim=Claim(
            claim["bucket"],
            claim["key"],
            size if isinstance(size, int) else 0,
            digest if isinstance(digest, str) else None,
        ),
    )


def encode(answer: Any) -> tuple[bytes, str]:
    """Return what `translate` gave as bytes and content type: text as it is, anything else as JSON."""
    if isinstance(answer, str):
        return answer.encode(), TEXT
    if isinstance(answer, dict | list):
        try:
            return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(), JSON
        except (TypeError, ValueError, RecursionError) as error:
            raise EquipmentError(f"translate returned what JSON can't hold: {error}") from error
    raise EquipmentError(f"translate returned {type(answer).__name__}; text, a dict or a list is needed")


def decode(body: bytes, content_type: str) -> Any:
    """Return a document as `translate` gets it: parsed JSON, or text. Raises EquipmentError."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text) if content_type == JSON else text
    except UnicodeDecodeError as error:
        raise EquipmentError(f"the document is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise EquipmentError(f"the document is not JSON: {error}") from error
