"""Releases: uploading a package, and looking at what became of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from greenroom.platform import ingest, views
from greenroom.platform.handlers.api.app import route
from greenroom.platform.handlers.api.parameters import Author, IdempotencyKey, Name, ReleaseId, author_name, request_id
from greenroom.platform.services import services
from greenroom.tuning.limits import MAX_MEMORY_MB, MIN_MEMORY_MB
from greenroom.wire import models

NOT_FOUND = HTTPStatus.NOT_FOUND


@route("POST", "/releases", status=HTTPStatus.CREATED)
def create_release(
    body: Annotated[models.NewRelease, Body()], author: Author = None, key: IdempotencyKey = None
) -> models.ReleaseCreated:
    """Allow the upload of a package.

    Answers with the release's id and a form. Post the ZIP to S3 with that form; the release is tested as soon as it has
    arrived.
    """
    allowed = ingest.allow_upload(services(), body.file_name, author=author_name(author), request_id=request_id(key))
    form = models.UploadForm(url=allowed.url, fields=allowed.fields)
    return models.ReleaseCreated(release_id=allowed.release_id, upload=form, max_size_bytes=allowed.max_size_bytes)


@route("GET", "/releases/<release_id>", errors=[NOT_FOUND])
def get_release(release_id: ReleaseId) -> models.Release:
    """Show a release with its history and what its test has found so far."""
    return views.release_of(services(), services().registry.find(release_id))


@route("GET", "/releases/<release_id>/comparison", errors=[NOT_FOUND])
def compare_releases(
    release_id: ReleaseId,
    other_id: Annotated[str, Query(alias="with", pattern=models.ULID_PATTERN, description="The other release's id")],
) -> models.ReleaseComparison:
    """Compare two releases: which is faster, which is cheaper, and how sure that is."""
    registry = services().registry
    return views.comparison_of(services(), registry.find(release_id), registry.find(other_id))


@route("GET", "/releases/<release_id>/measurements", errors=[NOT_FOUND])
def list_measurements(
    release_id: ReleaseId,
    memory_mb: Annotated[
        int | None, Query(alias="memoryMb", ge=MIN_MEMORY_MB, le=MAX_MEMORY_MB, description="Of this memory size only")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most")] = 1_000,
) -> models.MeasurementList:
    """List the measurements of a release's test."""
    services().registry.find(release_id)
    return views.measurements_of(services(), release_id, memory_mb, limit)


@route("GET", "/releases/<release_id>/logs", errors=[NOT_FOUND])
def list_log_events(
    release_id: ReleaseId, limit: Annotated[int, Query(ge=1, le=5_000, description="How many at most")] = 500
) -> models.LogEvents:
    """List the last log lines of a release's test and of its time in production."""
    return views.logs_of(services(), services().registry.find(release_id), limit)


@route("GET", "/algorithms/<name>/releases", errors=[NOT_FOUND])
def list_releases(
    name: Name,
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=models.ULID_PATTERN, description="The `cursor` of the page before")
    ] = None,
) -> models.ReleasePage:
    """List an algorithm's releases, newest first."""
    services().registry.algorithm(name)
    found, more = services().registry.releases_of(name, limit=limit, before=cursor)
    return models.ReleasePage(releases=[views.release_row(release) for release in found], cursor=more)
