"""Reads bodies within bounds: of size, of time, and of what all requests together may hold in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from greenroom.embedded.front.request import Message, Receive, Refused, Request

MIB = 1024 * 1024
OVERHEAD_BYTES = 64 * 1024
"""Room for what is around a document of the greatest size: a form's fields, JSON."""

LIMITS = {"s3": 65 * MIB, "lambda": 70_167_211, "dynamodb": 16 * MIB + OVERHEAD_BYTES}
"""The largest body for a service. A package or a document has up to 64 MiB; a function's code 50 MB, in Base64; a batch
16 MB. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html and
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

API_LIMIT = 10 * MIB
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"""

OTHER_LIMIT = 6 * MIB + OVERHEAD_BYTES
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MOST_HELD = 512 * MIB
MOST_HELD_UNSIGNED = 256 * MIB
"""What the bodies of all requests may take together; of those without a proven key, less."""

PAUSE_S = 20.0
"""How long the sender of a body may pause."""


class Disconnected(Exception):
    """The other side has gone."""


class Budget:
    """How many bytes are held, of how many."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Give a request its share, which is free again when the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.taken

    def take(self, size: int) -> None:
        """Raises Refused if there is no room for so much."""
        if self._held + size > self._most:
            raise Refused(503, "SlowDown", "too many large requests at once: try again")
        self._held += size


class Share:
    """What one request has taken of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self.taken = budget, 0

    def take(self, size: int) -> None:
        """Raises Refused if there is no room for so much."""
        self._budget.take(size)
        self.taken += size


class Whole:
    """A request's messages, of which the rest is dropped when the answer has left before they were all read.

    hypercorn waits for somebody to take them before it closes the connection.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._ended = receive, False

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self._receive()
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    def drop_rest(self) -> None:
        """Take what is still to come, and drop it."""
        if not self._ended:
            task = asyncio.create_task(self._drop())
            _dropping.add(task)
            task.add_done_callback(_dropping.discard)

    async def _drop(self) -> None:
        while not self._ended:
            await self()


_dropping: set[asyncio.Task[None]] = set()
"""asyncio itself keeps no task alive."""


async def read(request: Request, receive: Receive, limit: int, share: Share) -> bytes:
    """Return a request's body.

    Raises:
        Refused: it is too large, its sender pauses too long, or its length is another one than it says.
        Disconnected: its sender has gone.
    """
    said = request.header("content-length")
    if said and (not said.isdigit() or len(said) > 18 or int(said) > limit):
        raise _too_large(limit)
    pieces, size, more = [], 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), PAUSE_S)
        except TimeoutError:
            raise Refused(408, "RequestTimeout", "the body did not come in time") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        share.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> Refused:
    return Refused(413, "RequestEntityTooLarge", f"the body has more than {limit} bytes")
