"""Event source mappings: their records, and the operations on them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError, invalid, not_found
from greenroom.lambda_api.invoke.execution import Functions, Target
from greenroom.lambda_api.invoke.ports import Outside
from greenroom.lambda_api.invoke.sources import settings as checking
from greenroom.lambda_api.invoke.sources.settings import SQS, STREAM
from greenroom.store import Store

TABLE = "lambda.mappings"
POSITIONS = "lambda.positions"

STATE_CHANGE_S = 0.05
"""How long a mapping is being created, enabled, disabled or updated. On AWS it takes some seconds."""

NEXT = {"Creating": "Enabled", "Enabling": "Enabled", "Updating": "Enabled", "Disabling": "Disabled"}

REASON = {SQS: "USER_INITIATED", STREAM: "User action"}

NO_RECORDS = "No records processed"

ROLE_ACTIONS = {
    SQS: ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    STREAM: ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
}
"""What a function's role needs to read each source.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions and
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-permissions.html"""

ON_ANY_RESOURCE = frozenset({"dynamodb:ListStreams"})
"""Actions that take no resource: IAM evaluates them on `*`.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html"""

SERVICE = {SQS: "SQS", STREAM: "DYNAMODB"}

INTERNAL = ("Name", "ChangedAt", "Tags")
"""Members of a record that no answer has."""

MAX_ITEMS = 100


class Mappings:
    """All mappings.

    Args:
        store: where they are.
        functions: what they invoke.
        outside: what they read.
    """

    def __init__(self, store: Store, functions: Functions, outside: Outside) -> None:
        self._store = store
        self._table = store.table(TABLE)
        self._positions = store.table(POSITIONS)
        self._functions = functions
        self._outside = outside
        self._held: dict[str, dict[str, Any]] = dict(self._table.items())

    def all(self) -> list[Mapping[str, Any]]:
        """Return all mappings, enabled or not."""
        return list(self._held.values())

    def get(self, uuid_: str) -> Mapping[str, Any] | None:
        """Return a mapping as it is now."""
        return self._held.get(uuid_)

    def note_result(self, uuid_: str, result: str) -> None:
        """Keep what became of the last batch. It is told while the process lives, and is no state of the mapping."""
        if (held := self._held.get(uuid_)) is not None and "LastProcessingResult" in held:
            self._held[uuid_] = held | {"LastProcessingResult": result}

    def refused_action(self, role: str, arn: str) -> str | None:
        """Return the first action that reading a source needs and a role does not have; None if it has all."""
        for action in ROLE_ACTIONS[checking.source_of(arn)]:
            if not self._outside.roles.may(role, action, "*" if action in ON_ANY_RESOURCE else arn):
                return action
        return None

    def create(self, call: Call) -> Answer:
        """Answer CreateEventSourceMapping."""
        asked = call.parameters
        target = self._target(asked["FunctionName"])
        checking.check_served(asked)
        arn = asked.get("EventSourceArn")
        if not arn:
            raise invalid("Unrecognized event source.")
        source = checking.source_of(arn)
        begin = checking.starting_position(asked, source, arn)
        fifo = source == SQS and self._outside.queues.is_fifo(arn)
        found = checking.settings(asked, source, fifo=fifo)
        self._check_unique(source, arn, target)
        self._check_readable(source, arn, target)
        enabled = asked.get("Enabled", True) is not False
        record = {
            **found,
            **begin,
            "UUID": str(uuid.uuid4()),
            "EventSourceArn": arn,
            "FunctionArn": target.invoked_arn,
            "Name": target.name,
            "State": "Creating" if enabled else "Disabled",
            "StateTransitionReason": REASON[source],
            "ChangedAt": time.time(),
            "LastModified": time.time(),
            "Tags": dict(asked.get("Tags") or {}),
        }
        if source == STREAM:
            record["LastProcessingResult"] = NO_RECORDS
        with self._store.transaction():
            self._write(record)
            if begin.get("StartingPosition") == "LATEST":
                self._positions.put(record["UUID"], {"after": self._outside.streams.newest(arn)})
        self._outside.arrivals.wake()
        return Answer(self.shown(record), status=202)

    def describe(self, call: Call) -> Answer:
        """Answer GetEventSourceMapping."""
        return Answer(self.shown(self._existing(call)))

    def list(self, call: Call) -> Answer:
        """Answer ListEventSourceMappings."""
        asked = call.parameters
        found = sorted(self._held.values(), key=lambda each: each["UUID"])
        if asked.get("FunctionName"):
            target = self._functions.resolve(asked["FunctionName"])
            found = [each for each in found if each["FunctionArn"] == target.invoked_arn]
        if asked.get("EventSourceArn"):
            found = [each for each in found if each["EventSourceArn"] == asked["EventSourceArn"]]
        if asked.get("Marker"):
            found = [each for each in found if each["UUID"] > asked["Marker"]]
        most = min(int(asked.get("MaxItems") or MAX_ITEMS), MAX_ITEMS)
        result: dict[str, Any] = {"EventSourceMappings": [self.shown(each) for each in found[:most]]}
        if len(found) > most:
            result["NextMarker"] = found[most - 1]["UUID"]
        return Answer(result)

    def update(self, call: Call) -> Answer:
        """Answer UpdateEventSourceMapping."""
        asked, before = call.parameters, self._existing(call)
        arn = before["EventSourceArn"]
        source = checking.source_of(arn)
        fifo = source == SQS and self._outside.queues.is_fifo(arn)
        record = checking.changed(before, asked, source, fifo=fifo)
        if asked.get("FunctionName"):
            target = self._target(asked["FunctionName"])
            if target.invoked_arn != before["FunctionArn"]:
                self._check_unique(source, arn, target)
            self._check_readable(source, arn, target)
            record |= {"FunctionArn": target.invoked_arn, "Name": target.name}
        was = state(before)
        wants = asked.get("Enabled")
        if wants is None:
            wants = was != "Disabled"
        if was == "Disabled":
            record["State"] = "Enabling" if wants else "Disabled"
        else:
            record["State"] = "Updating" if wants else "Disabling"
        record |= {"ChangedAt": time.time(), "LastModified": time.time()}
        self._write(record)
        self._outside.arrivals.wake()
        return Answer(self.shown(record), status=202)

    def delete(self, call: Call) -> Answer:
        """Answer DeleteEventSourceMapping."""
        record = self._existing(call)
        with self._store.transaction():
            self._table.delete(record["UUID"])
            self._positions.delete(record["UUID"])
        del self._held[record["UUID"]]
        return Answer(self.shown({**record, "State": "Deleting", "ChangedAt": time.time()}), status=202)

    def shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record as an answer has it."""
        shown = {name: value for name, value in record.items() if name not in INTERNAL}
        arn = record["FunctionArn"].split(":function:")[0]
        return {
            **shown,
            "State": state(record),
            "EventSourceMappingArn": f"{arn}:event-source-mapping:{record['UUID']}",
        }

    def _write(self, record: dict[str, Any]) -> None:
        self._table.put(record["UUID"], record)
        self._held[record["UUID"]] = record

    def _existing(self, call: Call) -> dict[str, Any]:
        held = self._held.get(call.parameters["UUID"])
        if held is None:
            raise not_found("The resource you requested does not exist.")
        # Tags are written by others, the result of the last batch is not written at all.
        tags = (self._table.get(held["UUID"]) or {}).get("Tags") or {}
        return {**held, "Tags": tags}

    def _target(self, reference: str) -> Target:
        try:
            return self._functions.resolve(reference)
        except LambdaError as error:
            if error.code != "ResourceNotFoundException":
                raise
            raise invalid("Function does not exist") from error

    def _check_unique(self, source: str, arn: str, target: Target) -> None:
        for each in self._held.values():
            if each["EventSourceArn"] == arn and each["FunctionArn"] == target.invoked_arn:
                raise checking.duplicate(source, arn, target.name, each["UUID"])

    def _check_readable(self, source: str, arn: str, target: Target) -> None:
        if source == SQS and not self._outside.queues.exists(arn):
            raise invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
                "SQS Error Message: The specified queue does not exist."
            )
        if source == STREAM and not self._outside.streams.exists(arn):
            raise invalid(f"Stream not found: {arn}")
        if refused := self.refused_action(target.config.get("Role", ""), arn):
            raise invalid(
                f"The function execution role does not have permissions to call {refused.partition(':')[2]} on "
                f"{SERVICE[source]}"
            )
        if source == SQS and self._outside.queues.visibility_timeout_s(arn) < target.config["Timeout"]:
            raise invalid(
                f"Queue visibility timeout: {self._outside.queues.visibility_timeout_s(arn)} seconds is less than "
                f"Function timeout: {target.config['Timeout']} seconds"
            )


def state(record: Mapping[str, Any]) -> str:
    """Return the state that a mapping is in now."""
    found = str(record["State"])
    return NEXT.get(found, found) if time.time() - record["ChangedAt"] >= STATE_CHANGE_S else found


def is_read(record: Mapping[str, Any]) -> bool:
    """Return whether a mapping's source is read now."""
    return record["State"] not in ("Disabled", "Disabling", "Deleting")
