"""The envelope that a message's body is, and the keys of documents, answers and failures in an algorithm's bucket.

    {"greenroom": 1, "messageId": …, "route": …, "contentType": …, "document": … or "claim": …}

The platform writes an envelope for each document that is sent to it; the equipment reads it, and writes one for each
next algorithm. Whoever may send to a queue may have written one, so no field is taken for granted.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

JSON, TEXT = "application/json", "text/plain"
SUFFIXES = {JSON: "json", TEXT: "txt"}
"""The content types of documents, with the ends of their names."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

VERSION = 1
MESSAGE_ID = re.compile(r"[A-Za-z0-9]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")

INBOX = "inbox/"
"""The prefix below which documents wait that a message claims."""


class Fault(ValueError):
    """A field of an envelope is missing or wrong; the message says which."""


@dataclass(frozen=True)
class Claim:
    """Where a document lies that is too large for a message, and its size and SHA-256 (None: not known)."""

    bucket: str
    key: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Message:
    """A message: its id, which next algorithms get the answer (None: all), and a document or the claim for it."""

    message_id: str
    route: list[str] | None
    content_type: str
    document: Any = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Legible:
    """The fields of a body that could be read; None for a field that is missing or wrong.

    A body that is not an envelope has none. `has_document` tells a document that is null from none.
    """

    message_id: str | None = None
    route: list[str] | None = None
    content_type: str | None = None
    document: Any = None
    has_document: bool = False
    claim: Claim | None = None


def write(message: Message) -> str:
    """Return a message's body, escaped to ASCII: SQS refuses some characters, and characters are then bytes."""
    fields: dict[str, Any] = {
        "greenroom": VERSION,
        "messageId": message.message_id,
        "route": message.route,
        "contentType": message.content_type,
    }
    if (claim := message.claim) is None:
        fields["document"] = message.document
    else:
        fields["claim"] = {
            "bucket": claim.bucket,
            "key": claim.key,
            "sizeBytes": claim.size_bytes,
            "sha256": claim.sha256,
        }
    return json.dumps(fields, separators=(",", ":"))


def is_envelope(value: Any) -> bool:
    """Return whether a body's JSON says that it is an envelope."""
    return isinstance(value, dict) and value.get("greenroom") == VERSION


def read(fields: dict[str, Any]) -> Message:
    """Return the message in an envelope. Raises Fault at the first field that is missing or wrong."""
    message_id, route, content_type = _message_id(fields), _route(fields), _content_type(fields)
    if ("claim" in fields) == ("document" in fields):
        raise Fault("the envelope has to have either a document or a claim")
    if "claim" in fields:
        return Message(message_id, route, content_type, claim=_claim(fields))
    if content_type == TEXT and not isinstance(fields["document"], str):
        raise Fault("the envelope's contentType is text/plain, and its document is not text")
    return Message(message_id, route, content_type, fields["document"])


def look(body: str) -> Legible:
    """Return what can be read of a body, for showing it: whatever is wrong with it, this raises nothing."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return Legible()
    if not is_envelope(fields):
        return Legible()
    found: dict[str, Any] = {}
    for name, read_field in (
        ("message_id", _message_id),
        ("route", _route),
        ("content_type", _content_type),
        ("claim", _claim),
    ):
        with suppress(Fault):
            found[name] = read_field(fields)
    return Legible(**found, document=fields.get("document"), has_document="document" in fields)


def document_key(message_id: str, content_type: str) -> str:
    """Return where a document lies that was sent from outside."""
    return inbox_key(message_id, "document", content_type)


def inbox_key(message_id: str, name: str, content_type: str) -> str:
    """Return where a document waits for the algorithm whose bucket it is in."""
    return f"{INBOX}{message_id}/{name}.{SUFFIXES[content_type]}"


def result_key(message_id: str, algorithm: str, content_type: str) -> str:
    """Return where an algorithm's answer lies; the same for each delivery of a message."""
    return f"{result_prefix(message_id, algorithm)}{SUFFIXES[content_type]}"


def result_prefix(message_id: str, algorithm: str) -> str:
    """Return what the key of an algorithm's answer begins with, whatever its content type is."""
    return f"results/{message_id}/{algorithm}."


def failure_key(message_id: str, algorithm: str) -> str:
    """Return where an algorithm writes why it could not handle a message."""
    return f"failures/{message_id}/{algorithm}.json"


def _message_id(fields: dict[str, Any]) -> str:
    message_id = fields.get("messageId")
    if not isinstance(message_id, str) or not MESSAGE_ID.fullmatch(message_id):
        raise Fault("the envelope's messageId is not up to 64 letters and digits")
    return message_id


def _route(fields: dict[str, Any]) -> list[str] | None:
    route = fields.get("route")
    if route is not None and not (isinstance(route, list) and route and all(isinstance(name, str) for name in route)):
        raise Fault("the envelope's route is neither null nor a list of one name or more")
    return route


def _content_type(fields: dict[str, Any]) -> str:
    content_type = fields.get("contentType", JSON)
    if not isinstance(content_type, str) or content_type not in SUFFIXES:
        raise Fault(f"the envelope's contentType is {content_type!r}; allowed: {', '.join(SUFFIXES)}")
    return content_type


def _claim(fields: dict[str, Any]) -> Claim:
    claim = fields.get("claim")
    if not isinstance(claim, dict) or not all(isinstance(claim.get(key), str) for key in ("bucket", "key")):
        raise Fault("the envelope's claim names no bucket and key")
    size_bytes, digest = claim.get("sizeBytes"), claim.get("sha256")
    if type(size_bytes) is not int or not 0 <= size_bytes <= MAX_DOCUMENT_BYTES:
        raise Fault(f"the claim's sizeBytes is {size_bytes!r}; allowed: 0 to {MAX_DOCUMENT_BYTES:,}")
    if digest is not None and not (isinstance(digest, str) and SHA256.fullmatch(digest)):
        raise Fault("the claim's sha256 is neither null nor 64 hexadecimal digits")
    return Claim(claim["bucket"], claim["key"], size_bytes, digest)
