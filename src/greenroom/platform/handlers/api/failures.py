"""Failures: documents that an algorithm could not handle, and uploads that the platform could not register."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from greenroom.platform import failures
from greenroom.platform.handlers.api.app import route
from greenroom.platform.handlers.api.parameters import FailureId, Name
from greenroom.platform.services import services
from greenroom.releases import NotFound
from greenroom.wire import models

ABSENT = [HTTPStatus.NOT_FOUND]

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]
Chosen = Annotated[models.Chosen, Body()]


@route("GET", "/algorithms/<name>/failures", errors=ABSENT)
def list_failures(name: Name, limit: Limit = 100) -> models.FailureList:
    """List the messages that an algorithm could not handle, oldest first.

    Each comes with the reason and the beginning of its document.
    """
    return failures.look(services(), failures.of_algorithm(services(), name), limit)


@route("GET", "/algorithms/<name>/failures/<failure_id>", errors=ABSENT)
def get_failure(name: Name, failure_id: FailureId) -> models.Failure:
    """Show one message that an algorithm could not handle, with all of its document."""
    return _failure(failures.of_algorithm(services(), name), failure_id)


@route("POST", "/algorithms/<name>/failures/redrive", errors=ABSENT)
def redrive_failures(name: Name, body: Chosen) -> models.Redriven:
    """Put messages that an algorithm could not handle back into its input queue."""
    return failures.redrive(services(), failures.of_algorithm(services(), name), body.failure_ids)


@route("POST", "/algorithms/<name>/failures/delete", errors=ABSENT)
def delete_failures(name: Name, body: Chosen) -> models.Deleted:
    """Delete messages that an algorithm could not handle."""
    return failures.delete(services(), failures.of_algorithm(services(), name), body.failure_ids)


@route("GET", "/uploads/failures")
def list_failed_uploads(limit: Limit = 100) -> models.FailureList:
    """List the uploads that the platform could not register, oldest first.

    Each comes with the reason and the release that it is for.
    """
    return failures.look(services(), failures.of_uploads(services()), limit)


@route("GET", "/uploads/failures/<failure_id>", errors=ABSENT)
def get_failed_upload(failure_id: FailureId) -> models.Failure:
    """Show one upload that the platform could not register."""
    return _failure(failures.of_uploads(services()), failure_id)


@route("POST", "/uploads/failures/redrive")
def redrive_failed_uploads(body: Chosen) -> models.Redriven:
    """Register uploads again that the platform could not register."""
    return failures.redrive(services(), failures.of_uploads(services()), body.failure_ids)


@route("POST", "/uploads/failures/delete")
def delete_failed_uploads(body: Chosen) -> models.Deleted:
    """Delete the messages of uploads that the platform could not register."""
    return failures.delete(services(), failures.of_uploads(services()), body.failure_ids)


def _failure(letters: failures.DeadLetters, failure_id: str) -> models.Failure:
    found = failures.find(services(), letters, failure_id)
    if found is None:
        raise NotFound(f"there is no message {failure_id} in this dead-letter queue")
    return found
