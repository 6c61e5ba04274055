"""A small real HTTP server in the platform's place: scripted answers, and a record of what reached it.

For the tests of the client and the CLI, which assert on bytes on the wire and on answers a healthy platform does not
give. Not for behaviour of the platform: that is tested end to end, on the platform.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

BUCKET_PATH = "/bucket-of-packages"
TOKEN = "token-of-the-tests"


@dataclass
class Seen:
    """One request as it reached the server."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: Any = None  # bytes are sent as they are, anything else as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False  # close the connection without an answer
    read_body: bool = True  # False: answer before the body is read, as S3 does to what is too large
    keep_body: bool = True  # False: count the bytes of the body, and forget them


Script = Answer | Callable[[Seen], Answer]


@dataclass
class Part:
    """One part of a multipart/form-data body."""

    name: str
    file_name: str | None
    headers: dict[str, str]
    content: bytes


def parts_of(seen: Seen) -> list[Part]:
    """The parts of a presigned POST, in their order, by the rules of RFC 7578."""
    boundary = seen.headers["content-type"].split("boundary=")[1].encode()
    assert seen.body.endswith(b"\r\n--" + boundary + b"--\r\n")
    pieces = (b"\r\n" + seen.body).split(b"\r\n--" + boundary)[1:-1]
    parts = []
    for piece in pieces:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        disposition = dict(item.split("=", 1) for item in headers["Content-Disposition"].split("; ") if "=" in item)
        file_name = disposition.get("filename")
        parts.append(Part(disposition["name"].strip('"'), file_name and file_name.strip('"'), headers, content))
    return parts


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of several tests."""


class StandInApi:
    """Answers from a script: for each (method, path) a list, of which the last is repeated."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: dict[tuple[str, str], list[Script]] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                api._answer(self)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/api"

    def on(self, method: str, path: str, *answers: Script) -> None:
        """What to answer to a path below the API's address (or a bare path of the bucket)."""
        self.script[method, path] = list(answers)

    def to(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        path = url.path.removeprefix("/api") if url.path.startswith("/api/") else url.path
        seen = Seen(
            handler.command,
            path,
            dict(parse_qsl(url.query)),
            {name.lower(): value for name, value in handler.headers.items()},
            b"",
        )
        answers = self.script.get((seen.method, seen.path))
        script: Script = Answer(404, {"error": {"code": "NotFound", "message": f"no {seen.path}", "hint": ""}})
        if answers:
            script = answers.pop(0) if len(answers) > 1 else answers[0]
        read = not isinstance(script, Answer) or script.read_body
        length = int(handler.headers.get("Content-Length", 0))
        if isinstance(script, Answer) and not script.keep_body:
            while length:
                length -= len(handler.rfile.read(min(length, 65_536)))
        elif read:
            seen.body = handler.rfile.read(length)
        self.seen.append(seen)
        answer = script if isinstance(script, Answer) else script(seen)
        if answer.drop or not read:
            handler.close_connection = True
        if answer.drop:
            return
        raw = isinstance(answer.body, bytes)
        body = answer.body if raw else json.dumps(answer.body).encode()
        handler.send_response(answer.status)
        if "Content-Type" not in answer.headers:
            handler.send_header("Content-Type", "application/xml" if raw else "application/json")
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def release(status: str, **more: Any) -> dict[str, Any]:
    """A release as the API gives it."""
    return {"releaseId": RELEASE_ID, "algorithm": "nsx-in", "type": "in", "status": status, **more}


RELEASE_ID = "01KBTJ7Q4X9D0V3N8M5R2S6TYZ"
