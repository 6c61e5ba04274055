"""Errors of Lambda's API: a code, a message and a status, as AWS answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LambdaError(Exception):
    """An answer that says no.

    Args:
        code: AWS's name of the error, for example ResourceNotFoundException.
        message: what was wrong, in AWS's words where AWS has some.
        status: the HTTP status.
        extra: further members of the error's body.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str | None,
        status: int = 400,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def invalid(message: str) -> LambdaError:
    """Return the error for a parameter that Lambda itself refuses."""
    return LambdaError("InvalidParameterValueException", message)


def not_found(message: str) -> LambdaError:
    """Return the error for something that does not exist."""
    return LambdaError("ResourceNotFoundException", message, 404)


def function_not_found(arn: str) -> LambdaError:
    """Return the error for a function, a version or an alias that does not exist."""
    return not_found(f"Function not found: {arn}")


def conflict(message: str) -> LambdaError:
    """Return the error for something that exists already or is being changed."""
    return LambdaError("ResourceConflictException", message, 409)


def stale(what: str = "GetFunction/GetAlias") -> LambdaError:
    """Return the error for a RevisionId that is not the latest."""
    return LambdaError(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {what} API to retrieve the latest Revision Id",
        412,
    )


def too_large(message: str) -> LambdaError:
    """Return the error for a request or a ZIP that is over its limit."""
    return LambdaError("RequestEntityTooLargeException", message, 413)


def denied(message: str | None) -> LambdaError:
    """Return the error for a caller who may not do this."""
    return LambdaError("AccessDeniedException", message, 403)


def unsupported(message: str) -> LambdaError:
    """Return the error for a feature of AWS that this machine does not have; the message names the feature."""
    return LambdaError("InvalidParameterValueException", f"Greenroom's embedded AWS: {message}")
