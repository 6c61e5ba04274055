"""Inside an execution environment: AWS's runtime client, which talks to the engine over a socket instead of HTTP.

Loading the handler, the event loop, context, marshalling and error payloads are `awslambdaric`'s own; this module
replaces only its client. A frame on the socket is two lengths, a JSON header and a payload.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from typing import Any

from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient, InvocationRequest

LENGTHS = struct.Struct("!II")

MAX_RESPONSE_BYTES = 6_291_556
"""The engine's `conversation` has the same figure: a longer answer is not sent, only that it is too long."""


class EngineClient(BaseLambdaRuntimeClient):
    """The client that `awslambdaric` asks for invocations and gives results to."""

    def __init__(self, channel: socket.socket) -> None:
        super().__init__("")
        self._channel = channel

    def _send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        head = json.dumps(header).encode()
        self._channel.sendall(LENGTHS.pack(len(head), len(payload)) + head + payload)

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._channel.recv(min(size - len(data), 1 << 20))
            if not piece:
                os._exit(0)  # the engine is gone
            data += piece
        return bytes(data)

    def wait_next_invocation(self) -> InvocationRequest:
        """Tell the engine that this environment is ready, and wait for an invocation."""
        self._send({"kind": "next"})
        head, size = LENGTHS.unpack(self._receive(LENGTHS.size))
        header = json.loads(self._receive(head))
        return InvocationRequest(
            invoke_id=header["request_id"],
            x_amzn_trace_id=header["trace_id"],
            invoked_function_arn=header["invoked_function_arn"],
            deadline_time_in_ms=header["deadline_ms"],
            client_context=header["client_context"],
            cognito_identity=None,
            tenant_id=None,
            content_type="application/json",
            event_body=self._receive(size),
            invocation_id=None,
        )

    def post_invocation_result(
        self,
        invoke_id: str,
        result_data: str | bytes,
        content_type: str = "application/json",
        invocation_id: str | None = None,
    ) -> None:
        """Give an answer to the engine."""
        self._answer("result", invoke_id, result_data if isinstance(result_data, bytes) else result_data.encode())

    def post_invocation_error(
        self, invoke_id: str, error_response_data: str, xray_fault: str, invocation_id: str | None = None
    ) -> None:
        """Give an error to the engine."""
        self._answer("error", invoke_id, error_response_data.encode())

    def _answer(self, kind: str, invoke_id: str, data: bytes) -> None:
        if len(data) > MAX_RESPONSE_BYTES:
            kind, data = "too_large", b""
        self._send({"kind": kind, "request_id": invoke_id}, data)

    def post_init_error(self, error_response_data: dict[str, Any], error_type_override: str | None = None) -> None:
        """Tell the engine that the handler could not be loaded."""
        self._send({"kind": "init_error"}, json.dumps(error_response_data).encode()[:MAX_RESPONSE_BYTES])


def run(request: dict[str, Any], control: int) -> None:
    """Run the function in this process. Never returns."""
    task_root, opt = request["task_root"], request["opt_root"]
    os.environ.clear()
    os.environ.update(request["environment"])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    runtime = [path for path in sys.path if path]
    layers = [f"{opt}/python/lib/{version}/site-packages", f"{opt}/python"] if opt else []
    # The function's own packages come before the runtime's: it may bring another boto3.
    sys.path[:] = [task_root, *layers, *runtime]
    sys.argv[:] = [""]
    sys.path_importer_cache.clear()
    # In Lambda nothing can write to the code; where there are no namespaces Python must not either.
    sys.dont_write_bytecode = True
    os.chdir(task_root)
    for own in ("environment", "watcher"):  # a function may have modules of these names
        sys.modules.pop(own, None)
    # Imported here and not before: it reads the log format and level from the environment once.
    from awslambdaric import bootstrap

    code = 1
    try:
        bootstrap.run(request["handler"], EngineClient(socket.socket(fileno=control)))
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
