"""What stands before ministack: refuses what must not reach it.

Only requests that name this machine are answered, so that no web page can reach the server under a name of its own (DNS
rebinding). ministack's own pages for debugging, which ask for no credentials, are closed but for the health check. The
request id that Lambda's Invoke answers with is the one the function has seen, as on AWS.
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
"""Whether a request asks for the end of an invocation's log, as whoever reads its times does."""

may_be_unsigned: ContextVar[bool] = ContextVar("may_be_unsigned", default=True)
"""Whether the request at hand may come without a signature; what is no request at all may."""

changes = 0
"""How many requests have come that may have changed something."""


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
    """An HTTP API has its own ways to let people in, and a presigned form carries its signature inside."""
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
