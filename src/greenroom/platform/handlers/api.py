"""The HTTP API. Every route but the published documents asks for the token; bodies are validated before use."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from greenroom import web
from greenroom.package.archive import MAX_ZIP_BYTES
from greenroom.package.metadata import metadata_json_schema
from greenroom.platform import failures, ingest, production, tunings_api, views
from greenroom.platform.services import services
from greenroom.releases import Conflict, NotFound, Upload

PAGE = {"/": "index.html"} | {f"/{name}": name for name in web.FILES if name != "index.html"}
"""The page's files, by the paths they are served at."""

OPEN = frozenset({"/openapi.json", "/schema/metadata.json", *PAGE})
"""What may be read without the token: descriptions and the page, no data."""

ULID_PATTERN = "^[0-9A-HJKMNP-TV-Z]{26}$"
NAME_PATTERN = "^[a-z][a-z0-9-]{0,63}$"
FAILURE_ID_PATTERN = "^[A-Za-z0-9-]{1,100}$"
MAX_AUTHOR_CHARS = 80
COMPRESSED_FROM_CHARS = 4_096
"""Where the caller takes gzip; for less the packets are as many."""

ReleaseId = Annotated[str, Path(pattern=ULID_PATTERN, description="A release's id, a ULID")]
MessageId = Annotated[str, Path(pattern=ULID_PATTERN, description="A message's id, a ULID")]
FailureId = Annotated[str, Path(pattern=FAILURE_ID_PATTERN, description="The SQS id of a message that rests")]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="An algorithm's name")]
Names = Annotated[list[Annotated[str, Field(pattern=NAME_PATTERN)]], Field(min_length=1, max_length=32)]
ContentType = Literal["application/json", "text/plain"]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)


class NewRelease(_Model):
    """A package that is about to be uploaded."""

    file_name: str = Field(min_length=1, max_length=255)
    size_bytes: int = Field(ge=1, le=MAX_ZIP_BYTES)


class NewMessage(_Model):
    """A document that is about to be uploaded for an algorithm."""

    file_name: str = Field(min_length=1, max_length=255)
    size_bytes: int = Field(ge=1, le=production.MAX_DOCUMENT_BYTES)
    content_type: ContentType
    to: Names | None = None


class Submission(_Model):
    """A document that has been uploaded, and where its answers should come from."""

    file_name: str = Field(min_length=1, max_length=255)
    content_type: ContentType
    to: Names | None = None


class RollBack(_Model):
    """Which release to go back to; the one that was live before if none is said."""

    to_release_id: Annotated[str, Field(pattern=ULID_PATTERN)] | None = None


class Chosen(_Model):
    """Which of the messages that rest; all of them if none is named."""

    failure_ids: (
        Annotated[list[Annotated[str, Field(pattern=FAILURE_ID_PATTERN)]], Field(min_length=1, max_length=100)] | None
    ) = None


def _author() -> str | None:
    """Who says to be asking: the header X-Greenroom-Author, percent-encoded UTF-8. The token proves nobody's name."""
    given = unquote(app.current_event.headers.get("x-greenroom-author") or "", errors="replace")
    name = "".join(char for char in given if char.isprintable()).strip()
    return name[:MAX_AUTHOR_CHARS] or None


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    return Response(
        status_code=status,
        content_type="application/json",
        body=json.dumps(body),
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _error(status: HTTPStatus, code: str, message: str, hint: str = "") -> Response[str]:
    return _json({"error": {"code": code, "message": message, "hint": hint}}, status)


app = APIGatewayHttpResolver(enable_validation=True)
app.include_router(tunings_api.router)


@app.exception_handler(NotFound)
def _not_found(error: NotFound) -> Response[str]:
    return _error(HTTPStatus.NOT_FOUND, "not_found", str(error), "`greenroom algorithms` lists what there is.")


@app.exception_handler(Conflict)
def _conflict(error: Conflict) -> Response[str]:
    return _error(HTTPStatus.CONFLICT, "conflict", str(error), "Look at the present state and try again.")


@app.exception_handler(production.NotPossible)
def _not_possible(error: production.NotPossible) -> Response[str]:
    return _error(HTTPStatus.CONFLICT, "not_possible", str(error))


@app.exception_handler(RequestValidationError)
def _invalid(error: RequestValidationError) -> Response[str]:
    problems = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()[:10]
    ]
    return _error(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        "; ".join(problems),
        "GET /openapi.json says what is allowed.",
    )


