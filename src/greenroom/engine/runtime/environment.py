"""Inside an execution environment: the way from a forked process to a runtime.

A Python function goes on in this process, with AWS's runtime client, which talks to the engine over a socket instead of
HTTP. Loading the handler, the event loop, context, marshalling and error payloads are `awslambdaric`'s own; this module
replaces only its client. A frame on the socket is two lengths, a JSON header and a payload.

Every other runtime is a program that takes this process's place. It finds Lambda's Runtime API at
AWS_LAMBDA_RUNTIME_API: the listening socket is made here, in the environment's own network, and served by the engine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

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
        self._answer("error", invoke_id, readable(error_response_data).encode())

    def _answer(self, kind: str, invoke_id: str, data: bytes) -> None:
        if len(data) > MAX_RESPONSE_BYTES:
            kind, data = "too_large", b""
        self._send({"kind": kind, "request_id": invoke_id}, data)

    def post_init_error(self, error_response_data: dict[str, Any], error_type_override: str | None = None) -> None:
        """Tell the engine that the handler could not be loaded."""
        self._send({"kind": "init_error"}, json.dumps(error_response_data).encode()[:MAX_RESPONSE_BYTES])


def readable(text: str) -> str:
    """Return a text with its lone surrogates, which file names can have, written as in JSON: they have no bytes."""
    return text.encode(errors="backslashreplace").decode()


def run(request: dict[str, Any], control: int) -> NoReturn:
    """Run the function in this process. Never returns."""
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["programs"] is None:
        run_python(request, control)
    run_program(request, control)


def run_program(request: dict[str, Any], control: int) -> NoReturn:
    """Let the first of the runtime's programs that exists take this process's place."""
    with socket.socket(fileno=control) as channel, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", request["port"]))
        listener.listen()
        os.environ["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{listener.getsockname()[1]}"
        socket.send_fds(channel, [b"!"], [listener.fileno()])
        listener.close()
        channel.set_inheritable(request["keeps_control"])  # then it closes with the last process of the environment
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a program inherits that
        os.chdir(request["task_root"])
        if "NODE_PATH" in os.environ:
            found = os.environ["NODE_PATH"].split(":")
            os.environ["NODE_PATH"] = ":".join(placed(path, request) for path in found)
        channel.sendall(start_first(request).encode())
    os._exit(1)


def start_first(request: dict[str, Any]) -> str:
    """Become the first program that exists; return Lambda's words for why that was not possible."""
    names = [program[0] for program in request["programs"]]
    for program in request["programs"]:
        arguments = [placed(part, request) for part in program]
        try:
            os.execv(arguments[0], arguments)
        except OSError as error:
            if os.path.lexists(arguments[0]):
                return f"fork/exec {program[0]}: {os.strerror(error.errno or 0).lower()}"
    return f"Couldn't find valid bootstrap(s): [{' '.join(names)}]"


def placed(path: str, request: dict[str, Any]) -> str:
    """Return where a file of the function, a layer or a runtime is, where no namespaces put it in its place."""
    roots = {"/var/task": "task_root", "/opt": "opt_root", "/var/runtime": "runtime_root"}
    if request["task_root"] == "/var/task":
        return path
    for name, field in roots.items():
        root: str = request[field] or "/nowhere"
        if f"{path}/".startswith(f"{name}/"):
            return root + path[len(name) :]
    return path


def run_python(request: dict[str, Any], control: int) -> NoReturn:
    """Run the function in this process, with AWS's runtime client."""
    task_root, opt = request["task_root"], request["opt_root"]
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
    os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = "1"  # messages are framed among the lines of the output
    # Imported here and not before: it reads the log format and level from the environment once.
    from awslambdaric import bootstrap

    class LogSink(bootstrap.FramedTelemetryLogSink):
        """Writes what AWS's own could not: an error message must not end the runtime."""

        def log(self, msg: str, frame_type: bytes | None = None) -> None:
            super().log(readable(msg), frame_type)

    bootstrap.FramedTelemetryLogSink = LogSink
    code = 1
    try:
        bootstrap.run(request["handler"], EngineClient(socket.socket(fileno=control)))
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
