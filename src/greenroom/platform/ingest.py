"""The way in: allow an upload, then read, check and register the package that arrived.

A faulty package ends as a REJECTED upload. A fault of the platform raises, and the message is delivered again.
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO
from urllib.parse import unquote_plus

from greenroom.package.archive import MAX_ZIP_BYTES
from greenroom.package.check import PackageReport, check_package
from greenroom.package.errors import PackageError
from greenroom.platform import cost_bounds, names, storage
from greenroom.platform.services import Services
from greenroom.releases import Conflict, NotFound, Registration, Rejection, Status, new_id

UPLOAD_EXPIRES_S = 900
"""How long a presigned form may be used."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AllowedUpload:
    """An upload that waits for its package, and the form to post the package with."""

    release_id: str
    url: str
    fields: dict[str, str]
    max_size_bytes: int = MAX_ZIP_BYTES


def allow_upload(
    services: Services, file_name: str, *, author: str | None = None, request_id: str | None = None
) -> AllowedUpload:
    """Create an upload, and a presigned POST for its package: one key, one content type, at most MAX_ZIP_BYTES.

    A request that is repeated, with the same id, gets another form for the same upload.
    """
    release_id = new_id()
    if request_id:
        release_id = services.registry.id_of_request(request_id, release_id)
    with suppress(Conflict):  # a repeated request
        services.registry.create_upload(release_id, file_name, author=author)
    form = services.s3.generate_presigned_post(
        Bucket=services.packages_bucket,
        Key=storage.upload_key(release_id),
        Fields={"Content-Type": "application/zip"},
        Conditions=[{"Content-Type": "application/zip"}, ["content-length-range", 1, MAX_ZIP_BYTES]],
        ExpiresIn=UPLOAD_EXPIRES_S,
    )
    return AllowedUpload(release_id, form["url"], form["fields"])


def register(services: Services, key: str) -> Status | None:
    """Read the package at an upload's key and register it, or reject the upload with the reason.

    Returns the new status, or None if the key is not that of an upload that was allowed. A second call for the same
    upload changes nothing. What is kept, tested and deployed is a ZIP written from what was checked, under a key that
    only this function writes to. The upload itself is never read again: its form may be used once more. It expires.
    """
    try:
        release_id = storage.release_of_upload(key)
        release = services.registry.find(release_id)
    except (ValueError, NotFound):
        logger.warning("ignored an object that no upload was allowed for: %s", key)
        return None
    if release.status is not Status.UPLOADING:
        return release.status
    with tempfile.TemporaryFile() as upload, tempfile.TemporaryFile() as kept:
        services.s3.download_fileobj(services.packages_bucket, key, upload)
        try:
            report = _check(services, upload, kept)
        except PackageError as error:
            return _reject(services, release_id, Rejection(error.code, error.message, error.where, error.hint))
        package_key = storage.package_key(release_id, report.sha256)
        services.s3.upload_fileobj(kept, services.packages_bucket, package_key)
    metadata = report.metadata
    inputs = {case.name: case.input_sha256 for case in report.cases}
    cost_usd = cost_bounds.of_package(services.registry, services.settings.region, metadata, inputs)
    services.registry.register(
        release_id,
        Registration(
            metadata=metadata,
            case_inputs=inputs,
            not_compared=tuple(case.name for case in report.cases if not case.compared),
            cost_at_most_usd=cost_usd,
            package_key=package_key,
            package_sha256=report.sha256,
            upload_sha256=report.upload_sha256,
            package_size_bytes=report.size_bytes,
        ),
    )
    return Status.REGISTERED


def _check(services: Services, upload: IO[bytes], kept: IO[bytes]) -> PackageReport:
    report = check_package(upload, kept)
    name, settings = report.metadata.name, services.settings
    bucket = names.algorithm_bucket(settings.prefix, name, settings.account_id, settings.region)
    if (over := len(bucket) - names.MAX_BUCKET_NAME) > 0:
        raise PackageError(
            code="name_too_long",
            where="metadata.json, field name",
            fault=f"{name!r} is {over} characters too long for the algorithm's bucket in {settings.region}",
            hint=f"Choose a name of at most {len(name) - over} characters.",
        )
    _refuse_round(services, name, report.metadata.next)
    try:
        algorithm = services.registry.algorithm(name)
    except NotFound:
        return report
    if algorithm.live and algorithm.type != report.metadata.type:
        raise PackageError(
            code="type_changed",
            where="metadata.json, field type",
            fault=f"{name!r} is live with type {algorithm.type!r}, this package says {report.metadata.type!r}",
            hint="Keep the type, or give the algorithm another name.",
        )
    return report


def _refuse_round(services: Services, name: str, next_: list[str]) -> None:
    """Refuse a `next` from which what is live leads back to the algorithm. Raises PackageError."""
    came_from = dict.fromkeys(next_, name)
    left = list(next_)
    while left:
        at = left.pop(0)
        try:
            found = services.registry.algorithm(at)
        except NotFound:
            continue
        for each in found.next if found.live else ():
            if each == name:
                way = [name]
                while at != name:
                    way.append(at)
                    at = came_from[at]
                raise PackageError(
                    code="next_goes_round",
                    where="metadata.json, field next",
                    fault=f"leads back to the algorithm: {' to '.join([name, *reversed(way)])}, so a document would go "
                    "round for ever",
                    hint="Leave one of these out of `next`, here or in the other algorithm's package.",
                )
            if each not in came_from:
                came_from[each] = at
                left.append(each)


def _reject(services: Services, release_id: str, rejection: Rejection) -> Status:
    try:
        services.registry.reject(release_id, rejection)
    except Conflict:
        return services.registry.find(release_id).status
    return Status.REJECTED


def upload_keys(event_body: str) -> list[str]:
    """Return the keys in an S3 event as SQS delivers it; none in the test event that S3 sends once.

    Raises ValueError if it is not an S3 event.
    """
    event = json.loads(event_body)
    if not isinstance(event, dict):
        raise ValueError("the message is not an S3 event")
    if event.get("Event") == "s3:TestEvent":
        return []
    try:
        return [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
    except (KeyError, TypeError) as error:
        raise ValueError("the message is not an S3 event") from error


def give_up(services: Services, body: str, error: Exception) -> None:
    """Send a message that could not be handled to the dead-letter queue, with the reason as an attribute.

    SQS would move the message there too, but without a reason.
    """
    reason = f"{type(error).__name__}: {error}"[:1_000]
    services.sqs.send_message(
        QueueUrl=services.settings["INGEST_DLQ_URL"],
        MessageBody=body,
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
    )
