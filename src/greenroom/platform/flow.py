"""What drives a release on: the lock, the state machines that a status starts, and the end of a flow.

Nothing here knows what provisioning or testing is. Every function may be called twice for the same step.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Literal

from greenroom.platform.services import Services
from greenroom.releases import FINAL, IN_FLIGHT, Conflict, LockHeld, Status

LOCK_S = 3_600
"""How long a flow may go without taking its lock again: longer than the longest step, a batch in one executor."""

STARTS = {Status.REGISTERED: "PROVISION_ARN", Status.PROVISIONED: "BACKSTAGE_ARN"}
"""Which status starts which state machine, by the name of the setting that holds its ARN."""

logger = logging.getLogger(__name__)

TOLD = frozenset({Status.LIVE, Status.ROLLED_BACK, *FINAL})
"""The statuses that the topic is told of."""


def on_status(services: Services, release_id: str, status: Status) -> None:
    """Do what a release's new status asks for: start its state machine, or tell the topic.

    A state machine's execution is named after the release and the status, so that a second call starts nothing.
    """
    if status in STARTS:
        start(services, release_id, status)
    elif status in TOLD:
        message = {"releaseId": release_id, "status": status.value}
        services.sns.publish(
            TopicArn=services.settings["TOPIC_ARN"],
            Subject=f"Greenroom: {release_id} is {status.value}",
            Message=json.dumps(message),
            MessageAttributes={"status": {"DataType": "String", "StringValue": status.value}},
        )


def start(services: Services, release_id: str, status: Status, restarts: int = 0) -> None:
    """Start the state machine for a release's status; nothing if that has been done."""
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
    """Name of the execution that a release's status starts, or of one of those that were started anew."""
    return f"{release_id}-{status.value.lower()}" + (f"-{restarts}" if restarts else "")


@dataclass(frozen=True)
class LockOutcome:
    """Whether a flow may go on: "acquired"; "held" (ask again later); "superseded" or "over" (end without a word).

    With it goes who holds the lock if somebody else does.
    """

    outcome: Literal["acquired", "held", "superseded", "over"]
    holder: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as the state machines read it."""
        return {"outcome": self.outcome, "holder": self.holder}


def lock(services: Services, release_id: str, *, before: Status, after: Status) -> LockOutcome:
    """Take the lock of the release's algorithm, and with it the release from status `before` to `after`.

    A release that a newer upload has overtaken is not worth the time: the caller reports it SUPERSEDED.
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
    """Bring a release into the status that its flow ended with, let go of the lock if that was the end, and return
    the status it has now.

    A release that is no longer in flight (the sweeper was there first, or it is live already) keeps its status.
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
        return "the platform failed without saying why"
    cause = error.get("Cause") or ""
    try:
        payload = json.loads(cause)
    except ValueError:
        payload = None
    if isinstance(payload, dict) and payload.get("errorMessage"):
        cause = f"{payload.get('errorType', 'Error')}: {payload['errorMessage']}"
    cause = cause or error.get("Error", "unknown error")
    return f"The platform failed: {cause}. Push again; if it fails again, tell the platform team."