@app.exception_handler(ServiceError)
def _service_error(error: ServiceError) -> Response[str]:
    return _error(HTTPStatus(error.status_code), "request_failed", str(error.msg))


@app.exception_handler([UnicodeDecodeError, RecursionError])
def _unreadable(_: Exception) -> Response[str]:
    return _error(HTTPStatus.BAD_REQUEST, "unreadable_body", "the body is not JSON in UTF-8", "Send a JSON object.")


@app.not_found
def _no_route(_: Exception) -> Response[str]:
    return _error(HTTPStatus.NOT_FOUND, "no_such_route", "there is no such route", "GET /openapi.json lists them.")


def get_file() -> Response[str]:
    """A file of the page."""
    found = web.asset(PAGE[app.current_event.path])
    assert found is not None  # noqa: S101 -- PAGE names files that are there
    headers = web.headers(services().settings.region)
    return Response(status_code=HTTPStatus.OK, content_type=found.content_type, body=found.body, headers=headers)


for _path in PAGE:
    app.get(_path, include_in_schema=False)(get_file)


@app.post("/releases")
def create_release(body: Annotated[NewRelease, Body()]) -> Response[str]:
    """Allow the upload of a package: answers the release's id and a form to post the ZIP with."""
    allowed = ingest.allow_upload(services(), body.file_name, author=_author())
    upload = {"url": allowed.url, "fields": allowed.fields}
    answer = {"releaseId": allowed.release_id, "upload": upload, "maxSizeBytes": allowed.max_size_bytes}
    return _json(answer, HTTPStatus.CREATED)


@app.get("/releases/<release_id>")
def get_release(release_id: ReleaseId) -> Response[str]:
    """A release with its history and what its test has found so far."""
    return _json(views.release_view(services(), services().registry.find(release_id)))


@app.get("/releases/<release_id>/comparison")
def get_comparison(
    release_id: ReleaseId, other_id: Annotated[str, Query(alias="with", pattern=ULID_PATTERN)]
) -> Response[str]:
    """A release beside another one of the same algorithm, or of any: which is faster, which cheaper, and how sure."""
    release, other = services().registry.find(release_id), services().registry.find(other_id)
    return _json(views.comparison_view(services(), release, other))


