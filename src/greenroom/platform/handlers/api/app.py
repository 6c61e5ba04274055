"""The frame of the HTTP API: who is let in, how a route is declared, and how an answer leaves.

A route is a function that takes validated values and returns a model of `wire`. Its docstring, its types and the errors
that it names become its part of `GET /openapi.json`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from greenroom.platform.services import services
from greenroom.wire import models

F = TypeVar("F", bound=Callable[..., Any])

COMPRESSED_FROM_CHARS = 4_096
"""From this size on, an answer is compressed where the client accepts gzip; a shorter one needs as many packets."""

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The headers of every answer that has none of its own."""

ERRORS = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON in UTF-8.",
    HTTPStatus.UNAUTHORIZED: "The token is missing or wrong.",
    HTTPStatus.NOT_FOUND: "What the path names does not exist.",
    HTTPStatus.CONFLICT: "The present state does not allow it; `message` and `hint` say why and what to do.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not `application/json`.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter or the body is not as described; `where` names the field.",
}
"""What each error means, for the description of the API."""


@dataclass(frozen=True)
class Routes:
    """Which paths need no token, and which methods a path answers to."""

    open_paths: set[str] = field(default_factory=set)
    methods: list[tuple[re.Pattern[str], str]] = field(default_factory=list)

    def add(self, method: str, path: str, *, is_open: bool) -> None:
        """Note a route; `<name>` stands for a parameter of the path."""
        pattern = re.sub(r"<\w+>", "[^/]+", path.replace(".", r"\."))
        self.methods.append((re.compile(pattern), method))
        if is_open:
            self.open_paths.add(path)

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path answers to."""
        return sorted({method for pattern, method in self.methods if pattern.fullmatch(path)})


app = APIGatewayHttpResolver(enable_validation=True)
routes = Routes()


def route(
    method: str,
    path: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    errors: Sequence[HTTPStatus] = (),
    is_open: bool = False,
) -> Callable[[F], F]:
    """Declare a route.

    The first line of the function's docstring is the summary of the route, and the lines after it its description.

    Args:
        method: the HTTP method.
        path: the path, with `<name>` for each parameter.
        status: the status of a successful answer.
        errors: the errors that this route can answer with, apart from those of every route with such parameters.
        is_open: whether it needs no token.
    """
    routes.add(method, path, is_open=is_open)

    def register(function: F) -> F:
        summary, _, description = (inspect.getdoc(function) or "").partition("\n\n")
        signature = inspect.signature(function, eval_str=True)
        parameters = signature.parameters
        possible = [*errors]
        if not is_open:
            possible.append(HTTPStatus.UNAUTHORIZED)
        if parameters:
            possible.append(HTTPStatus.UNPROCESSABLE_ENTITY)
        if "body" in parameters:
            possible += [HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
        answers: dict[int, Any] = {status.value: _described(status.phrase, signature.return_annotation)}
        answers |= {error.value: _described(ERRORS[error], models.ErrorAnswer) for error in sorted(possible)}

        @wraps(function)
        def answer(*args: Any, **kwargs: Any) -> Response[str]:
            return Response(status, "application/json", _json(function(*args, **kwargs)))

        # The answer is JSON already: Powertools is not to validate it, and to dump it, a second time.
        answer.__signature__ = signature.replace(return_annotation=inspect.Signature.empty)  # type: ignore[attr-defined]
        decorate = app.route(
            path,
            method=method,
            summary=summary.rstrip("."),
            description=" ".join(description.split()) or None,
            operation_id=function.__name__,
            tags=[function.__module__.rsplit(".", 1)[1].replace("_", " ")],
            responses=answers,
            openapi_extensions={"security": []} if is_open else None,
            status_code=status.value,
        )
        decorate(answer)
        return function

    return register


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Check the token, then route the request."""
    request = APIGatewayProxyEventV2(event)
    if request.path not in routes.open_paths and not _is_token(request.headers.get("authorization") or ""):
        return _UNAUTHORIZED
    if request.get("body") and not _is_json(request.headers.get("content-type") or "application/json"):
        return _UNSUPPORTED
    answer: dict[str, Any] = app.resolve(event, context)
    answer["headers"] = {**HEADERS, **answer["headers"]}
    accepts_gzip = "gzip" in (request.headers.get("accept-encoding") or "")
    return _compressed(answer) if accepts_gzip and len(answer["body"]) > COMPRESSED_FROM_CHARS else answer


def _json(answer: Any) -> str:
    """Return an answer as JSON. A model is not validated again: it was when it was made."""
    return answer.model_dump_json() if isinstance(answer, models.Answer) else json.dumps(answer)


def _described(description: str, model: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"model": model}}}


def _compressed(answer: dict[str, Any]) -> dict[str, Any]:
    # Powertools would compress at the highest level: that takes ten times as long, and a list becomes hardly smaller.
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


def _is_json(content_type: str) -> bool:
    return content_type.split(";")[0].strip().lower() == "application/json"


def _refusal(status: HTTPStatus, problem: models.Problem, **headers: str) -> dict[str, Any]:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": "application/json", **HEADERS, **headers},
        "body": json.dumps(models.ErrorAnswer(error=problem).model_dump()),
    }


_UNAUTHORIZED = _refusal(
    HTTPStatus.UNAUTHORIZED,
    models.Problem(
        code="unauthorized",
        message="the token is missing or wrong",
        where="the header Authorization",
        hint="Send 'Authorization: Bearer <token>'; `greenroom env` prints the token of a local platform.",
    ),
    **{"WWW-Authenticate": "Bearer"},
)

_UNSUPPORTED = _refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    models.Problem(
        code="unsupported_media_type",
        message="the body is not announced as JSON",
        where="the header Content-Type",
        hint="Send 'Content-Type: application/json'.",
    ),
)
