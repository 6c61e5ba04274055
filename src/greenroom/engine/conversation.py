"""What a runtime may say to the engine, and when: nothing counts but the answer to the invocation in flight, once.

    starting ── next ──► ready ── an invocation ──► busy ── its result or error ──► answered ── next ──► ready
        └── init_error, not_started ──► over

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html has these steps. How a runtime says them, in frames or
over HTTP, is `frames` and `runtime_api`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Answer = Literal["result", "error", "too_large"]
"""`too_large` stands for an answer that is larger than Lambda allows; its bytes are not kept."""

Kind = Literal[Answer, "next", "init_error", "not_started"]
"""`init_error` is told by a runtime that can't load the function, `not_started` where no runtime could be started."""

ANSWERS = get_args(Answer)

MAX_RESPONSE_BYTES = 6_291_556
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB, as the service's own message says."""

ERROR_TYPE = re.compile(r"[\w.]{1,128}", re.ASCII)

UNKNOWN_ERROR = "Runtime.Unknown"
"""What Lambda calls an error whose type it can't read."""


@dataclass(frozen=True)
class Event:
    """One invocation as the runtime gets it."""

    request_id: str
    payload: bytes
    invoked_function_arn: str
    deadline_ms: int
    trace_id: str
    client_context: str | None = None


@dataclass(frozen=True)
class Message:
    """One thing that a runtime says. `error_type` is the type that it names besides the payload."""

    kind: Kind
    request_id: str | None = None
    payload: bytes = b""
    error_type: str | None = None


class Violation(Exception):
    """A runtime says what it may not: malformed, too large, or out of turn. Its environment can't be used again."""


class Conversation:
    """Where the conversation with one environment's runtime stands."""

    def __init__(self) -> None:
        self.state: Literal["starting", "ready", "busy", "answered", "over"] = "starting"
        self.request_id: str | None = None

    def begin(self, request_id: str) -> None:
        """Note that the runtime has been given an invocation. Only a runtime that has asked for one gets one."""
        if self.state != "ready":
            raise Violation(f"it is {self.state} and gets no invocation")
        self.state, self.request_id = "busy", request_id

    def hear(self, message: Message) -> None:
        """Take a message in its turn. Raises Violation for any other, and then nothing has changed."""
        self.check(message.kind, message.request_id)
        self.state = "ready" if message.kind == "next" else "answered" if message.kind in ANSWERS else "over"

    def check(self, kind: Kind, request_id: str | None) -> None:
        """Raise Violation unless a message is in its turn, and for the request in flight."""
        turn = {"next": ("starting", "answered"), "init_error": ("starting",), "not_started": ("starting",)}
        if self.state not in turn.get(kind, ("busy",)):
            raise Violation(f"it sent {kind} out of turn, when it was {self.state}")
        if kind in ANSWERS and request_id != self.request_id:
            raise Violation(f"it sent {kind} for another request than the one in flight")


class Link(Protocol):
    """The way to one environment's runtime, and back."""

    def interest(self) -> list[tuple[int, int]]:
        """Return the descriptors to wait for, each with what `poll` is to look for."""

    def transfer(self, descriptor: int, found: int) -> bool:
        """Send and receive what a descriptor is ready for; return whether the other side is still there.

        Raises Violation if what comes can't be a message, before all of it is read.
        """

    def take(self) -> Message | None:
        """Return the next message, if a whole one has come and the conversation has taken it. Raises Violation."""

    def deliver(self, event: Event) -> None:
        """Begin to send an invocation. Raises Violation if the runtime has said something since it asked for one."""

    def close(self) -> None:
        """Let go of the runtime."""


def readable_error_type(name: object) -> str:
    """Return the type of an error as REPORT may show it: a runtime chooses it freely, and may choose anything."""
    return name if isinstance(name, str) and ERROR_TYPE.fullmatch(name) else UNKNOWN_ERROR
