"""Stands in front of ministack and refuses what must not reach it.

It answers only requests that name this server, so that no web page can reach it under a name of its own (DNS
rebinding), and none that a page of another origin sent. It closes ministack's own pages for debugging, which ask for no
credentials, except the health check. Without a signature it lets through a request to an existing API and a form with a
presigned policy for an existing bucket, and nothing else. It answers Lambda's Invoke with the request id that the
function has seen, as AWS does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN_PATHS = frozenset({"/_ministack/health"})
OF_AN_API = re.compile(r"/_aws/execute-api/([a-z0-9]+)/")
CLOSED = re.compile(
    r"/(?:_|health$|restapis/|iceberg|v20180820/|v2/(?!apis|tags)|oauth2/|logout$|graphql$|[A-Z])|.*/\.well-known/"
)
"""Paths of ministack's own pages, and of services behind its IAM check, that nothing here needs."""

OF_A_BUCKET = re.compile(r"/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?")
ONCE = (b"host", b"authorization", b"content-type", b"content-length", b"x-amz-target", b"x-amz-date")
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BODY_BYTES = 64 * 1024 * 1024
"""The largest body of a request: a package or a document has less."""

invocation_id: ContextVar[list[str] | None] = ContextVar("invocation_id", default=None)
"""Where the seam leaves the id of the invocation that a request led to."""

is_measured: ContextVar[bool] = ContextVar("is_measured", default=False)
"""Whether a request asks by its header `X-Greenroom-Measured: 1` for a quiet measurement."""

needs_no_key: ContextVar[bool] = ContextVar("needs_no_key", default=False)
"""Whether the current request is one for an existing API, or a form for a bucket, whose policy S3 checks."""

changes = 0
"""How many requests that may have changed something have come so far."""


class Gateway:
    """An ASGI application around ministack's."""

    def __init__(self, port: int) -> None:
        from ministack.app import app

        self._app = app
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        global changes
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal:
            await _refuse(scope, send, *refusal)
            return
        if scope["method"] in CHANGING:
            changes += 1
        needs_no_key.set(_names_an_api(scope) or _is_a_form(scope))
        is_measured.set((b"x-greenroom-measured", b"1") in scope["headers"])
        seen: list[str] = []
        invocation_id.set(seen)

        origin = _value(scope, b"origin")

        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(_checked(message["headers"], seen, origin))
            await send(message)

        await self._app(scope, _bounded(receive), send_checked)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and text for a request that gets no further; None for one that does."""
        if scope["type"] != "http" or _value(scope, b"host").lower() not in self._hosts:
            return 421, "this server answers to localhost and 127.0.0.1 with its port only"
        if any(name == b"origin" and value not in self._origins for name, value in scope["headers"]):
            return 403, "pages of another origin may not call this server"
        return _malformed(scope) or _without_a_right(scope)


def _malformed(scope: Scope) -> tuple[int, str] | None:
    names = [name for name, _ in scope["headers"]]
    if any(names.count(name) > 1 for name in ONCE):
        return 400, "a header is there twice"
    if b"%25" in scope["raw_path"]:
        return 400, "a path may not be encoded twice"
    if re.search(rb"(^|&)Action=", scope["query_string"]):
        return 400, "an action belongs into the body"
    if _too_large(scope):
        return 413, f"a body may have {MAX_BODY_BYTES} bytes"
    return None


def _without_a_right(scope: Scope) -> tuple[int, str] | None:
    if scope["path"] in OPEN_PATHS or _names_an_api(scope):
        return None
    if CLOSED.match(scope["path"]):
        return 403, "this path is closed"
    if not (_is_signed(scope) or _is_a_form(scope)):
        return 403, "a request has to be signed"
    return None


def _checked(headers: Iterable[Header], invocation: list[str], origin: bytes) -> Iterator[Header]:
    """Yield an answer's headers: with the invocation's id, and allowing no origin but the one of ours that asked."""
    for name, value in headers:
        if name.lower() == b"x-amzn-requestid" and invocation:
            yield name, invocation[0].encode()
        elif (name.lower(), value) != (b"access-control-allow-origin", b"*"):
            yield name, value
        elif origin:
            yield name, origin


def _value(scope: Scope, name: bytes) -> bytes:
    """Return a header's value, or nothing."""
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _too_large(scope: Scope) -> bool:
    length = _value(scope, b"content-length") or b"0"
    return not length.isdigit() or int(length[:20]) > MAX_BODY_BYTES


def _names_an_api(scope: Scope) -> bool:
    """Return whether a request is one to an existing API."""
    from ministack.services import apigateway

    api = OF_AN_API.match(scope["path"])
    return bool(api and apigateway.find_api_scope(api[1]) is not None)


def _is_signed(scope: Scope) -> bool:
    """Return whether a request names a key. ministack checks the signature."""
    return (
        _value(scope, b"authorization").startswith(b"AWS4-HMAC-SHA256 ")
        or b"X-Amz-Credential=" in scope["query_string"]
    )


def _is_a_form(scope: Scope) -> bool:
    """Return whether a request is a form for an existing bucket, which carries a policy and its signature."""
    from ministack.services import s3

    bucket = OF_A_BUCKET.fullmatch(scope["path"])
    return bool(
        scope["method"] == "POST"
        and bucket
        and not scope["query_string"]
        and _value(scope, b"content-type").startswith(b"multipart/form-data")
        and not _value(scope, b"authorization")
        and not _value(scope, b"x-amz-target")
        and s3._bucket_owner_account(bucket[1]) is not None
    )


def _bounded(receive: Receive) -> Receive:
    """Return a `receive` that ends a request whose body is larger than it may be."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return message if received <= MAX_BODY_BYTES else {"type": "http.disconnect"}

    return bounded


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
