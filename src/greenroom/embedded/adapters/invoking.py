"""What invoking functions needs of the rest of AWS, over ministack: queues, streams, topics, buses, objects, logs.

All of this is asked for by threads of Lambda's, outside of any request, in the one account and region of this machine.
ministack's services run on the event loop, and put new lists of messages in the place of old ones: what another thread
added meanwhile would be lost. So what may change a queue runs on the loop too, also by a topic, a bus or a bucket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from greenroom.embedded import credentials, iam
from greenroom.lambda_api.invoke.ports import Message, Outside

HIDDEN_ATTRIBUTES = frozenset({"SenderId", "SentTimestamp"})


T = TypeVar("T")


def outside(loop: asyncio.AbstractEventLoop | None = None) -> Outside:
    """Return all of it.

    Args:
        loop: the event loop that ministack runs on; None if no loop runs.
    """
    on_loop = OnLoop(loop)
    return Outside(
        roles=Roles(),
        queues=Queues(on_loop),
        streams=Streams(),
        topics=Topics(on_loop),
        buses=Buses(on_loop),
        objects=Objects(on_loop),
        logs=Logs(),
        arrivals=Arrivals(),
        credentials=Credentials(),
    )


class OnLoop:
    """Does something where ministack's services run, and waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what the call returns, or raise what it raises."""
        if self._loop is None:
            return call()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(call())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()


class Roles:
    """IAM."""

    def may(self, role: str, action: str, resource: str) -> bool:
        """Return whether a role's policies allow an action on a resource."""
        return bool(role) and iam.role_may(role, action, resource)


class Queues:
    """SQS."""

    def __init__(self, on_loop: OnLoop) -> None:
        self._on_loop = on_loop

    def exists(self, arn: str) -> bool:
        """Return whether there is such a queue."""
        return _queue(arn) is not None

    def is_fifo(self, arn: str) -> bool:
        """Return whether a queue keeps messages in order."""
        return bool((_queue(arn) or {}).get("is_fifo"))

    def visibility_timeout_s(self, arn: str) -> int:
        """Return how long a received message is hidden."""
        return int((_queue(arn) or {"attributes": {}})["attributes"].get("VisibilityTimeout", "30"))

    def has_visible(self, arn: str) -> bool:
        """Return whether there are messages that could be received now."""
        queue, now = _queue(arn), time.time()
        return queue is not None and any(message.get("visible_at", 0) <= now for message in list(queue["messages"]))

    def receive(self, arn: str, most: int) -> list[Message]:
        """Receive up to `most` messages that are visible now; none if there is no such queue."""
        from ministack.services import sqs

        def receive() -> list[Message]:
            queue = _queue(arn)
            if queue is None:
                return []
            return [_message(each) for each in sqs._receive_messages_for_esm(queue["url"], most)]

        return self._on_loop(receive)

    def delete(self, arn: str, receipts: Collection[str]) -> None:
        """Delete messages by their receipts; one that was received again since stays."""
        from ministack.services import sqs

        def delete() -> None:
            queue = _queue(arn)
            if queue is not None:
                sqs._delete_messages_for_esm(queue["url"], set(receipts))

        self._on_loop(delete)

    def send(self, arn: str, body: str, attributes: Mapping[str, tuple[str, str]]) -> None:
        """Send a message with attributes, each a type and a value. Raises LookupError if there is no such queue."""
        from ministack.services import sqs

        def send() -> None:
            queue = _queue(arn)
            if queue is None:
                raise LookupError(f"there is no queue {arn}")
            try:
                sqs._act_send_message({"MessageBody": body, "MessageAttributes": _typed(attributes)}, queue["url"])
            except sqs._Err as error:
                raise LookupError(str(error)) from error

        self._on_loop(send)


class Streams:
    """DynamoDB streams."""

    def exists(self, arn: str) -> bool:
        """Return whether there is such a stream and it is open."""
        return _table(arn) is not None

    def newest(self, arn: str) -> str:
        """Return the sequence number of the newest record; empty if there is none."""
        records = self._held(arn)
        return str(records[-1]["dynamodb"]["SequenceNumber"]) if records else ""

    def records(self, arn: str, after: str, most: int) -> list[Mapping[str, Any]]:
        """Return up to `most` records, as events have them, after a sequence number (empty: from the oldest on)."""
        found = self._held(arn)
        begin = len(found)
        # By the place of the record, not by its number: numbers begin with the time, and a clock may be put back. If
        # the record is gone, so are all before it.
        while begin and found[begin - 1]["dynamodb"]["SequenceNumber"] != after:
            begin -= 1
        return [_stream_record(each) for each in found[begin : begin + most]]

    def _held(self, arn: str) -> list[dict[str, Any]]:
        from ministack.services import dynamodb

        table = _table(arn)
        return list(dynamodb.stream_live_records(table)) if table is not None else []


class Topics:
    """SNS."""

    def __init__(self, on_loop: OnLoop) -> None:
        self._on_loop = on_loop

    def publish(self, arn: str, message: str, attributes: Mapping[str, tuple[str, str]]) -> None:
        """Publish a message. Raises LookupError if there is no such topic."""
        from ministack.services import sns

        try:
            found = self._on_loop(lambda: sns.publish_internal(arn, message, message_attributes=_typed(attributes)))
        except sns.SnsPublishError as error:
            raise LookupError(str(error)) from error
        if found is None:
            raise LookupError(f"there is no topic {arn}")


