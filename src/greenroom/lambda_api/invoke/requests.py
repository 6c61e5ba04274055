"""The operations that invoke a function: Invoke, InvokeAsync, InvokeWithResponseStream."""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke import execution, payload
from greenroom.lambda_api.invoke.events import EventQueue
from greenroom.lambda_api.invoke.execution import Execution, Executor, Functions, Wish

MEASURED = "x-greenroom-measured"
"""The header by which Greenroom's platform asks for a quiet measurement: the function has its cores to itself, and its
report says what disturbed it. A caller that only wants the log's end does not ask for that."""


class Requests:
    """Answers the operations.

    Args:
        functions: what can be invoked.
        executor: runs invocations.
        events: takes asynchronous ones.
    """

    def __init__(self, functions: Functions, executor: Executor, events: EventQueue) -> None:
        self._functions = functions
        self._executor = executor
        self._events = events

    def invoke(self, call: Call) -> Answer:
        """Answer Invoke."""
        asked = call.parameters
        kind = asked.get("InvocationType") or "RequestResponse"
        target = self._functions.invoked(asked["FunctionName"], asked.get("Qualifier"))
        event = payload.checked(_bytes(asked.get("Payload")), kind)
        if kind == "DryRun":
            return Answer(status=204, body=b"")
        if kind == "Event":
            self._events.accept(target, event, call.request_id)
            return Answer(status=202, body=b"")
        done = self._executor.run(target, event, _wish(call))
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Executed-Version": done.version,
            "X-Amzn-Trace-Id": done.trace_header,
        }
        if done.result.function_error:
            headers["X-Amz-Function-Error"] = done.result.function_error
        if asked.get("LogType") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(execution.tail(done.result)).decode()
        return Answer(status=200, headers=headers, body=done.result.payload or b"null")

    def invoke_async(self, call: Call) -> Answer:
        """Answer InvokeAsync, the older form of an invocation of the type Event."""
        target = self._functions.invoked(call.parameters["FunctionName"])
        event = payload.checked(_bytes(call.parameters.get("InvokeArgs")), "Event")
        self._events.accept(target, event, call.request_id)
        return Answer({"Status": 202}, status=202)

    def invoke_with_response_stream(self, call: Call) -> Answer:
        """Answer InvokeWithResponseStream: the answer comes in one piece, once it is whole."""
        asked = call.parameters
        target = self._functions.invoked(asked["FunctionName"], asked.get("Qualifier"))
        event = payload.checked(_bytes(asked.get("Payload")), "RequestResponse")
        if asked.get("InvocationType") == "DryRun":
            return Answer(status=204, body=b"")
        done = self._executor.run(target, event, _wish(call))
        headers = {
            "Content-Type": "application/vnd.amazon.eventstream",
            "X-Amz-Executed-Version": done.version,
            "X-Amzn-Remapped-Content-Type": "application/octet-stream",
        }
        return Answer(status=200, headers=headers, body=_stream(done, asked.get("LogType") == "Tail"))


def _wish(call: Call) -> Wish:
    headers = call.headers
    return Wish(
        call.request_id,
        measured=headers.get(MEASURED) == "1",
        client_context=_client_context(call.parameters.get("ClientContext")),
        trace_header=headers.get("x-amzn-trace-id"),
    )


def _client_context(encoded: str | None) -> str | None:
    """Return the JSON that a client context holds. Raises LambdaError if it holds none."""
    if not encoded:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        if not isinstance(json.loads(text), dict):
            raise ValueError("not an object")
    except (binascii.Error, ValueError) as error:
        raise LambdaError(
            "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.", 400
        ) from error
    return text


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else bytes(value.read())


def _stream(done: Execution, with_log: bool) -> bytes:
    """Return an event stream of the answer and how it ended.

    https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html#API_InvokeWithResponseStream_ResponseSyntax
    """
    complete: dict[str, Any] = {}
    if done.result.function_error:
        complete["ErrorCode"] = done.result.function_error
        complete["ErrorDetails"] = execution.error_message(done.result)
    if with_log:
        complete["LogResult"] = base64.b64encode(execution.tail(done.result)).decode()
    events = [] if done.result.function_error else [("PayloadChunk", "application/octet-stream", done.result.payload)]
    events.append(("InvokeComplete", "application/json", json.dumps(complete).encode()))
    return b"".join(
        _message({":message-type": "event", ":event-type": name, ":content-type": content_type}, body)
        for name, content_type, body in events
    )


def _message(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return one message of an event stream: lengths, headers as text, body, with a checksum of each.

    https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
    """
    packed = b"".join(
        struct.pack(f"!B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", 16 + len(packed) + len(body), len(packed))
    begin = lengths + struct.pack("!I", zlib.crc32(lengths)) + packed + body
    return begin + struct.pack("!I", zlib.crc32(begin))
