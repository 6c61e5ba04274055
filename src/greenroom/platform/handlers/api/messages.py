"""Messages: documents that are sent through live algorithms, and their answers."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from greenroom.platform import production
from greenroom.platform.handlers.api.app import route
from greenroom.platform.handlers.api.parameters import MessageId, Name
from greenroom.platform.services import services
from greenroom.wire import models

ABSENT_OR_NOT_LIVE = [HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT]


@route("POST", "/algorithms/<name>/messages", status=HTTPStatus.CREATED, errors=ABSENT_OR_NOT_LIVE)
def create_message(name: Name, body: Annotated[models.NewMessage, Body()]) -> models.MessageCreated:
    """Allow the upload of a document for a live algorithm.

    Answers with the message's id and a form. Post the document to S3 with that form, then submit the message.
    """
    allowed = production.allow_document(services(), name, body.content_type, body.to)
    form = models.UploadForm(url=allowed.url, fields=allowed.fields)
    return models.MessageCreated(message_id=allowed.message_id, upload=form, max_size_bytes=allowed.max_size_bytes)


@route(
    "POST",
    "/algorithms/<name>/messages/<message_id>/submit",
    status=HTTPStatus.ACCEPTED,
    errors=ABSENT_OR_NOT_LIVE,
)
def submit_message(name: Name, message_id: MessageId, body: Annotated[models.Submission, Body()]) -> models.Message:
    """Hand an uploaded document to the algorithm.

    Answers with the algorithms that results are expected of.
    """
    answering = production.submit(services(), name, message_id, body.content_type, body.to)
    return models.Message(message_id=message_id, results=[models.MessageResult(algorithm=each) for each in answering])


@route("GET", "/algorithms/<name>/messages/<message_id>", errors=[HTTPStatus.NOT_FOUND])
def get_message(
    name: Name,
    message_id: MessageId,
    to: Annotated[
        str | None,
        Query(
            pattern=r"^[a-z0-9,-]{1,1024}$",
            description="The algorithms that it was sent on to, separated by commas; all if there is none",
        ),
    ] = None,
) -> models.Message:
    """Show what has become of a document."""
    targets = [part for part in to.split(",") if re.fullmatch(models.NAME_PATTERN, part)] if to else None
    found = production.answers(services(), message_id, name, targets)
    statuses = {result.status for result in found}
    status = next((each for each in ("pending", "failed") if each in statuses), "done")
    return models.Message(message_id=message_id, status=status, results=found)
