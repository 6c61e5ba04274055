"""How what goes wrong becomes an answer: a status, and what was wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from greenroom.platform.handlers.api.app import app, routes
from greenroom.platform.handlers.api.sign_in import UnknownCode
from greenroom.platform.production import NotPossible
from greenroom.releases import Conflict, NotFound
from greenroom.wire import models

MAX_PROBLEMS = 10
SEE_DESCRIPTION = "GET /openapi.json says what is allowed."

Error = TypeVar("Error", bound=Exception)
Answered = Response[str]


class TooLarge(ValueError):
    """A body with more bytes than are allowed."""


def _answers(*kinds: type[Exception]) -> Callable[[Callable[[Error], Answered]], Callable[[Error], Answered]]:
    """Register the function as the handler of some kinds of exceptions."""

    def register(function: Callable[[Error], Answered]) -> Callable[[Error], Answered]:
        app.exception_handler([*kinds])(function)
        return function

    return register


def _answer(status: HTTPStatus, code: str, message: str, hint: str = "", where: str = "") -> Answered:
    request = app.current_event
    problem = models.Problem(
        code=code, message=message, where=where or f"{request.http_method} {request.path}", hint=hint
    )
    return Response(status, "application/json", models.ErrorAnswer(error=problem).model_dump_json())


@_answers(NotFound)
def _not_found(error: NotFound) -> Answered:
    return _answer(HTTPStatus.NOT_FOUND, "not_found", str(error), "`greenroom algorithms` lists what there is.")


@_answers(UnknownCode)
def _unknown_code(_: UnknownCode) -> Answered:
    return _answer(
        HTTPStatus.UNAUTHORIZED,
        "unknown_code",
        "this link has been used, or has expired",
        "Get a new one: `greenroom page`.",
        "code",
    )


@_answers(Conflict)
def _conflict(error: Conflict) -> Answered:
    return _answer(HTTPStatus.CONFLICT, "conflict", str(error), "Look at the present state and try again.")


@_answers(NotPossible)
def _not_possible(error: NotPossible) -> Answered:
    return _answer(HTTPStatus.CONFLICT, "not_possible", error.message, error.hint)


@_answers(RequestValidationError)
def _invalid(error: RequestValidationError) -> Answered:
    problems = error.errors()[:MAX_PROBLEMS]
    if any(problem["type"] == "json_invalid" for problem in problems):
        return _unreadable(error)
    places = [".".join(str(part) for part in problem["loc"]) for problem in problems]
    texts = [str(problem["msg"]).removeprefix("Value error, ") for problem in problems]
    message = texts[0] if len(texts) == 1 else "; ".join(map(": ".join, zip(places, texts, strict=True)))
    return _answer(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", message, SEE_DESCRIPTION, ", ".join(dict.fromkeys(places))
    )


@_answers(TooLarge)
def _too_large(error: TooLarge) -> Answered:
    return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", str(error), "Send less.", "body")


@_answers(UnicodeDecodeError, RecursionError)
def _unreadable(_: Exception) -> Answered:
    return _answer(
        HTTPStatus.BAD_REQUEST, "unreadable_body", "the body is not JSON in UTF-8", "Send a JSON object.", "body"
    )


@_answers(ValueError)
def _too_many_digits(error: ValueError) -> Answered:
    # Python reads no integer of more than 4,300 digits, and says so by an error that the parser of JSON lets through.
    if "integer string conversion" not in str(error):
        raise error
    return _unreadable(error)


@_answers(NotFoundError)
def _no_route(_: Exception) -> Answered:
    request = app.current_event
    methods = routes.methods_of(request.path)
    if methods and request.http_method not in methods:
        answer = _answer(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            f"there is no {request.http_method} for this path, only {' and '.join(methods)}",
            SEE_DESCRIPTION,
        )
        answer.headers["Allow"] = ", ".join(methods)
        return answer
    return _answer(HTTPStatus.NOT_FOUND, "no_such_route", "there is no such route", "GET /openapi.json lists them.")


@_answers(ServiceError)
def _service_error(error: ServiceError) -> Answered:
    return _answer(HTTPStatus(error.status_code), "request_failed", str(error.msg))
