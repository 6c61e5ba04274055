"""Serves HTTP on a socket with hypercorn, within bounds that hypercorn does not have.

A connection that says nothing, or does not end what it has begun to say, is closed; there are only so many at once; and
HTTP/1.1 is all that is spoken.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated

IDLE_S = 75.0
"""How long a connection may wait between requests: longer than clients keep theirs (botocore: 60 s)."""

HEAD_S = 15.0
"""How long the head of a request may take from its first byte, and a new connection until its first request."""

PIECE_BYTES = 65_536
MOST_CONNECTIONS = 2_048
DESCRIPTORS_OF_OTHERS = 0.5
"""The share of the process's descriptors that connections leave to everything else."""

GRACEFUL_S = 1.0

Application = Callable[..., Awaitable[None]]


class Connection(TCPServer):
    """A connection whose waits are bounded."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._in_head = self.idle = True

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol has for the other side; note whether a request is under way."""
        if not isinstance(event, Updated):
            await super().protocol_send(event)
            return
        self.idle, self._in_head = event.idle, False
        self._wait(IDLE_S if event.idle else None)

    async def _read_data(self) -> None:
        spoken: Any = self.protocol.protocol
        spoken._check_protocol = _stay_with_http_1
        with contextlib.suppress(OSError):
            while data := await self.reader.read(PIECE_BYTES):
                if self.idle and not self._in_head:
                    self._in_head = True
                    self._wait(HEAD_S)
                await self.protocol.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())

    async def _idle_timeout(self) -> None:
        """Begin to wait for the first request."""
        self._wait(HEAD_S)

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.end) if seconds is not None else None

    def end(self) -> None:
        """Close the connection."""
        if self._ending is None:
            self._ending = self.loop.create_task(self._initiate_server_close())

    async def _close(self) -> None:
        self._wait(None)
        await super()._close()


async def _stay_with_http_1(_request: Any) -> None:
    """Answer a request that offers another protocol by HTTP/1.1, as a server may.

    https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    """


def most_connections() -> int:
    """Return how many connections may be open at once: as many as leave descriptors for everything else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_CONNECTIONS, int(descriptors * (1 - DESCRIPTORS_OF_OTHERS)))


async def serve(app: Application, listener: socket.socket, stopping: asyncio.Event) -> None:
    """Serve an ASGI application on a bound socket until it is time to stop."""
    config = Config()
    config.accesslog = config.errorlog = None
    config.shutdown_timeout = 20.0
    loop = asyncio.get_running_loop()
    state: dict[str, Any] = {}
    wrapped = ASGIWrapper(app)
    lifespan = Lifespan(wrapped, config, loop, state)
    lifespan_task = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    context = WorkerContext(None)
    most, open_now = most_connections(), dict[asyncio.Task[None], Connection]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(open_now) >= most or task is None:
            writer.transport.abort()
            return
        open_now[task] = Connection(wrapped, loop, config, context, state, reader, writer)
        task.add_done_callback(open_now.pop)
        await open_now[task]

    server = await asyncio.start_server(connected, sock=listener, backlog=256)
    try:
        await stopping.wait()
    finally:
        await context.terminated.set()
        server.close()
        for connection in open_now.values():
            if connection.idle:
                connection.end()
        if open_now:
            await asyncio.wait(open_now, timeout=GRACEFUL_S)
        await lifespan.wait_for_shutdown()
        ending = [*open_now, lifespan_task]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
