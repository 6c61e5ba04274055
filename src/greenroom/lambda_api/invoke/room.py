"""Puts the data plane together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from greenroom.lambda_api.calls import Handler
from greenroom.lambda_api.invoke.attempts import Waits
from greenroom.lambda_api.invoke.events import EventQueue
from greenroom.lambda_api.invoke.execution import Execution, Executor, Functions, Runs, Wish
from greenroom.lambda_api.invoke.payload import checked
from greenroom.lambda_api.invoke.ports import Outside
from greenroom.lambda_api.invoke.requests import Requests
from greenroom.lambda_api.invoke.sources.mappings import Mappings
from greenroom.lambda_api.invoke.sources.polling import Polling
from greenroom.lambda_api.operations.account import CONCURRENCY
from greenroom.store import Store


@dataclass(frozen=True)
class Settings:
    """What may differ from one box to another."""

    concurrency: int = CONCURRENCY
    waits: Waits = field(default_factory=Waits)


class Room:
    """All of the data plane. Any thread may call it.

    Args:
        functions: what can be invoked.
        engine: what runs it.
        store: where accepted events, mappings and positions are.
        outside: the rest of AWS.
        settings: limits and waits.
    """

    def __init__(
        self, functions: Functions, engine: Runs, store: Store, outside: Outside, settings: Settings | None = None
    ) -> None:
        settings = settings or Settings()
        self.functions = functions
        self.executor = Executor(functions, engine, outside, settings.concurrency)
        self.events = EventQueue(store, functions, self.executor, settings.waits, outside)
        self.requests = Requests(functions, self.executor, self.events)
        self.mappings = Mappings(store, functions, outside)
        invoking = (functions, self.executor)
        self._polling = Polling(self.mappings, invoking, self.events.deliveries, outside, store)

    def start(self) -> None:
        """Begin to attempt accepted events and to read event sources."""
        self.events.start()
        self._polling.start()

    def close(self) -> None:
        """Stop. What is not done goes on at the next start."""
        self._polling.close()
        self.events.close()

    def invoke(self, reference: str, payload: bytes, *, trace_header: str | None = None) -> Execution:
        """Invoke a function for another service and wait. Raises LambdaError."""
        target = self.functions.resolve(reference)
        event = checked(payload, "RequestResponse")
        return self.executor.run(target, event, Wish(str(uuid4()), trace_header=trace_header))

    def invoke_later(self, reference: str, payload: bytes) -> None:
        """Take an event for a function from another service. Raises LambdaError."""
        target = self.functions.resolve(reference)
        self.events.accept(target, checked(payload, "Event"), str(uuid4()))


def operations(room: Room) -> Mapping[str, Handler]:
    """Return the operations that this part answers."""
    requests, mappings = room.requests, room.mappings
    table: dict[str, Any] = {
        "Invoke": requests.invoke,
        "InvokeAsync": requests.invoke_async,
        "InvokeWithResponseStream": requests.invoke_with_response_stream,
        "CreateEventSourceMapping": mappings.create,
        "DeleteEventSourceMapping": mappings.delete,
        "GetEventSourceMapping": mappings.describe,
        "ListEventSourceMappings": mappings.list,
        "UpdateEventSourceMapping": mappings.update,
    }
    return table
