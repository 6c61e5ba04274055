"""What invoking functions needs of the rest of AWS. `embedded` implements it over the emulator."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Roles(Protocol):
    """IAM, where Lambda acts in a function's role."""

    def may(self, role: str, action: str, resource: str) -> bool:
        """Return whether a role's policies allow an action on a resource."""
        ...


@dataclass(frozen=True)
class Message:
    """A message that was received from a queue.

    `attributes` are SQS's own (SentTimestamp, …), `message_attributes` the sender's, by SQS's names (StringValue, …).
    """

    id: str
    receipt: str
    body: str
    md5_of_body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    md5_of_message_attributes: str | None = None


class Queues(Protocol):
    """SQS."""

    def exists(self, arn: str) -> bool:
        """Return whether there is such a queue."""
        ...

    def is_fifo(self, arn: str) -> bool:
        """Return whether a queue keeps messages in order."""
        ...

    def visibility_timeout_s(self, arn: str) -> int:
        """Return how long a received message is hidden."""
        ...

    def has_visible(self, arn: str) -> bool:
        """Return whether there are messages that could be received now."""
        ...

    def receive(self, arn: str, most: int) -> Sequence[Message]:
        """Receive up to `most` messages that are visible now; none if there is no such queue."""
        ...

    def delete(self, arn: str, receipts: Collection[str]) -> None:
        """Delete messages by their receipts; one that was received again since stays."""
        ...

    def send(self, arn: str, body: str, attributes: Mapping[str, tuple[str, str]]) -> None:
        """Send a message with attributes, each a type and a value. Raises LookupError if there is no such queue."""
        ...


class Streams(Protocol):
    """DynamoDB streams: one shard each, whose records have growing sequence numbers."""

    def exists(self, arn: str) -> bool:
        """Return whether there is such a stream and it is open."""
        ...

    def newest(self, arn: str) -> str:
        """Return the sequence number of the newest record; empty if there is none."""
        ...

    def records(self, arn: str, after: str, most: int) -> Sequence[Mapping[str, Any]]:
        """Return up to `most` records, as events have them, after a sequence number (empty: from the oldest on)."""
        ...


class Topics(Protocol):
    """SNS."""

    def publish(self, arn: str, message: str, attributes: Mapping[str, tuple[str, str]]) -> None:
        """Publish a message. Raises LookupError if there is no such topic."""
        ...


class Buses(Protocol):
    """EventBridge."""

    def put(self, arn: str, detail_type: str, resources: Sequence[str], detail: str) -> None:
        """Put an event of the source `lambda` on a bus. Raises LookupError if there is no such bus."""
        ...


class Objects(Protocol):
    """S3."""

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object. Raises LookupError if there is no such bucket."""
        ...


class Logs(Protocol):
    """CloudWatch Logs."""

    def write(self, role: str, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Write events, each a time in milliseconds and a message, as far as the role allows it."""
        ...


class Arrivals(Protocol):
    """Tells that there may be new messages or records."""

    def wait(self, timeout_s: float) -> None:
        """Return when something may have arrived, or when the time is over."""
        ...

    def wake(self) -> None:
        """End a wait that is under way."""
        ...


class Credentials(Protocol):
    """Sessions of functions' roles."""

    def issue(self, role: str, function_name: str) -> Mapping[str, str]:
        """Return environment variables with fresh credentials of a role."""
        ...


@dataclass(frozen=True)
class Outside:
    """All of them."""

    roles: Roles
    queues: Queues
    streams: Streams
    topics: Topics
    buses: Buses
    objects: Objects
    logs: Logs
    arrivals: Arrivals
    credentials: Credentials
