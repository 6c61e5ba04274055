"""The bodies that the API is sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from greenroom.wire.base import Name, Request, Ulid

MAX_PACKAGE_BYTES = 50 * 1024 * 1024
"""Lambda takes 50 MB zipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""How large a document may be that is sent to an algorithm."""


def _whole(value: object) -> object:
    """Return 24.0 as 24: to JSON Schema they are the same number. Everything else is judged by the field's type."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, BeforeValidator(_whole)]

FAILURE_ID_PATTERN = "^[A-Za-z0-9-]{1,100}$"

MAX_FAILURE_IDS = 100
MAX_TARGETS = 32

FailureId = Annotated[
    str, Field(pattern=FAILURE_ID_PATTERN, description="The SQS id of a message that could not be handled")
]
FileName = Annotated[str, Field(min_length=1, max_length=255, description="The file's name, for people")]
ContentType = Literal["application/json", "text/plain"]
Names = Annotated[
    list[Name],
    Field(min_length=1, max_length=MAX_TARGETS, description="The algorithms that it goes on to; all if none is named"),
]


class SignInWithCode(Request):
    """A one-time code, as the link has it that `greenroom page` prints."""

    code: str = Field(pattern="^[A-Za-z0-9_-]{43}$")


class NewRelease(Request):
    """A package that is about to be uploaded."""

    file_name: FileName
    size_bytes: WholeNumber = Field(ge=1, le=MAX_PACKAGE_BYTES)


class Submission(Request):
    """A document that has been uploaded, and where its answers should come from."""

    file_name: FileName
    content_type: ContentType
    to: Names | None = None


class NewMessage(Submission):
    """A document that is about to be uploaded for an algorithm."""

    size_bytes: WholeNumber = Field(ge=1, le=MAX_DOCUMENT_BYTES)


class RollBack(Request):
    """Which release to go back to; without an id, the one that was live before."""

    to_release_id: Ulid | None = None
    from_release_id: Ulid | None = Field(
        default=None, description="The release that is to be replaced; refused with 409 if another one is live by now"
    )


class Chosen(Request):
    """Which of the messages that could not be handled; without ids, as many of them as one call handles."""

    failure_ids: Annotated[list[FailureId], Field(min_length=1, max_length=MAX_FAILURE_IDS)] | None = None
