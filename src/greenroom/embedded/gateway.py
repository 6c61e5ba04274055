"""Stands in front of ministack and refuses what must not reach it.

It answers only requests that name this machine, so that no web page can reach the server under a name of its own (DNS
rebinding). It closes ministack's own pages for debugging, which ask for no credentials, except the health check. It
answers Lambda's Invoke with the request id that the function has seen, as AWS does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OWN_HOST = re.compile(rb"^(?:(?:[a-z0-9-]+\.)*localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$")
OPEN_PATHS = frozenset({"/_ministack/health"})
CLOSED = re.compile(r"^/(?:_ministack|_localstack|_aws/(?:sqs|ses|sns)|health$)")
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

invocation_id: ContextVar[list[str] | None] = ContextVar("invocation_id", default=None)
"""Where the seam leaves the id of the invocation that a request led to."""

wants_log: ContextVar[bool] = ContextVar("wants_log", default=False)
"""Whether a request asks for the end of an invocation's log: then its times are read, and it is measured."""

may_be_unsigned: ContextVar[bool] = ContextVar("may_be_unsigned", default=True)
"""Whether the current request may come without a signature; a call that is not part of a request may."""

changes = 0
"""How many requests that may have changed something have come so far."""


class Gateway:
    """An ASGI application around ministack's."""

    def __init__(self) -> None:
        from ministack.app import app

        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        global changes
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if not OWN_HOST.match(host.lower()) or scope["type"] != "http":
            await _refuse(scope, send, 421, "this server answers to localhost and 127.0.0.1 only")
            return
        if CLOSED.match(scope["path"]) and scope["path"] not in OPEN_PATHS:
            await _refuse(scope, send, 403, "this path is closed")
            return
        if scope["method"] in CHANGING:
            changes += 1
        may_be_unsigned.set(_may_be_unsigned(scope))
        wants_log.set((b"x-amz-log-type", b"Tail") in scope["headers"])
        seen: list[str] = []
        invocation_id.set(seen)

        async def send_with_id(message: Message) -> None:
            if seen and message["type"] == "http.response.start":
                message["headers"] = [
                    (name, seen[0].encode() if name.lower() == b"x-amzn-requestid" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _may_be_unsigned(scope: Scope) -> bool:
    """Return whether a request needs no signature: HTTP APIs check access themselves, presigned forms carry it."""
    if scope["path"].startswith("/_aws/execute-api/") or scope["method"] == "OPTIONS":
        return True
    headers = dict(scope["headers"])
    is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
    return b".execute-api." in headers.get(b"host", b"") or (scope["method"] == "POST" and is_form)


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
