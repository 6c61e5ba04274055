"""How a release gets from status to status: the lock, the state machines that a status starts, and the end of a flow.

Nothing here knows what provisioning or testing is. Every function may be called twice for the same step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from greenroom.platform.services import Services
from greenroom.releases import FINAL, IN_FLIGHT, Conflict, LockHeld, Status

LOCK_S = 3_600
"""How long a lock lasts before its flow must take it again: longer than the longest step, a batch in one executor."""

STARTS = {Status.REGISTERED: "PROVISION_ARN", Status.PROVISIONED: "BACKSTAGE_ARN"}
"""Which status starts which state machine: the name of the setting that holds its ARN."""

logger = logging.getLogger(__name__)

PUBLISHED = frozenset({Status.LIVE, Status.ROLLED_BACK, *FINAL})
"""The statuses that are published to the topic."""


def on_status(services: Services, release_id: str, status: Status) -> None:
    """Do what a release's new status needs: start its state machine, or publish it to the topic.

    An execution is named after the release and the status, so that a second call starts nothing.
    """
    if status in STARTS:
        start(services, release_id, status)
    elif status in PUBLISHED:
        message = {"releaseId": release_id, "status": status.value}
        services.sns.publish(
            TopicArn=services.settings["TOPIC_ARN"],
            Subject=f"Greenroom: {release_id} is {status.value}",
            Message=json.dumps(message),
            MessageAttributes={"status": {"DataType": "String", "StringValue": status.value}},
        )


def publish_differences(services: Services, algorithm: str, differences: Sequence[str]) -> None:
    """Publish what contradicts the registry at an algorithm."""
    services.sns.publish(
        TopicArn=services.settings["TOPIC_ARN"],
        Subject=f"Greenroom: {algorithm} is not as it should be",
        Message=json.dumps({"algorithm": algorithm, "differences": [*differences]}),
        MessageAttributes={"status": {"DataType": "String", "StringValue": "DIFFERENT"}},
    )


def start(services: Services, release_id: str, status: Status, restarts: int = 0) -> None:
    """Start the state machine for a release's status, unless it was started before."""
    states = services.states
    try:
        states.start_execution(
            stateMachineArn=services.settings[STARTS[status]],
            name=execution_name(release_id, status, restarts),
            input=json.dumps({"releaseId": release_id}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        return


def execution_name(release_id: str, status: Status, restarts: int = 0) -> str:
    """Return the name of the execution that a release's status starts, or of its restart number `restarts`."""
    return f"{release_id}-{status.value.lower()}" + (f"-{restarts}" if restarts else "")


@dataclass(frozen=True)
class LockOutcome:
    """Whether a flow may go on: "acquired", "held" (ask again later), "superseded" (report it) or "over" (just end).

    `holder` is the release that holds the lock if another one does.
    """

    outcome: Literal["acquired", "held", "superseded", "over"]
    holder: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as the state machines read it."""
        return {"outcome": self.outcome, "holder": self.holder}


def lock(services: Services, release_id: str, *, before: Status, after: Status) -> LockOutcome:
    """Take the lock of the release's algorithm, and take the release from status `before` to `after`.

    A release that a newer upload has overtaken is not worth testing: the caller reports it SUPERSEDED.
    """
    registry = services.registry
    release = registry.release(release_id)
    if release.status not in (before, after):
        return LockOutcome("over")
    if registry.algorithm(release.algorithm).latest_release_id > release_id and release.status is before:
        return LockOutcome("superseded")
    try:
        registry.acquire_lock(release.algorithm, release_id, seconds=LOCK_S)
    except LockHeld as held:
        return LockOutcome("held", held.owner)
    registry.change_status(release_id, after, before=before)
    return LockOutcome("acquired")


def report_status(services: Services, release_id: str, status: Status, reason: str | None) -> Status:
    """Give a release the status that its flow ended with, release the lock unless another flow follows, and return the
    release's status.

    A release that is no longer in flight (the sweeper was faster, or it is live already) keeps its status.
    """
    registry = services.registry
    release = registry.release(release_id)
    if status is Status.LIVE:
        registry.go_live(release)
    elif release.status is not status:
        try:
            registry.change_status(release_id, status, before=release.status, reason=reason)
        except Conflict:
            status = registry.release(release_id).status
            if status in IN_FLIGHT:
                raise
    if status is not Status.PROVISIONED:
        registry.release_lock(release.algorithm, release_id)
    return status


def failure_reason(error: Any) -> str:
    """Return a readable reason from what a state machine's Catch gives: an error's name and a cause, maybe JSON."""
    if not isinstance(error, dict):
        return "The platform failed, for an unknown reason. Push again; if it fails again, tell the platform team."
    cause = error.get("Cause") or ""
    try:
        payload = json.loads(cause)
    except ValueError:
        payload = None
    if isinstance(payload, dict) and payload.get("errorMessage"):
        cause = f"{payload.get('errorType', 'Error')}: {payload['errorMessage']}"
    cause = cause or error.get("Error", "unknown error")
    return f"The platform failed: {cause}. Push again; if it fails again, tell the platform team."
