"""Lambda's Runtime API, version 2018-06-01, for one environment: how any `bootstrap` and Node.js talk to the engine.

    GET  /2018-06-01/runtime/invocation/next                 waits for an invocation
    POST /2018-06-01/runtime/invocation/<request id>/response
    POST /2018-06-01/runtime/invocation/<request id>/error
    POST /2018-06-01/runtime/init/error

The paths and headers are those of https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; statuses and error
bodies, which it does not have, are those of AWS's runtime interface emulator (`lambda/rapi` in
https://github.com/aws/aws-lambda-runtime-interface-emulator). The environment listens in its own network and hands the
listening socket over; the engine serves it, while it waits for that environment, and everything is bounded.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import select
import socket
from collections import deque
from collections.abc import Iterable, Sequence

import h11

from greenroom.engine.conversation import MAX_RESPONSE_BYTES, Conversation, Event, Message, Violation

MAX_HEAD_BYTES = 1_100_000
"""Runtime clients send the cause of an error as a header of up to 1 MiB."""

MAX_DISCARDED_BYTES = 64 << 20
"""How much of a body that does not count is read, so that the client reads the answer. Then it is cut off."""

MAX_CLIENTS = 8
"""How many connections an environment may have. A runtime needs one."""

PIECE_BYTES = 1 << 16

ACCEPTED = 202

VERSION = "/2018-06-01"
NEXT, INIT_ERROR = "/runtime/invocation/next", "/runtime/init/error"
ANSWER = re.compile(r"/runtime/invocation/([^/?]+)/(response|error)", re.ASCII)

STATE_NAMES = {
    "starting": "Started",
    "ready": "Ready",
    "busy": "Running",
    "answered": "ResponseSent",
    "over": "InitError",
}

Headers = Sequence[tuple[bytes, bytes]]
Reply = tuple[int, Headers, bytes]

UNFIT = re.compile(rb"[\x00-\x1f\x7f]")
"""What a header can't hold."""