@app.get("/releases/<release_id>/measurements")
def get_measurements(
    release_id: ReleaseId,
    memory_mb: Annotated[int | None, Query(alias="memoryMb", ge=128, le=10_240)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> Response[str]:
    """The measurements of a release's test."""
    services().registry.find(release_id)
    return _json(views.measurements_view(services(), release_id, memory_mb, limit))


@app.get("/releases/<release_id>/logs")
def get_logs(release_id: ReleaseId, limit: Annotated[int, Query(ge=1, le=5_000)] = 500) -> Response[str]:
    """The last log lines of a release's test and of its time in production."""
    release = services().registry.find(release_id)
    if isinstance(release, Upload):
        return _json({"events": []})
    return _json(views.logs_view(services(), release, limit))


@app.get("/algorithms")
def list_algorithms() -> Response[str]:
    """All algorithms."""
    found = services().registry.algorithms()
    return _json({"algorithms": views.algorithm_views(services(), found)})


@app.get("/algorithms/<name>")
def get_algorithm(name: Name) -> Response[str]:
    """One algorithm."""
    (found,) = views.algorithm_views(services(), [services().registry.algorithm(name)])
    return _json(found)


@app.get("/algorithms/<name>/queues")
def get_queues(name: Name) -> Response[str]:
    """How much waits for an algorithm, and how much it could not handle."""
    services().registry.algorithm(name)
    return _json(views.queues_view(services(), name))


@app.get("/algorithms/<name>/failures")
def list_failures(name: Name, limit: Annotated[int, Query(ge=1, le=100)] = 100) -> Response[str]:
    """The messages an algorithm could not handle, oldest first, with the reason and the beginning of the document."""
    return _failures(failures.of_algorithm(services(), name), limit)


@app.get("/algorithms/<name>/failures/<failure_id>")
def get_failure(name: Name, failure_id: FailureId) -> Response[str]:
    """One message an algorithm could not handle, with all of its document."""
    return _failure(failures.of_algorithm(services(), name), failure_id)


@app.post("/algorithms/<name>/failures/redrive")
def redrive_failures(name: Name, body: Annotated[Chosen, Body()]) -> Response[str]:
    """Put messages that rest back into the algorithm's input queue."""
    return _redrive(failures.of_algorithm(services(), name), body)


@app.post("/algorithms/<name>/failures/delete")
def delete_failures(name: Name, body: Annotated[Chosen, Body()]) -> Response[str]:
    """Delete messages that rest."""
    return _delete(failures.of_algorithm(services(), name), body)


@app.get("/uploads/failures")
def list_failed_uploads(limit: Annotated[int, Query(ge=1, le=100)] = 100) -> Response[str]:
    """The uploads that the platform could not register, oldest first, with the reason and the release they are for."""
    return _failures(failures.of_uploads(services()), limit)


@app.get("/uploads/failures/<failure_id>")
def get_failed_upload(failure_id: FailureId) -> Response[str]:
    """One upload that the platform could not register."""
    return _failure(failures.of_uploads(services()), failure_id)


@app.post("/uploads/failures/redrive")
def redrive_failed_uploads(body: Annotated[Chosen, Body()]) -> Response[str]:
    """Register uploads again that the platform could not register."""
    return _redrive(failures.of_uploads(services()), body)


@app.post("/uploads/failures/delete")
def delete_failed_uploads(body: Annotated[Chosen, Body()]) -> Response[str]:
    """Delete messages of uploads that the platform could not register."""
    return _delete(failures.of_uploads(services()), body)


def _failures(letters: failures.DeadLetters, limit: int) -> Response[str]:
    found, total = failures.look(services(), letters, limit)
    return _json({"failures": [views.failure_view(failure) for failure in found], "total": total})


def _failure(letters: failures.DeadLetters, failure_id: str) -> Response[str]:
    found, _ = failures.look(services(), letters, 1, failure_id)
    if not found:
        raise NotFound(f"no message {failure_id} rests there any more")
    return _json(views.failure_view(found[0]))


def _redrive(letters: failures.DeadLetters, body: Chosen) -> Response[str]:
    done = failures.redrive(services(), letters, body.failure_ids)
    return _json({"redriven": done.handled, "left": done.left})


def _delete(letters: failures.DeadLetters, body: Chosen) -> Response[str]:
    done = failures.delete(services(), letters, body.failure_ids)
    return _json({"deleted": done.handled, "left": done.left})


@app.get("/algorithms/<name>/releases")
def list_releases(
    name: Name,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=ULID_PATTERN)] = None,
) -> Response[str]:
    """An algorithm's releases, newest first."""
    services().registry.algorithm(name)
    found, more = services().registry.releases_of(name, limit=limit, before=cursor)
    return _json({"releases": [views.release_row(release) for release in found], "cursor": more})


@app.post("/algorithms/<name>/rollback")
def roll_back(name: Name, body: Annotated[RollBack, Body()]) -> Response[str]:
    """Make an earlier release the live one again."""
    live, rolled_back, version = production.roll_back(services(), name, body.to_release_id, author=_author())
    return _json({"releaseId": live, "rolledBackReleaseId": rolled_back, "version": version})


