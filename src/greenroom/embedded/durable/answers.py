"""Holds an answer back until what it says is durable."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from greenroom.embedded.durable.effects import Effects, Written
from greenroom.embedded.durable.marks import Watch
from greenroom.embedded.process import STORE_PATH
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

INVOCATION = re.compile(r"/2015-03-31/functions/[^/]+/invocations$|/_aws/execute-api/")

LOCAL = re.compile(rb"(?:127\.0\.0\.1|localhost)(?::\d+)?$")

JSON = "application/x-amz-json-1.1"

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
        if scope["path"] == STORE_PATH and scope["method"] == "GET" and _is_local(scope):
            await _answer(send, 200, JSON, json.dumps(self._state()))
            return
        store = self._effects.store
        trouble = store.trouble
        if trouble and _only_reads(scope):
            await self._app(scope, receive, send)
            return
        if trouble:
            await _refuse(scope, send, trouble)
            return
        is_refused, tables_before = False, store.tables_written

        async def send_durable(message: Message) -> None:
            nonlocal is_refused
            if is_refused:
                return
            if message["type"] == "http.response.start":
                try:
                    written = self._effects.write_request(watch)
                    # Tasks that the request has begun go on while it waits: what they change belongs together, and is
                    # written with what else changes in the background.
                    watch.is_open = False
                    await store.barrier_async(self._needed(scope, written, tables_before))
                except (StoreUnavailable, OSError) as error:
                    is_refused = True
                    await _refuse(scope, send, str(error))
                    return
            await send(message)

        watch: Watch
        with self._effects.request(_service(scope)) as watch:
            await self._app(scope, receive, send_durable)

    def _needed(self, scope: Scope, written: Written, tables_before: int) -> int:
        """Return up to which write an answer has to wait: its own, and those of the records that it has read."""
        if _is_invocation(scope):
            return written.needed if written.has_changed else 0
        tables = self._effects.store.tables_written
        # Lambda's records are in tables: what was written there meanwhile may be this request's.
        return max(written.needed, tables if tables > tables_before or _service(scope) == "lambda" else 0)

    def _state(self) -> dict[str, Any]:
        store = self._effects.store
        return {
            "durableAt": store.durable_at,
            "ageS": max(0.0, time.time() - store.durable_at),
            "trouble": store.trouble,
        }


def _is_invocation(scope: Scope) -> bool:
    """Return whether a function answers the request: all that it has seen and written was durable when it got it."""
    kind = next((value for name, value in scope["headers"] if name == b"x-amz-invocation-type"), b"RequestResponse")
    return kind == b"RequestResponse" and INVOCATION.match(scope["path"]) is not None


def _is_local(scope: Scope) -> bool:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return LOCAL.match(host) is not None


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
        kind = "application/xml"
        text = f"<Error><Code>ServiceUnavailable</Code><Message>{_escaped(message)}</Message></Error>"
    else:
        kind, text = JSON, json.dumps({"__type": "ServiceUnavailableException", "message": message})
    more = {"retry-after": str(RETRY_AFTER_S), "x-amzn-errortype": "ServiceUnavailableException"}
    await _answer(send, 503, kind, text, more)


async def _answer(send: Send, status: int, kind: str, text: str, more: Mapping[str, str] | None = None) -> None:
    body = text.encode()
    named = {"content-type": kind, "content-length": str(len(body)), **(more or {})}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
