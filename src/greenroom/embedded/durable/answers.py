"""Holds an answer back until what it says is durable."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from greenroom.embedded.durable.effects import Effects
from greenroom.embedded.durable.marks import Watch
from greenroom.store import StoreUnavailable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ALWAYS_ANSWERED = frozenset({"/_ministack/health"})

SERVICE = re.compile(rb"Credential=[^/]*/\d{8}/[^/]*/([a-z0-9-]+)/aws4_request")

READING = re.compile(rb"\.(?:BatchGet|Describe|Get|List|Query|Scan)[A-Za-z]*$")
"""What the name of an operation that changes nothing looks like, in the header that the JSON protocols name it in."""

RETRY_AFTER_S = 2
"""When a refused request may come again: what has to happen until then is that somebody makes space."""


class DurableAnswers:
    """An ASGI application around another one."""

    def __init__(self, app: App, effects: Effects) -> None:
        self._app = app
        self._effects = effects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: its answer leaves when everything written until then is on disk, or is a 503."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        trouble = self._effects.store.trouble
        if trouble and _only_reads(scope):
            await self._app(scope, receive, send)
            return
        if trouble:
            await _refuse(scope, send, trouble)
            return
        is_refused = False

        async def send_durable(message: Message) -> None:
            nonlocal is_refused
            if is_refused:
                return
            if message["type"] == "http.response.start":
                try:
                    self._effects.write_request(watch)
                    await self._effects.store.barrier_async()
                except (StoreUnavailable, OSError) as error:
                    is_refused = True
                    await _refuse(scope, send, str(error))
                    return
            await send(message)

        watch: Watch
        with self._effects.request(_service(scope)) as watch:
            await self._app(scope, receive, send_durable)


def _only_reads(scope: Scope) -> bool:
    """Return whether a request certainly changes nothing: it is answered while nothing can be kept."""
    target = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
    return scope["method"] in ("GET", "HEAD") or READING.search(target) is not None


def _service(scope: Scope) -> str:
    """Return the service that a request is signed for."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            found = SERVICE.search(value)
            return found[1].decode() if found else ""
    return ""


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    service = _service(scope)
    message = f"The embedded AWS can't keep anything at the moment, and takes nothing on: {reason}"
    if service in ("s3", ""):
        kind, text = (
            "application/xml",
            f"<Error><Code>ServiceUnavailable</Code><Message>{_escaped(message)}</Message></Error>",
        )
    else:
        kind = "application/x-amz-json-1.1"
        text = json.dumps({"__type": "ServiceUnavailableException", "message": message})
    body = text.encode()
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
        (b"x-amzn-errortype", b"ServiceUnavailableException"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
