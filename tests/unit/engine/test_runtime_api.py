"""The Runtime API of one environment: its steps, its errors, its bounds. Real sockets, no environment behind them."""

from __future__ import annotations

import base64
import http.client
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom.engine.conversation import MAX_RESPONSE_BYTES, Conversation, Event, Message
from greenroom.engine.runtime_api import MAX_CLIENTS, RuntimeApi

EVENT = Event(
    "id-1", b'{"n": 1e400, "s": "\\ud800"}', "arn:aws:lambda:::function:f", 1234, "Root=1-2-3", '{"custom": "\xe9"}'
)
NEXT = "/2018-06-01/runtime/invocation/next"


class Engine:
    """An engine that only listens: it gives an invocation when told to, and keeps what the runtime says."""

    def __init__(self) -> None:
        control, self.environment = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        socket.send_fds(self.environment, [b"!"], [listener.fileno()])
        listener.close()
        self.conversation = Conversation()
        self.api = RuntimeApi(control, self.conversation)
        self.said: list[Message] = []
        self.events: list[Event] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._end.is_set():
            if self.events and self.conversation.state == "ready":
                self.api.deliver(self.events.pop())
            self.once()

    def once(self) -> None:
        """Deal with what is there."""
        poll = select.poll()
        for descriptor, wanted in self.api.interest():
            poll.register(descriptor, wanted)
        for descriptor, found in poll.poll(5):
            self.api.transfer(descriptor, found)
        while (message := self.api.take()) is not None:
            self.said.append(message)

    def stop(self) -> None:
        """Deal with nothing any more, but when `once` is called."""
        self._end.set()
        self._thread.join()

    def close(self) -> None:
        self.stop()
        self.api.close()
        self.environment.close()

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def until(self, *kinds: str) -> Message:
        """Wait until the runtime has said these things, and nothing else since the invocation before them."""
        end = time.monotonic() + 5
        while [each.kind for each in self.said[-len(kinds) :]] != list(kinds):
            assert time.monotonic() < end, self.said
            time.sleep(0.005)
        return self.said[-1]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    found = client.getresponse()
    return found.status, json.loads(found.read())


def begun(engine: Engine) -> http.client.HTTPConnection:
    """Return a runtime's connection that has just received the invocation."""
    engine.events = [EVENT]
    client = engine.client()
    client.request("GET", NEXT)
    client.getresponse().read()
    return client


def answer(kind: str = "response", request_id: str = "id-1") -> str:
    return f"/2018-06-01/runtime/invocation/{request_id}/{kind}"


def test_an_invocation_has_its_bytes_and_lambdas_headers(engine: Engine) -> None:
    engine.events = [EVENT]
    client = engine.client()
    client.request("GET", NEXT)
    found = client.getresponse()
    assert found.status == 200
    assert found.read() == EVENT.payload
    assert found.headers["Lambda-Runtime-Aws-Request-Id"] == "id-1"
    assert found.headers["Lambda-Runtime-Deadline-Ms"] == "1234"
    assert found.headers["Lambda-Runtime-Invoked-Function-Arn"] == EVENT.invoked_function_arn
    assert found.headers["Lambda-Runtime-Trace-Id"] == "Root=1-2-3"
    assert json.loads(found.headers["Lambda-Runtime-Client-Context"].encode("latin-1")) == {"custom": "\xe9"}
    assert found.headers["Content-Type"] == "application/json"


def test_a_runtime_answers_and_asks_for_more_on_one_connection(engine: Engine) -> None:
    client = begun(engine)
    for number in range(3):
        request_id = f"id-{number + 1}"
        assert ask(client, "POST", answer(request_id=request_id), b"[1]") == (202, {"status": "OK"})
        assert engine.until("result") == Message("result", request_id, b"[1]")
        engine.events = [Event(f"id-{number + 2}", b"{}", "arn", 1, "Root=1")]
        client.request("GET", NEXT)
        assert client.getresponse().read() == b"{}"
    assert [each.kind for each in engine.said] == ["next", "result"] * 3 + ["next"]


