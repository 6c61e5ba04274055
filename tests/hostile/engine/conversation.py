"""What a runtime sends in frames, or over HTTP, with random lies in it: it has one answer at most, and nothing is kept.

The engine's ends are real, on real sockets; the environment is this test.
"""

from __future__ import annotations

import json
import random
import select
import socket
from contextlib import suppress

from greenroom.engine.conversation import MAX_RESPONSE_BYTES, Conversation, Event, Link, Message, Violation
from greenroom.engine.frames import LENGTHS, MAX_HEADER_BYTES, PIECE_BYTES, FrameLink
from greenroom.engine.runtime_api import MAX_CLIENTS, RuntimeApi

EVENT = Event("id-1", b"{}", "arn", 1, "Root=1")
KINDS = ("next", "result", "error", "too_large", "init_error", "not_started", "timeout", "exit", "", None, 1, ["next"])
EXPECTED = 0.7
"""How often a runtime sends what is its turn: otherwise most cases would end before they begin."""

MOST_KEPT_BYTES = LENGTHS.size + MAX_HEADER_BYTES + MAX_RESPONSE_BYTES + PIECE_BYTES


def frames(rng: random.Random) -> str:
    """Send frames that are right, almost right, or nothing of the kind."""
    ours, theirs = socket.socketpair()
    conversation = Conversation()
    link = FrameLink(ours, conversation)
    heard: list[Message] = []
    try:
        for _ in range(rng.randint(1, 8)):
            theirs.sendall(_expected_frame(conversation) if rng.random() < EXPECTED else _frame(rng))
            _hear(link, ours.fileno(), heard)
            assert len(link._received) <= MOST_KEPT_BYTES
            if conversation.state == "ready" and rng.random() < 0.7:
                link.deliver(EVENT)
                _hear(link, ours.fileno(), heard)
    except Violation:
        return "refused"
    finally:
        theirs.close()
        link.close()
        _judge(heard)
    return "answered" if any(each.kind in ("result", "error", "too_large") for each in heard) else "waiting"


def runtime_api(rng: random.Random) -> str:
    """Send requests that are right, almost right, or nothing of the kind, on some connections."""
    control, environment = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    socket.send_fds(environment, [b"!"], [listener.fileno()])
    conversation = Conversation()
    api = RuntimeApi(control, conversation)
    heard: list[Message] = []
    clients: list[socket.socket] = []
    try:
        for _ in range(rng.randint(1, 12)):
            if not clients or rng.random() < 0.2:
                clients.append(socket.create_connection(listener.getsockname(), timeout=2))
            with suppress(OSError):
                rng.choice(clients).sendall(
                    _expected_request(conversation) if rng.random() < EXPECTED else _request(rng)
                )
            _poll(api, heard)
            assert len(api._clients) <= MAX_CLIENTS
            assert all(len(each.body) <= MAX_RESPONSE_BYTES for each in api._clients.values())
            if conversation.state == "ready":
                api.deliver(EVENT)
        _poll(api, heard)
    finally:
        for each in (*clients, environment, listener):
            each.close()
        api.close()
    _judge(heard)
    return "answered" if any(each.kind in ("result", "error", "too_large") for each in heard) else "waiting"


def _hear(link: FrameLink, descriptor: int, heard: list[Message]) -> None:
    while select.select([descriptor], [], [], 0)[0] and link.transfer(descriptor, select.POLLIN):
        while (message := link.take()) is not None:
            heard.append(message)


def _poll(api: Link, heard: list[Message]) -> None:
    for _ in range(20):
        poll = select.poll()
        for descriptor, wanted in api.interest():
            poll.register(descriptor, wanted)
        ready = poll.poll(0)
        for descriptor, found in ready:
            assert api.transfer(descriptor, found)
        while (message := api.take()) is not None:
            heard.append(message)
        if not ready:
            return


def _judge(heard: list[Message]) -> None:
    """An answer is for the invocation, and between two answers the runtime has asked for more."""
    kinds = [each.kind for each in heard]
    for number, each in enumerate(heard):
        if each.kind in ("result", "error", "too_large"):
            assert each.request_id == EVENT.request_id
            assert "next" in kinds[:number]
            assert number == 0 or kinds[number - 1] == "next", kinds


def _expected_frame(conversation: Conversation) -> bytes:
    kind = "result" if conversation.state == "busy" else "next"
    head = json.dumps({"kind": kind, "request_id": conversation.request_id}).encode()
    return LENGTHS.pack(len(head), 1) + head + b"1"


def _expected_request(conversation: Conversation) -> bytes:
    base = "/2018-06-01/runtime/invocation"
    if conversation.state == "busy":
        return (
            f"POST {base}/{conversation.request_id}/response HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1".encode()
        )
    return f"GET {base}/next HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _frame(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.randbytes(rng.randint(1, 40))
    header: object = {"kind": rng.choice(KINDS), "request_id": rng.choice(["id-1", "id-2", None, 3])}
    head = json.dumps(rng.choice([header, header, header, [], None, "x"])).encode()
    payload = rng.randbytes(rng.choice([0, 0, 5, 2_000]))
    sizes = [len(head), len(payload)]
    if rng.random() < 0.15:
        sizes[rng.randrange(2)] = rng.choice([0, 1, MAX_HEADER_BYTES + 1, MAX_RESPONSE_BYTES + 1, (1 << 32) - 1])
    whole = LENGTHS.pack(*sizes) + head + payload
    return whole[: rng.randint(1, len(whole))] if rng.random() < 0.1 else whole


def _request(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.randbytes(rng.randint(1, 60))
    request_id, kind = rng.choice(["id-1", "id-1", "id-2", ""]), rng.choice(["response", "error", "other"])
    path = rng.choice(["invocation/next", f"invocation/{request_id}/{kind}", "init/error", "restore/next", "../x"])
    body = rng.randbytes(rng.choice([0, 3, 3_000]))
    headers = [f"Content-Length: {len(body) if rng.random() < 0.9 else rng.choice(['-1', 'x', 1 << 40, 1])}"]
    if rng.random() < 0.2:
        headers = ["Transfer-Encoding: chunked"]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    headers += rng.sample(["Expect: 100-continue", "Connection: close", "Content-Length: 5", "X: " + "y" * 200], 1)
    method, version = rng.choice(["GET", "POST", "POST", "PUT"]), rng.choice(["1.1", "1.1", "1.0", "2"])
    head = "\r\n".join([f"{method} /2018-06-01/runtime/{path} HTTP/{version}", "Host: x", *headers])
    return head.encode() + b"\r\n\r\n" + body
