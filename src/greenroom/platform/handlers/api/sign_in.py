"""Signing a browser in with a one-time code."""

from __future__ import annotations

from http import HTTPStatus

from greenroom.platform import sign_in
from greenroom.platform.handlers.api.app import app, route
from greenroom.platform.services import services
from greenroom.wire import models


class UnknownCode(LookupError):
    """A code that was never given out, has been used, or has expired."""


@route("POST", "/sign-in-codes", status=HTTPStatus.CREATED)
def create_sign_in_code() -> models.SignInCode:
    """Make a code that signs one browser in.

    It stands for the token that this request has, and is good once, within ten minutes.
    """
    token = app.current_event.headers["authorization"].removeprefix("Bearer ")
    code, expires_at = sign_in.issue(services(), token)
    return models.SignInCode(code=code, expires_at=expires_at)


@route("POST", "/sign-ins", errors=[HTTPStatus.UNAUTHORIZED], is_open=True)
def create_sign_in(body: models.SignInWithCode) -> models.SignIn:
    """Sign in with a code.

    A second use of a code is refused, as is one that has expired.
    """
    token = sign_in.redeem(services(), body.code)
    if token is None:
        raise UnknownCode
    return models.SignIn(token=token)