def test_a_client_contexts_line_breaks_make_no_headers(engine: Engine) -> None:
    engine.events = [Event("id-1", b"{}", "arn", 1, "Root=1", "{\r\nX-Mine: 1\r\n}")]
    client = engine.client()
    client.request("GET", NEXT)
    found = client.getresponse()
    assert found.headers["X-Mine"] is None
    assert found.headers["Lambda-Runtime-Client-Context"] == "{  X-Mine: 1  }"


@pytest.mark.parametrize("kind", ["response", "error"])
def test_an_answer_for_another_request_is_refused(engine: Engine, kind: str) -> None:
    assert ask(engine.client(), "POST", answer(kind), b"1") == (
        400,
        {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"},
    )
    client = begun(engine)
    assert ask(client, "POST", answer(kind, "id-2"), b"1")[0] == 400
    assert [each.kind for each in engine.said] == ["next"]


def test_a_second_answer_is_refused_and_the_first_one_counts(engine: Engine) -> None:
    client = begun(engine)
    assert ask(client, "POST", answer(), b"1")[0] == 202
    status, said = ask(client, "POST", answer(), b"2")
    assert (status, said["errorType"]) == (403, "InvalidStateTransition")
    assert [each.payload for each in engine.said if each.kind == "result"] == [b"1"]


def test_asking_for_work_while_there_is_some_is_refused(engine: Engine) -> None:
    client = begun(engine)
    assert ask(client, "GET", NEXT)[0] == 403
    assert ask(client, "POST", "/2018-06-01/runtime/init/error", b"{}")[0] == 403


def test_an_error_at_the_start_is_told_with_its_type(engine: Engine) -> None:
    path = "/2018-06-01/runtime/init/error"
    assert ask(engine.client(), "POST", path, b"{}", Lambda_Runtime_Function_Error_Type="Runtime.Bad")[0] == 202
    assert engine.until("init_error") == Message("init_error", None, b"{}", "Runtime.Bad")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/2018-06-01/runtime/restore/next", 404),
        ("POST", "/2020-01-01/extension/register", 404),
        ("GET", "/runtime/invocation/next", 404),
        ("GET", "/2018-06-01/runtime/invocation/next?x", 404),
        ("GET", "/2018-06-01/runtime/invocation/a/b/response", 404),
        ("POST", NEXT, 405),
        ("GET", answer(), 405),
        ("PUT", "/2018-06-01/runtime/init/error", 405),
    ],
)
def test_other_paths_and_methods_are_refused(engine: Engine, method: str, path: str, status: int) -> None:
    assert ask(engine.client(), method, path)[0] == status
    assert engine.said == []


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_is_too_large_is_not_kept(engine: Engine, chunked: bool) -> None:
    client = begun(engine)
    body = bytes(MAX_RESPONSE_BYTES + 1)
    status, said = ask(client, "POST", answer(), iter([body]) if chunked else body)
    assert (status, said["errorType"]) == (413, "RequestEntityTooLarge")
    assert engine.until("too_large") == Message("too_large", "id-1")
    engine.events = [Event("id-2", b"{}", "arn", 1, "Root=1")]
    client.request("GET", NEXT)
    assert client.getresponse().read() == b"{}"
    assert ask(client, "POST", answer(request_id="id-2"), bytes(MAX_RESPONSE_BYTES))[0] == 202