@app.post("/algorithms/<name>/messages")
def create_message(name: Name, body: Annotated[NewMessage, Body()]) -> Response[str]:
    """Allow the upload of a document for a live algorithm."""
    allowed = production.allow_document(services(), name, body.content_type, body.to)
    upload = {"url": allowed.url, "fields": allowed.fields}
    answer = {"messageId": allowed.message_id, "upload": upload, "maxSizeBytes": allowed.max_size_bytes}
    return _json(answer, HTTPStatus.CREATED)


@app.post("/algorithms/<name>/messages/<message_id>/submit")
def submit_message(name: Name, message_id: MessageId, body: Annotated[Submission, Body()]) -> Response[str]:
    """Hand an uploaded document to the algorithm."""
    answering = production.submit(services(), name, message_id, body.content_type, body.to)
    answer = {"messageId": message_id, "results": [{"algorithm": each} for each in answering]}
    return _json(answer, HTTPStatus.ACCEPTED)


@app.get("/algorithms/<name>/messages/<message_id>")
def get_message(
    name: Name,
    message_id: MessageId,
    to: Annotated[str | None, Query(pattern=r"^[a-z0-9,-]{1,1024}$", description="names, separated by commas")] = None,
) -> Response[str]:
    """What has become of a document."""
    targets = [part for part in to.split(",") if re.fullmatch(NAME_PATTERN, part)] if to else None
    found = production.answers(services(), message_id, name, targets)
    statuses = {answer.status for answer in found}
    status = "pending" if "pending" in statuses else "failed" if "failed" in statuses else "done"
    rows = [{to_camel(key): value for key, value in asdict(answer).items()} for answer in found]
    return _json({"messageId": message_id, "status": status, "results": rows})


@app.get("/status")
def get_status() -> Response[str]:
    """The platform at a glance."""
    return _json(views.status_view(services()))


@app.get("/schema/metadata.json")
def get_metadata_schema() -> Response[str]:
    """The JSON Schema of metadata.json."""
    return _json(metadata_json_schema())


@app.get("/openapi.json")
def get_openapi() -> Response[str]:
    """This API's description."""
    document = app.get_openapi_json_schema(
        title="Greenroom",
        version=services().settings["VERSION"],
        description="Upload algorithms, watch them being tested beside the live version, send documents through them.",
    )
    return _json(json.loads(document))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request, if it may be answered: the token is looked at before anything else of it is."""
    request = APIGatewayProxyEventV2(event)
    if request.path not in OPEN and not _is_token(request.headers.get("authorization") or ""):
        return _UNAUTHORIZED
    answer: dict[str, Any] = app.resolve(event, context)
    takes_gzip = "gzip" in (request.headers.get("accept-encoding") or "")
    return _compressed(answer) if takes_gzip and len(answer["body"]) > COMPRESSED_FROM_CHARS else answer


def _compressed(answer: dict[str, Any]) -> dict[str, Any]:
    # Powertools would compress as hard as it can: that takes ten times as long, and a list is hardly smaller by it.
    body = base64.b64encode(gzip.compress(answer["body"].encode(), 1)).decode()
    return {
        **answer,
        "headers": {**answer["headers"], "Content-Encoding": "gzip"},
        "body": body,
        "isBase64Encoded": True,
    }


def _is_token(authorization: str) -> bool:
    given = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    return hmac.compare_digest(given, services().settings["TOKEN_SHA256"])


_UNAUTHORIZED = {
    "statusCode": HTTPStatus.UNAUTHORIZED.value,
    "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
    "body": json.dumps(
        {
            "error": {
                "code": "unauthorized",
                "message": "the token is missing or wrong",
                "hint": "Send 'Authorization: Bearer <token>'; `greenroom env` prints the token of a local platform.",
            }
        }
    ),
}
