"""Frames: how the engine and a forked Python environment talk over their socket.

A frame is two lengths, a JSON header and a payload. `runtime/environment.py` is the other end. Lengths are looked at
before anything of what they announce is read: the other end belongs to the function as well.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct

from greenroom.engine.conversation import ANSWERS, MAX_RESPONSE_BYTES, Conversation, Event, Message, Violation

LENGTHS = struct.Struct("!II")

MAX_HEADER_BYTES = 1_024
"""A header holds a kind and a request id."""

KINDS = (*ANSWERS, "next", "init_error")

PIECE_BYTES = 1 << 20


class FrameLink:
    """The engine's end of an environment's socket."""

    def __init__(self, channel: socket.socket, conversation: Conversation) -> None:
        self._channel = channel
        self._conversation = conversation
        self._unsent = memoryview(b"")
        self._received = bytearray()

    def interest(self) -> list[tuple[int, int]]:
        return [(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._unsent else 0))]

    def transfer(self, descriptor: int, found: int) -> bool:  # noqa: ARG002
        try:
            if self._unsent and found & select.POLLOUT:
                self._unsent = self._unsent[self._channel.send(self._unsent, socket.MSG_DONTWAIT) :]
            if found & ~select.POLLOUT:
                piece = self._channel.recv(PIECE_BYTES, socket.MSG_DONTWAIT)
                self._received += piece
                self._wanted()
                return bool(piece)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def take(self) -> Message | None:
        wanted = self._wanted()
        if wanted is None or len(self._received) < wanted:
            return None
        head, _ = LENGTHS.unpack_from(self._received)
        begin = LENGTHS.size + head
        message = _message(bytes(self._received[LENGTHS.size : begin]), bytes(self._received[begin:wanted]))
        del self._received[:wanted]
        self._conversation.hear(message)
        return message

    def deliver(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # nothing was sent, or nobody is there, which the next transfer finds
            self._received += self._channel.recv(1, socket.MSG_DONTWAIT)
        if self._received:
            raise Violation("it sent a frame that nobody had asked for")
        self._conversation.begin(event.request_id)
        header = {
            "request_id": event.request_id,
            "invoked_function_arn": event.invoked_function_arn,
            "deadline_ms": event.deadline_ms,
            "trace_id": event.trace_id,
            "client_context": event.client_context,
        }
        head = json.dumps(header).encode()
        self._unsent = memoryview(LENGTHS.pack(len(head), len(event.payload)) + head + event.payload)

    def close(self) -> None:
        self._channel.close()

    def _wanted(self) -> int | None:
        """Return the length of the frame that is being received, if that is known yet. Raises Violation."""
        if len(self._received) < LENGTHS.size:
            return None
        head, size = LENGTHS.unpack_from(self._received)
        if head > MAX_HEADER_BYTES or size > MAX_RESPONSE_BYTES:
            raise Violation(f"it announced a frame of {head} and {size} bytes")
        return LENGTHS.size + int(head) + int(size)


def _message(head: bytes, payload: bytes) -> Message:
    try:
        header = json.loads(head)
        kind, request_id = header["kind"], header.get("request_id")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Violation("it sent a frame whose header can't be read") from None
    if kind not in KINDS or not isinstance(request_id, str | None):
        raise Violation("it sent a frame of an unknown kind")
    return Message(kind, request_id, payload)