def test_a_client_that_waits_for_100_continue_gets_it(engine: Engine) -> None:
    begun(engine)
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw:
        raw.sendall(
            f"POST {answer()} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b"42")
        assert raw.recv(100).startswith(b"HTTP/1.1 202 ")
    assert engine.until("result").payload == b"42"


def test_a_streamed_answer_may_end_with_an_error(engine: Engine) -> None:
    begun(engine)
    error = base64.b64encode(b'{"errorType": "E"}').decode()
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw:
        raw.sendall(
            f"POST {answer()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
            f"Lambda-Runtime-Function-Error-Type: E\r\nLambda-Runtime-Function-Error-Body: {error}\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 202 ")
    assert engine.until("error") == Message("error", "id-1", b'{"errorType": "E"}')


def test_requests_that_come_together_are_dealt_with_one_after_the_other(engine: Engine) -> None:
    begun(engine)
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw:
        both = (
            f"POST {answer()} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n42GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        raw.sendall(both.encode())
        engine.until("next", "result", "next")


def test_a_connection_that_is_lost_while_it_waits_loses_no_invocation(engine: Engine) -> None:
    lost = engine.client()
    lost.request("GET", NEXT)
    engine.until("next")
    lost.close()
    time.sleep(0.05)
    client = begun(engine)
    assert ask(client, "POST", answer(), b"1")[0] == 202
    engine.until("next", "result")


def test_an_invocation_that_could_not_be_sent_goes_to_the_next_connection() -> None:
    engine = Engine()
    engine.stop()
    api, request = engine.api, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    lost = socket.create_connection(("127.0.0.1", engine.port))
    lost.sendall(request)
    engine.once()
    engine.once()
    assert [each.kind for each in engine.said] == ["next"]
    lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone at once, without a word
    lost.close()
    api.deliver(EVENT)
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as again:
        again.sendall(request)
        engine.once()
        engine.once()
        assert again.recv(1 << 16).endswith(EVENT.payload)
    engine.close()


def test_who_waits_for_an_invocation_may_not_send_anything_meanwhile(engine: Engine) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw:
        raw.sendall(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        engine.until("next")
        with pytest.raises(OSError):
            for _ in range(1_000):
                raw.sendall(bytes(1 << 16))
    assert len(engine.api._clients) == 0


def test_connections_are_few(engine: Engine) -> None:
    held = [socket.create_connection(("127.0.0.1", engine.port), timeout=5) for _ in range(MAX_CLIENTS + 5)]
    time.sleep(0.1)
    assert len(engine.api._clients) == MAX_CLIENTS
    for each in held:
        each.close()


def test_heads_are_bounded(engine: Engine) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw, suppress(OSError):
        raw.sendall(f"GET {NEXT} HTTP/1.1\r\nX: ".encode())
        for _ in range(100):
            raw.sendall(b"x" * (1 << 16))
        assert raw.recv(100) in (b"",)
    assert engine.said == []
    assert not engine.api._clients


@pytest.mark.parametrize(
    "request_",
    [b"\0\0\0\0", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_http_is_answered_with_an_error_and_closed(engine: Engine, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw:
        raw.sendall(request_ + b"\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 4")
    assert engine.said == []


def test_a_program_that_could_not_be_started_is_told(engine: Engine) -> None:
    engine.environment.sendall(b"fork/exec /var/task/bootstrap: permission denied")
    found = engine.until("not_started")
    assert found.error_type == "Runtime.InvalidEntrypoint"
    assert found.payload == b"fork/exec /var/task/bootstrap: permission denied"


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
                f"POST {answer()} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n".encode(),
                f"POST {answer('error')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
                b"POST /2018-06-01/runtime/init/error HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
                b"3\r\nabc\r\n",
                b"0\r\n\r\n",
                b"abc",
            ]
        ),
    ),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_runtime_sends_an_invocation_has_one_answer_at_most(pieces: list[bytes]) -> None:
    engine = Engine()
    try:
        engine.events = [EVENT]
        with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as raw, suppress(OSError):
            for piece in pieces:
                raw.sendall(piece)
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(0.05)
            while raw.recv(1 << 16):
                pass
    finally:
        engine.close()
    assert sum(each.kind in ("result", "error", "too_large") for each in engine.said) <= 1
