"""Finds releases that are stuck, and restarts them, or fails them with a reason; then looks around at all algorithms.

Every step of the flow is delivered at least once, so normally nothing gets stuck. This is for the day on which an event
was lost or a flow was killed. It is safe to run at any time, and while the flow itself runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from greenroom.platform import backstage, flow, names, queues, reconciling, storage, unanswered
from greenroom.platform.ingest import UPLOAD_EXPIRES_S
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Conflict, Release, Status, Upload
from greenroom.releases.look import Counted, Found, Look
from greenroom.wire.base import iso_utc

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


RECONCILED_IN_MINUTES = 10
"""In how many minutes each algorithm is compared with the registry once: seven calls of APIs that cost nothing, and far
from these APIs' limits."""

COUNTED_A_MINUTE = 60
"""Of how many algorithms the queues are counted in a minute: SQS bills two requests for each."""


def sweep(services: Services, *, patience_s: float = PATIENCE_S) -> dict[str, str]:
    """Look at all uploads and releases in flight; return what was done, by release id.

    `patience_s` is how long an event may take before it is considered lost.
    """
    now = datetime.now(UTC)
    done: dict[str, str] = {}
    for release in services.registry.in_flight():
        try:
            what = _sweep_release(services, release, now, patience_s)
        except Exception:
            # A fault with one release must not keep the others waiting.
            logger.exception("could not sweep release %s", release.release_id)
            continue
        if what:
            done[release.release_id] = what
    return done


def _sweep_release(services: Services, release: Upload | Release, now: datetime, patience_s: float) -> str | None:
    recent = (now - datetime.fromisoformat(release.updated_at)).total_seconds() < patience_s
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
    if held is None or held[0] in (release.release_id, reconciling.RECONCILER):
        return  # the reconciler's lock ends by itself
    if not services.registry.is_in_flight(held[0]):
        services.registry.release_lock(release.algorithm, held[0])


def look_around(services: Services, *, everything: bool = False) -> dict[str, dict[str, list[str]]]:
    """Count queues, give messages that ended their function a reason, and compare algorithms with the registry.

    Each minute a part of the algorithms has its turn, or with `everything` all of them. What contradicts the registry
    is kept for `GET /status`, and published when it is first seen. Return what was put right and what was found.
    """
    now = datetime.now(UTC)
    minute = 0 if everything else int(now.timestamp() // 60)
    algorithms = services.registry.algorithms()
    before = services.registry.look() or Look("")
    existing = {algorithm.name for algorithm in algorithms}
    counting = algorithms if everything else _turn(algorithms, minute, -(-len(algorithms) // COUNTED_A_MINUTE))
    counted = queues.count(services, [algorithm.name for algorithm in counting], iso_utc(now))
    explained = _explain(services, counted, before.explained if minute % RECONCILED_IN_MINUTES else {})
    in_flight = {each.algorithm for each in services.registry.in_flight() if isinstance(each, Release)}
    comparing = algorithms if everything else _turn(algorithms, minute, RECONCILED_IN_MINUTES)
    comparing = [algorithm for algorithm in comparing if algorithm.name not in in_flight]
    known = {**before.counted, **counted}
    done = reconciling.reconcile(services, comparing, known)
    compared = {algorithm.name for algorithm in comparing}
    found = {name: kept for name, kept in before.found.items() if name in existing - compared}
    for name, differences in done.reported.items():
        seen = before.found.get(name)
        is_new = seen is None or seen.differences != differences
        found[name] = Found(iso_utc(now) if is_new or seen is None else seen.since, differences)
        if is_new:
            flow.publish_differences(services, name, differences)
    services.registry.put_look(
        Look(iso_utc(now), {name: each for name, each in known.items() if name in existing}, found, explained)
    )
    return {
        "repaired": {name: [*each] for name, each in done.repaired.items()},
        "differences": {name: [*each] for name, each in done.reported.items()},
    }


def _turn(algorithms: list[Algorithm], minute: int, turns: int) -> list[Algorithm]:
    """Return the algorithms whose turn it is, of so many turns: none is left out, and nothing has to be remembered."""
    return algorithms[minute % turns :: turns] if turns else []


def _explain(services: Services, counted: Mapping[str, Counted], before: Mapping[str, int]) -> dict[str, int]:
    """Give the messages in dead-letter queues reasons, where there are not as many as when that was done `before`."""
    explained = dict(before)
    for name, each in counted.items():
        count = each.dead.visible if each.dead else 0
        if count and explained.get(name) != count:
            try:
                unanswered.explain(services, name)
            except Exception:
                logger.exception("could not explain the dead letters of %s", name)
                continue
        explained[name] = count
    return {name: count for name, count in explained.items() if count}
