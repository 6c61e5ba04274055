"""Carries bytes between the networks of execution environments and the endpoint that they are for, and nowhere else.

A process of its own, in the network of the machine: it holds a listening socket in each environment's network, accepts
there, and connects to one address. It looks at nothing that it carries. One slow reader holds up nobody else: what has
not been taken yet is not read on the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
from typing import Any

import confine
import jail
import kernel

PIECE = 1 << 18
"""How much is read at once."""
CONNECTIONS = 128
"""How many connections an environment may have; more wait until one ends."""
MAX_MESSAGE = 256
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: whoever connected to an endpoint that is not there learns at once that nobody listens."""


class End:
    """One end of a connection, and what is still to be sent to it."""

    def __init__(self, owner: Listening, own: socket.socket) -> None:
        self.owner = owner
        self.socket = own
        self.other: End
        self.unsent = b""
        self.has_ended = False  # nothing more comes from it
        self.is_told = False  # it knows that nothing more comes from the other end
        self.events = 0


class Listening:
    """An environment's listening socket, and its connections."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.ends: set[End] = set()


class Forwarder:
    """Serves all environments of one prepared process. Used by one thread."""

    def __init__(self, channel: socket.socket, port: int) -> None:
        self._channel = channel
        self._address = ("127.0.0.1", port)
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, None)
        self._listening: dict[int, Listening] = {}
        self._paused: set[Listening] = set()

    def serve(self) -> None:
        """Carry bytes until the prepared process is gone."""
        while True:
            for key, events in self._selector.select():
                if key.data is None:
                    if not self._obey():
                        return
                elif isinstance(key.data, Listening):
                    self._accept(key.data)
                elif key.data.events:  # it may have been closed by an event before this one
                    self._carry(key.data, events)

    def _obey(self) -> bool:
        """Begin or end an environment; return whether there is still somebody who asks for it."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE, 1)
        except OSError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if "add" in message and descriptors:
            listener = socket.socket(fileno=descriptors[0])
            listener.setblocking(False)
            self._listening[message["add"]] = listening = Listening(listener)
            self._selector.register(listener, selectors.EVENT_READ, listening)
        elif "end" in message and (ended := self._listening.pop(message["end"], None)):
            self._pause(ended)
            self._paused.discard(ended)
            ended.listener.close()
            for end in list(ended.ends):
                if end.socket.fileno() >= 0:
                    self._close(end)
        return True

    def _pause(self, listening: Listening) -> None:
        """Let connections wait until one ends."""
        if listening not in self._paused:
            self._selector.unregister(listening.listener)
            self._paused.add(listening)

    def _go_on(self) -> None:
        """Take the connections that wait, where there may be more now."""
        for listening in [each for each in self._paused if len(each.ends) < 2 * CONNECTIONS]:
            self._selector.register(listening.listener, selectors.EVENT_READ, listening)
            self._paused.discard(listening)

    def _accept(self, listening: Listening) -> None:
        inner = None
        try:
            inner, _ = listening.listener.accept()
            outer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except BlockingIOError:
            return
        except OSError:  # there are no descriptors left
            if inner:
                inner.close()
            self._pause(listening)
            return
        ends = End(listening, inner), End(listening, outer)
        for end, other in (ends, ends[::-1]):
            end.other = other
            end.socket.setblocking(False)
            end.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.ends.add(end)
        with contextlib.suppress(BlockingIOError, OSError):  # the first write or read says what became of it
            outer.connect(self._address)
        for end in ends:
            self._watch(end)
        if len(listening.ends) >= 2 * CONNECTIONS:
            self._pause(listening)

    def _watch(self, end: End) -> None:
        """Wait for what can go on: reading if the other side has taken all, writing if there is something to write."""
        events = selectors.EVENT_READ if not end.has_ended and not end.other.unsent else 0
        events |= selectors.EVENT_WRITE if end.unsent else 0
        if events != end.events:
            if not end.events:
                self._selector.register(end.socket, events, end)
            elif events:
                self._selector.modify(end.socket, events, end)
            else:
                self._selector.unregister(end.socket)
            end.events = events

    def _carry(self, end: End, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE and end.unsent:
                self._send(end, end.unsent)
            if events & selectors.EVENT_READ and not end.has_ended and not end.other.unsent:
                piece = end.socket.recv(PIECE)
                end.has_ended = not piece
                self._send(end.other, piece)
        except BlockingIOError:
            pass
        except OSError:
            self._close(end, reset=True)
            return
        if end.is_told and end.other.is_told:
            self._close(end)
            return
        self._watch(end)
        self._watch(end.other)

    def _send(self, end: End, data: bytes) -> None:
        """Send what can be sent; then, if the other end has ended, say so."""
        if data:
            try:
                sent = end.socket.send(data)
            except BlockingIOError:
                sent = 0
            end.unsent = data[sent:]
        if end.other.has_ended and not end.unsent and not end.is_told:
            end.is_told = True
            end.socket.shutdown(socket.SHUT_WR)

    def _close(self, end: End, *, reset: bool = False) -> None:
        listening = end.owner
        for each in (end, end.other):
            if each.events:
                self._selector.unregister(each.socket)
                each.events = 0
            if reset:
                each.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            each.socket.close()
            listening.ends.discard(each)
        self._go_on()


class Forwarding:
    """The prepared process's end of the forwarder."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Start it, in the network that this process is in now."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                kernel.close_all_but(theirs.fileno())
                serve_alone(theirs, config)
            finally:
                os._exit(1)
        theirs.close()

    def add(self, number: int, listener: int) -> None:
        """Serve an environment's listening socket."""
        socket.send_fds(self._channel, [json.dumps({"add": number}).encode()], [listener])

    def end(self, number: int) -> None:
        """End an environment's connections."""
        self._channel.send(json.dumps({"end": number}).encode())


def serve_alone(channel: socket.socket, config: dict[str, Any]) -> None:
    """Be the forwarder, with no right but to carry bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not jail.is_ordinary_user():
        confine.become(jail.FIRST_USER)
    kernel.die_with_parent(signal.SIGKILL)
    Forwarder(channel, config["endpoint_port"]).serve()