class Client:
    """One connection of the runtime."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.channel = channel
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.unsent = bytearray()
        self.request: h11.Request | None = None
        self.path = ""
        self.body = bytearray()
        self.discarded = 0
        self.refusal: Reply | None = None
        self.keeps = False  # whether its body counts

    @property
    def interest(self) -> int:
        """Return what to wait for: nothing is read while an answer is being sent."""
        return select.POLLOUT if self.unsent else select.POLLIN

    def header(self, name: bytes) -> str:
        """Return a header of the request, or an empty string."""
        headers = self.request.headers if self.request is not None else ()
        return next((value.decode("latin-1") for key, value in headers if key == name), "")

    def answer(self, reply: Reply) -> None:
        """Begin to send an answer."""
        status, headers, body = reply
        fields = [*headers, (b"Content-Length", b"%d" % len(body))]
        self.unsent += self.http.send(h11.Response(status_code=status, headers=fields)) or b""
        self.unsent += self.http.send(h11.Data(data=body)) or b""
        self.unsent += self.http.send(h11.EndOfMessage()) or b""
        self.request, self.refusal, self.discarded = None, None, 0
        self.body = bytearray()

    def flush(self) -> bool:
        """Send what is unsent, as far as it goes; return whether the connection goes on."""
        try:
            while self.unsent:
                del self.unsent[: self.channel.send(self.unsent)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
        return self.http.our_state is not h11.MUST_CLOSE and self.http.our_state is not h11.ERROR


class RuntimeApi:
    """The engine's end of one environment whose runtime speaks HTTP.

    `control` is the socket over which the environment hands its listening socket over. `process` is a descriptor that
    is readable once the runtime has ended; without one, `control` stays open as long as any process of it lives.
    """

    def __init__(self, control: socket.socket, conversation: Conversation, process: int | None = None) -> None:
        control.setblocking(False)
        self._control: socket.socket | None = control
        self._process = process
        self._conversation = conversation
        self._listener: socket.socket | None = None
        self._clients: dict[int, Client] = {}
        self._waiting: Client | None = None  # its request for the next invocation is not answered yet
        self._undelivered: Event | None = None
        self._taken: deque[Message] = deque()

    def interest(self) -> list[tuple[int, int]]:
        sockets = [each.fileno() for each in (self._control, self._listener) if each is not None]
        wanted = [(descriptor, select.POLLIN) for descriptor in sockets]
        wanted += [(descriptor, client.interest) for descriptor, client in self._clients.items()]
        # Last, so that what it has said before it ended is heard.
        return wanted if self._process is None else [*wanted, (self._process, select.POLLIN)]

    def transfer(self, descriptor: int, found: int) -> bool:
        if descriptor == self._process:
            while self._control is not None and self._hear_control(self._control):
                pass
            return False
        if self._control is not None and descriptor == self._control.fileno():
            return self._hear_control(self._control)
        if self._listener is not None and descriptor == self._listener.fileno():
            self._accept(self._listener)
        elif (client := self._clients.get(descriptor)) is not None and not self._serve(client, found):
            self._forget(client)
        return True

    def take(self) -> Message | None:
        return self._taken.popleft() if self._taken else None

    def deliver(self, event: Event) -> None:
        self._conversation.begin(event.request_id)
        self._undelivered = event
        self._hand_over()

    def close(self) -> None:
        for client in list(self._clients.values()):
            self._forget(client)
        for each in (self._listener, self._control):
            if each is not None:
                each.close()
        if self._process is not None:
            os.close(self._process)
            self._process = None

    def _hear_control(self, control: socket.socket) -> bool:
        """Receive the listening socket, or why no program could be started; return whether the environment goes on."""
        try:
            if self._listener is None:
                data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
                if descriptors:
                    self._listener = socket.socket(fileno=descriptors[0])
                    self._listener.setblocking(False)
                    return True
            else:
                data = control.recv(PIECE_BYTES)
        except OSError:
            data = b""
        if data:
            message = Message("not_started", payload=data, error_type="Runtime.InvalidEntrypoint")
            self._conversation.hear(message)
            self._taken.append(message)
        elif self._process is not None and self._listener is not None:
            control.close()  # a program has taken the place of what held the other end
            self._control = None
            return True
        return bool(data)

    def _accept(self, listener: socket.socket) -> None:
        try:
            channel, _ = listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            channel.close()
        else:
            self._clients[channel.fileno()] = Client(channel)

    def _forget(self, client: Client) -> None:
        if self._waiting is client:
            self._waiting = None
        self._clients.pop(client.channel.fileno(), None)
        client.channel.close()

    def _serve(self, client: Client, found: int) -> bool:
        """Receive and send what a connection is ready for; return whether it goes on."""
        if found & select.POLLOUT:
            return client.flush() and (bool(client.unsent) or self._requests(client))
        try:
            data = client.channel.recv(PIECE_BYTES)
            client.http.receive_data(data)
        except BlockingIOError:
            return True
        except (OSError, h11.RemoteProtocolError):
            return False
        if client is self._waiting and data:
            return False  # it has to wait for the answer before it sends anything else
        return self._requests(client)

    def _requests(self, client: Client) -> bool:
        """Deal with all that has come on a connection; return whether it goes on."""
        while not client.unsent:
            try:
                event = client.http.next_event()
            except h11.RemoteProtocolError as error:
                if client.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                    return False
                client.answer(_error(error.error_status_hint, "InvalidRequest", "this is not HTTP/1.1"))
                return client.flush()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return True
            if isinstance(event, h11.ConnectionClosed):
                return False
            if not self._deal_with(client, event):
                return False
        return True

    def _deal_with(self, client: Client, event: object) -> bool:
        if isinstance(event, h11.Request):
            client.request, client.path = event, _path(event)
            client.refusal = self._refusal(client, event.method.decode("ascii"))
            client.keeps = client.refusal is None and client.path != NEXT
            if client.http.they_are_waiting_for_100_continue:
                client.unsent += client.http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                return client.flush()
        elif isinstance(event, h11.Data):
            if client.keeps and len(client.body) + len(event.data) <= MAX_RESPONSE_BYTES:
                client.body += event.data
            else:
                client.discarded += len(event.data)
            return client.discarded <= MAX_DISCARDED_BYTES
        elif isinstance(event, h11.EndOfMessage):
            reply = client.refusal or self._reply(client, event.headers)
            if reply is not None:
                client.answer(reply)
            return client.flush()
        return True

    def _refusal(self, client: Client, method: str) -> Reply | None:
        """Return the answer to a request whose body need not be kept."""
        path = client.path
        if path == NEXT:
            return None if method == "GET" else _error(405, "MethodNotAllowed", "it takes GET")
        answer = ANSWER.fullmatch(path)
        if answer is None and path != INIT_ERROR:
            return _error(404, "NotFound", "this is not a path of the Runtime API")
        if method != "POST":
            return _error(405, "MethodNotAllowed", "it takes POST")
        if any(each.request is not None for each in self._clients.values() if each not in (client, self._waiting)):
            return _error(403, "InvalidStateTransition", "another answer is being received")
        if answer is not None and answer[1] != self._conversation.request_id:
            return _error(400, "InvalidRequestID", "Invalid request ID")
        try:
            self._conversation.check("init_error" if answer is None else "result", self._conversation.request_id)
        except Violation:
            return self._wrong_state(path.rpartition("/")[2])
        return None

    def _reply(self, client: Client, trailers: Iterable[tuple[bytes, bytes]]) -> Reply | None:
        """Take a whole request; return the answer, or None if it waits for an invocation."""
        path = client.path
        if path == NEXT:
            return self._next(client)
        if path == INIT_ERROR:
            error_type = client.header(b"lambda-runtime-function-error-type")
            return self._say(Message("init_error", None, bytes(client.body), error_type or None))
        _, request_id, kind = path.rsplit("/", 2)
        if client.discarded:
            self._say(Message("too_large", request_id))
            text = f"Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            return _error(413, "RequestEntityTooLarge", text)
        if kind == "response" and (failed := _failed_at_the_end(trailers)) is not None:
            return self._say(Message("error", request_id, failed))
        return self._say(Message("result" if kind == "response" else "error", request_id, bytes(client.body)))

    def _next(self, client: Client) -> Reply | None:
        state = self._conversation.state
        lost = self._waiting is None and (state == "ready" or (state == "busy" and self._undelivered is not None))
        if not lost and (reply := self._say(Message("next")))[0] != ACCEPTED:
            return reply
        self._waiting = client
        self._hand_over()
        return None

    def _say(self, message: Message) -> Reply:
        try:
            self._conversation.hear(message)
        except Violation:
            return self._wrong_state(message.kind)
        self._taken.append(message)
        return _json(ACCEPTED, {"status": "OK"})

    def _wrong_state(self, wanted: str) -> Reply:
        now = STATE_NAMES[self._conversation.state]
        text = f"State transition from {now} to {wanted} failed for runtime. Error: State transition is not allowed"
        return _error(403, "InvalidStateTransition", text)

    def _hand_over(self) -> None:
        """Give the invocation to the client that waits for one, if there are both."""
        event, client = self._undelivered, self._waiting
        if event is None or client is None:
            return
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Lambda-Runtime-Aws-Request-Id", _header(event.request_id)),
            (b"Lambda-Runtime-Deadline-Ms", b"%d" % event.deadline_ms),
            (b"Lambda-Runtime-Invoked-Function-Arn", _header(event.invoked_function_arn)),
            (b"Lambda-Runtime-Trace-Id", _header(event.trace_id)),
        ]
        if event.client_context is not None:
            headers.append((b"Lambda-Runtime-Client-Context", _header(event.client_context)))
        self._undelivered = self._waiting = None
        client.answer((200, headers, event.payload))
        if not client.flush():
            self._undelivered = event  # for the runtime's next connection
            self._forget(client)


def _path(request: h11.Request) -> str:
    path = request.target.decode("ascii")
    return path.removeprefix(VERSION) if path.startswith(VERSION + "/") else ""


def _header(text: str) -> bytes:
    return UNFIT.sub(b" ", text.encode(errors="replace")).strip()


def _failed_at_the_end(trailers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the error with which a streamed answer ended, if it did.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
    """
    found = dict(trailers)
    if b"lambda-runtime-function-error-type" not in found:
        return None
    try:
        return base64.b64decode(found.get(b"lambda-runtime-function-error-body", b""), validate=True)
    except binascii.Error:
        return b"{}"


def _json(status: int, body: object) -> Reply:
    return status, [(b"Content-Type", b"application/json")], json.dumps(body).encode() + b"\n"


def _error(status: int, kind: str, message: str) -> Reply:
    return _json(status, {"errorMessage": message, "errorType": kind})
