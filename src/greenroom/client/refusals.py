"""What the answers of the HTTP API and of S3 that are not a success mean, as errors. No I/O but reading the answer."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
from pydantic import ValidationError

from greenroom.client.errors import (
    Conflict,
    GreenroomError,
    NotFound,
    PlatformFault,
    RequestRefused,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
    UploadRefused,
)
from greenroom.wire import models

ERROR_LIMIT_BYTES = 64 * 1024
"""S3's error documents have some hundred bytes; a longer one is something else."""

UPLOAD_HINTS = {
    "EntityTooLarge": "Make the file smaller: leave out what the algorithm does not import.",
    "ExpiredToken": "Start again: the permission to upload has run out.",
    "RequestTimeout": "Start again: the upload stood still for too long.",
}


def unreachable(error: httpx.HTTPError, where: str) -> Unreachable:
    """Return the error of a request that got no answer."""
    hint = "Is it running, and is GREENROOM_URL right? For the embedded one: greenroom up, then greenroom env."
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return Unreachable("the platform did not answer in time", where=where, hint=hint)
    return Unreachable(f"the platform can't be reached: {str(error) or type(error).__name__}", where=where, hint=hint)


def of_api(response: httpx.Response, where: str) -> GreenroomError:
    """Return the error that an answer of the API stands for, in the platform's own words if it has some."""
    problem = _problem(response)
    status, message, hint = response.status_code, problem.message, problem.hint
    said = f": {message}" if message else ""
    about: dict[str, Any] = {"status_code": status, "code": problem.code, "where": problem.where or where}
    if status in (401, 403):
        default = "Set GREENROOM_TOKEN to the one `greenroom env` prints, or ask the platform team for a new one."
        return Unauthorized(f"the token was refused{said}", hint=hint or default, **about)
    if status == 404:
        default = "`greenroom algorithms` and `greenroom releases NAME` list what there is."
        return NotFound(message or "it does not exist", hint=hint or default, **about)
    if status == 409:
        return Conflict(message or "the present state does not allow this", hint=hint, **about)
    if status >= 500:
        default = "Try again in a moment; `greenroom status` and the platform's logs show more."
        return PlatformFault(f"the platform failed with HTTP {status}{said}", hint=hint or default, **about)
    if status >= 400:
        return RequestRefused(f"the platform refused it with HTTP {status}{said}", hint=hint, **about)
    return UnexpectedAnswer(
        f"HTTP {status} is not an answer of Greenroom's HTTP API", where=where, hint="Check GREENROOM_URL."
    )


def of_upload(response: httpx.Response, where: str, *, doing: str) -> UploadRefused:
    """Return the error in S3's XML, `<Error><Code>…</Code><Message>…</Message></Error>`."""
    text = b""
    for piece in response.iter_bytes():
        text += piece
        if len(text) > ERROR_LIMIT_BYTES:
            break
    code, message = (_xml_text(text[:ERROR_LIMIT_BYTES].decode(errors="replace"), tag) for tag in ("Code", "Message"))
    said = ": ".join(part for part in (code, message) if part)
    hint = UPLOAD_HINTS.get(code, "")
    if code == "AccessDenied" and "expired" in message.lower():
        hint = UPLOAD_HINTS["ExpiredToken"]
    return UploadRefused(
        f"S3 did not {doing}: {said or f'HTTP {response.status_code}'}", code=code, where=where, hint=hint
    )


def _xml_text(document: str, tag: str) -> str:
    # Not an XML parser: the two texts are all that is wanted of a document that came over the network.
    found = re.search(rf"<{tag}>([^<]{{0,2000}})</{tag}>", document)
    return html.unescape(found.group(1)).strip() if found else ""


def _problem(response: httpx.Response) -> models.Problem:
    """Return what the answer says: Greenroom's error, or API Gateway's own `{"message": "…"}`, or nothing."""
    try:
        document = response.json()
    except ValueError:
        document = None
    try:
        return models.ErrorAnswer.model_validate(document).error
    except ValidationError:
        message = document.get("message") if isinstance(document, dict) else None
        return models.Problem(code="", message=str(message or ""))
