"""The parameters that routes have in common."""

from __future__ import annotations

import hashlib
from typing import Annotated
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Header, Path

from greenroom.wire.base import NAME_PATTERN, ULID_PATTERN
from greenroom.wire.requests import FAILURE_ID_PATTERN

MAX_AUTHOR_CHARS = 80

ReleaseId = Annotated[str, Path(pattern=ULID_PATTERN, description="A release's id, a ULID")]
MessageId = Annotated[str, Path(pattern=ULID_PATTERN, description="A message's id, a ULID")]
FailureId = Annotated[
    str, Path(pattern=FAILURE_ID_PATTERN, description="The SQS id of a message that could not be handled")
]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="An algorithm's name")]
Author = Annotated[
    str | None,
    Header(
        alias="X-Greenroom-Author",
        description="The name for the release's history, as percent-encoded UTF-8. It is believed as given.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Made by the client: a request that is sent again with it within a day begins nothing new.",
    ),
]


def request_id(key: str | None) -> str | None:
    """Return a request's id from the client's key, which may be any text; None if there is none."""
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def author_name(author: str | None) -> str | None:
    """Return the name in the header, without what can't be printed; None if nothing is left."""
    given = unquote(author or "", errors="replace")
    name = "".join(char for char in given if char.isprintable()).strip()
    return name[:MAX_AUTHOR_CHARS] or None
