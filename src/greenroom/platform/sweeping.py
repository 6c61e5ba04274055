"""Finds releases that are stuck, and restarts them, or fails them with a reason.

Every step of the flow is delivered at least once, so normally nothing gets stuck. This is for the day on which an event
was lost or a flow was killed. It is safe to run at any time, and while the flow itself runs.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from greenroom.platform import backstage, flow, names, storage
from greenroom.platform.ingest import UPLOAD_EXPIRES_S
from greenroom.platform.services import Services
from greenroom.releases import IN_FLIGHT, Conflict, NotFound, Release, Status, Upload

PATIENCE_S = 120
"""How long an event may take before it is considered lost."""

MAX_REPEATS = 3
"""How often a lost upload event is sent again."""

MAX_RESTARTS = 10
"""How often a flow is started again: enough for every kill of a bad day, and an end for one that ends without a result
each time."""

WAITS = (
    "The platform can't register the package, because of a fault of its own. Don't push it again: the upload is kept "
    "with the failures, and the platform team redrives it once the fault is fixed."
)
"""Why an upload waits."""

NEVER_CAME = f"No package arrived within {UPLOAD_EXPIRES_S // 60} minutes. Push it again."
"""Why an upload without a package has failed."""

GONE = "The platform could not register the package before the upload was deleted. Push it again."
"""Why an upload that waited has failed."""

RESTARTED = frozenset({"FAILED", "TIMED_OUT", "SUCCEEDED"})
"""End states after which the flow of a release that is still in flight is started again.

SUCCEEDED is one of them: what the flow reported has been lost, and each of its steps may be repeated. ABORTED is left
out: an operator aborted it on purpose.
"""

STARTED_BY = {
    Status.REGISTERED: Status.REGISTERED,
    Status.PROVISIONING: Status.REGISTERED,
    Status.PROVISIONED: Status.PROVISIONED,
    Status.TESTING: Status.PROVISIONED,
}
"""Which status started the state machine that works on a release, by the release's status."""

logger = logging.getLogger(__name__)


def sweep(services: Services, now: datetime | None = None) -> dict[str, str]:
    """Look at all uploads and releases in flight; return what was done, by release id."""
    now = now or datetime.now(UTC)
    done: dict[str, str] = {}
    for release in services.registry.in_flight():
        try:
            what = _sweep_release(services, release, now)
        except Exception:
            # A fault with one release must not keep the others waiting.
            logger.exception("could not sweep release %s", release.release_id)
            continue
        if what:
            done[release.release_id] = what
    return done


def _sweep_release(services: Services, release: Upload | Release, now: datetime) -> str | None:
    recent = (now - datetime.fromisoformat(release.updated_at)).total_seconds() < PATIENCE_S
    if isinstance(release, Upload):
        return None if recent else _sweep_upload(services, release, now)
    _free_lock(services, release)
    execution = _execution_state(services, release)
    if execution == "RUNNING" or (execution is None and recent):
        return None
    started_by = STARTED_BY[release.status]
    if execution is None and release.status is started_by:
        flow.start(services, release.release_id, started_by)
        return "started again"
    # A flow reports before it ends, so a release still in this status has no flow working on it.
    if services.registry.release(release.release_id).status is not release.status:
        return None
    if execution in RESTARTED and release.restarts < MAX_RESTARTS:
        restarts = services.registry.count_restart(release.release_id)
        flow.start(services, release.release_id, started_by, restarts)
        return "started again"
    if release.status is Status.TESTING:
        backstage.clean(services, release.release_id, promoted=False)
    reason = f"The flow that worked on it ended ({execution or 'unknown'}) without a result. Push it again."
    flow.report_status(services, release.release_id, Status.FAILED, reason)
    return "failed"


def _sweep_upload(services: Services, release: Upload, now: datetime) -> str | None:
    key = storage.upload_key(release.release_id)
    age_s = (now - datetime.fromisoformat(release.created_at)).total_seconds()
    try:
        if any(storage.keys(services.s3, services.packages_bucket, key)):
            return _announce_again(services, release, key)
        if not release.reason and age_s <= UPLOAD_EXPIRES_S + PATIENCE_S:
            return None
        reason = GONE if release.reason else NEVER_CAME
        services.registry.change_status(release.release_id, Status.FAILED, before=Status.UPLOADING, reason=reason)
    except Conflict:
        return None
    return "failed"


def _announce_again(services: Services, release: Upload, key: str) -> str | None:
    """Send the event of an upload that has arrived; after MAX_REPEATS times record why it waits instead.

    It has not failed: the package is not at fault, and is registered once the platform's fault is fixed.
    """
    if release.reason:
        return None
    if services.registry.count_repeat(release.release_id) <= MAX_REPEATS:
        event = {"Records": [{"s3": {"object": {"key": key}}}]}
        services.sqs.send_message(QueueUrl=services.settings["INGEST_QUEUE_URL"], MessageBody=json.dumps(event))
        return "upload event repeated"
    services.registry.note(release.release_id, WAITS)
    return "left to the platform team"


def _execution_state(services: Services, release: Release) -> str | None:
    """Return the status of the newest execution that works on the release; None if there is none."""
    started_by = STARTED_BY[release.status]
    state_machine_arn = services.settings[flow.STARTS[started_by]]
    for restarts in range(release.restarts, -1, -1):
        name = flow.execution_name(release.release_id, started_by, restarts)
        try:
            return services.states.describe_execution(executionArn=names.execution_arn(state_machine_arn, name))[
                "status"
            ]
        except services.states.exceptions.ExecutionDoesNotExist:
            continue
    return None


def _free_lock(services: Services, release: Release) -> None:
    """Release the lock that a release waits for if its owner is no longer in flight."""
    held = services.registry.lock_owner(release.algorithm)
    if held is None or held[0] == release.release_id:
        return
    try:
        if services.registry.find(held[0]).status in IN_FLIGHT:
            return
    except NotFound:
        pass
    services.registry.release_lock(release.algorithm, held[0])