class Buses:
    """EventBridge."""

    def __init__(self, on_loop: OnLoop) -> None:
        self._on_loop = on_loop

    def put(self, arn: str, detail_type: str, resources: Sequence[str], detail: str) -> None:
        """Put an event of the source `lambda` on a bus. Raises LookupError if there is no such bus."""
        from ministack.services import eventbridge

        if arn.rpartition("/")[2] not in eventbridge._event_buses:
            raise LookupError(f"there is no event bus {arn}")
        entry = {
            "EventBusName": arn,
            "Source": "lambda",
            "DetailType": detail_type,
            "Resources": list(resources),
            "Detail": detail,
        }
        self._on_loop(lambda: eventbridge._put_events({"Entries": [entry]}))


class Objects:
    """S3."""

    def __init__(self, on_loop: OnLoop) -> None:
        self._on_loop = on_loop

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object. Raises LookupError if there is no such bucket."""
        from ministack.services import s3

        headers = {"content-type": "application/json"}
        status = self._on_loop(lambda: s3._put_object(bucket, key, content, headers)[0])
        if status != 200:
            raise LookupError(f"the object can't be put into the bucket {bucket}: {status}")


class Logs:
    """CloudWatch Logs."""

    def write(self, role: str, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Write events, each a time in milliseconds and a message, as far as the role allows it."""
        from ministack.core.responses import get_account_id, get_region
        from ministack.services import cloudwatch_logs

        group_arn = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}"
        stream_arn = f"{group_arn}:log-stream:{stream}"
        held = cloudwatch_logs._log_groups.get(group)
        if held is None:
            if not iam.role_may(role, "logs:CreateLogGroup", group_arn):
                return
            held = cloudwatch_logs._log_groups[group] = _new_group(cloudwatch_logs._make_group_arn(group))
        if stream not in held["streams"]:
            if not iam.role_may(role, "logs:CreateLogStream", stream_arn):
                return
            held["streams"][stream] = _new_stream()
        if not iam.role_may(role, "logs:PutLogEvents", stream_arn):
            return
        now_ms = int(time.time() * 1_000)
        cloudwatch_logs._append_log_events(
            held["streams"][stream],
            [{"timestamp": at_ms, "message": message, "ingestionTime": now_ms} for at_ms, message in events],
        )
        cloudwatch_logs._fanout_to_subscription_filters(
            group, stream, [{"timestamp": at_ms, "message": message} for at_ms, message in events]
        )


class Arrivals:
    """Tells that there may be new messages or records: ministack's services do so where they add some."""

    def wait(self, timeout_s: float) -> None:
        """Return when something may have arrived, or when the time is over."""
        from ministack.core.concurrency import esm_wake

        esm_wake.wait(timeout_s)
        esm_wake.clear()

    def wake(self) -> None:
        """End a wait that is under way."""
        from ministack.core.concurrency import esm_wake

        esm_wake.set()


class Credentials:
    """Sessions of functions' roles."""

    def issue(self, role: str, function_name: str) -> Mapping[str, str]:
        """Return environment variables with fresh credentials of a role."""
        return credentials.issue(role, function_name)


def _queue(arn: str) -> dict[str, Any] | None:
    from ministack.services import sqs

    found: dict[str, Any] | None = sqs._queue_by_arn(arn)
    return found


def _table(arn: str) -> str | None:
    """Return the name of the table whose open stream has an ARN."""
    from ministack.services import dynamodb

    name = arn.split("/")[1] if arn.count("/") >= 3 else ""
    table = dynamodb._tables.get(name)
    return name if table is not None and table.get("LatestStreamArn") == arn else None


def _message(found: Mapping[str, Any]) -> Message:
    attributes = {
        "ApproximateReceiveCount": str(found["receive_count"]),
        "SentTimestamp": str(int(found["sent_at"] * 1_000)),
        "SenderId": str(found["sys"].get("SenderId", "")),
        "ApproximateFirstReceiveTimestamp": str(int(found["first_receive_at"] * 1_000)),
        **{name: str(value) for name, value in found["sys"].items() if name not in HIDDEN_ATTRIBUTES},
    }
    ordered = {"MessageGroupId": "group_id", "MessageDeduplicationId": "dedup_id", "SequenceNumber": "seq"}
    attributes |= {name: str(found[held]) for name, held in ordered.items() if found.get(held) is not None}
    return Message(
        id=found["id"],
        receipt=found["receipt_handle"],
        body=found["body"],
        md5_of_body=found["md5_body"],
        attributes=attributes,
        message_attributes=found.get("message_attributes") or {},
        md5_of_message_attributes=found.get("md5_attrs") or None,
    )


def _stream_record(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as an event has it: ministack leaves the size out, and gives the time in whole seconds."""
    change = dict(found["dynamodb"])
    images = [change.get(name) or {} for name in ("Keys", "NewImage", "OldImage")]
    change["ApproximateCreationDateTime"] = float(change["ApproximateCreationDateTime"])
    change["SizeBytes"] = sum(_size_bytes({"M": image}) - 3 for image in images)
    return {**found, "dynamodb": change}


def _size_bytes(value: Mapping[str, Any]) -> int:
    """Return the size of an attribute's value.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    (kind, held), *_ = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return (len(held.lstrip("-").replace(".", "").strip("0")) + 1) // 2 + 1
    if kind == "B":
        return len(held.rstrip("=")) * 3 // 4 if isinstance(held, str) else len(held)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS", "BS"):
        return sum(_size_bytes({kind[0]: each}) for each in held)
    if kind == "L":
        return 3 + sum(1 + _size_bytes(each) for each in held)
    return 3 + sum(len(name.encode()) + _size_bytes(each) for name, each in held.items())


def _typed(attributes: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in attributes.items()}


def _new_group(arn: str) -> dict[str, Any]:
    return {
        "arn": arn,
        "creationTime": int(time.time() * 1_000),
        "retentionInDays": None,
        "tags": {},
        "subscriptionFilters": {},
        "streams": {},
    }


def _new_stream() -> dict[str, Any]:
    return {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": int(time.time() * 1_000),
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
