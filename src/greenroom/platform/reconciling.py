"""Compares the registry with what is there, for every algorithm: repairs what is safe to repair, and names the rest.

The registry decides. Alias `prod`, aliases and versions of tests that are over, the memory of `$LATEST` and a lock
whose owner has ended are put right, under the algorithm's lock. What somebody has deleted or changed by hand (the
stack, a queue, the bucket, the event source mapping, a version) is not made again here: the platform says what is
missing and what to do, since only a person knows whether it was meant.

An algorithm of which a release is in flight is left alone: its flow works on the same things.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors, backstage, names, specs
from greenroom.platform.services import Services
from greenroom.releases import LIVE_KEPT, Algorithm, Conflict, LiveVersion, LockHeld, NotFound, Status
from greenroom.releases.look import Counted

RECONCILER = "reconciler"
"""Who holds an algorithm's lock while something is put right."""

LOCK_S = 300
"""As long as the sweeper may run (`template.yaml`)."""

AT_ONCE = 10
"""The number of connections that a boto3 client keeps open."""

SETTLED_STACKS = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
"""Statuses of a stack that is as its template says, this one or the one before.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html"""

NOT_DELIVERING = frozenset({"Disabling", "Disabled", "Deleting"})
"""States in which an event source mapping delivers nothing, or soon will not.
https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html"""

MAKE_AGAIN = "Delete the stack {stack}, then push the live package again."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class There:
    """What there is of an algorithm in AWS. None for something that does not exist.

    `mappings` has where the algorithm's queue leads to, as the qualifier of its function ("" for another function),
    and the mapping's state.
    """

    stack_status: str | None
    aliases: Mapping[str, str] | None
    versions: frozenset[str]
    latest_memory_mb: int | None
    mappings: tuple[tuple[str, str], ...]
    has_input_queue: bool
    has_dead_letter_queue: bool
    has_bucket: bool


@dataclass(frozen=True)
class Differences:
    """What contradicts the registry: what can be put right at once, and what a person has to decide."""

    repairable: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconciled:
    """By algorithm, what was put right and what was found and left."""

    repaired: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reported: dict[str, tuple[str, ...]] = field(default_factory=dict)


def differences(algorithm: Algorithm, live_status: Status | None, there: There, stack: str) -> Differences:
    """Compare what the registry says of an algorithm that is at rest with what there is.

    `live_status` is the status of the release that the algorithm calls live, and `stack` the name of its stack.
    """
    live = algorithm.live
    repairable = [*_leftovers(algorithm, there)]
    if live is None:
        return Differences(tuple(repairable))
    reported = [*_missing(live, there, stack)]
    if live_status is not Status.LIVE:
        reported.append(f"Release {live.release_id} should be LIVE, and is {live_status or 'not there'}. Push again.")
    reported += [
        f"Version {before.version} of release {before.release_id} does not exist: there is no way back to it. "
        "Nothing has to be done; the next releases are kept again."
        for before in algorithm.live_before
        if there.aliases is not None and before.version not in there.versions
    ]
    return Differences(tuple(repairable), tuple(reported))


def _leftovers(algorithm: Algorithm, there: There) -> Iterator[str]:
    """What is there and should not be, or is at another place: `backstage.settle` puts it right."""
    if there.aliases is None:
        return
    live = algorithm.live
    prod = there.aliases.get(names.PROD)
    if live is None and prod is not None:
        yield f"alias {names.PROD} led to version {prod}, and nothing is live"
    if live is not None and prod != live.version and live.version in there.versions:
        led_to = f"version {prod}" if prod else "nothing"
        yield f"alias {names.PROD} led to {led_to}, and version {live.version} is live"
    left = sorted(alias for alias in there.aliases if alias.startswith(names.TEST_ALIAS_PREFIX))
    if left:
        yield f"aliases of a test that is over: {', '.join(left)}"
    kept = {each.version for each in (live, *algorithm.live_before[:LIVE_KEPT]) if each is not None}
    if stray := sorted(there.versions - kept, key=int):
        yield f"versions of a test that is over: {', '.join(stray)}"
    if there.latest_memory_mb not in (None, specs.LATEST_MEMORY_MB):
        yield f"$LATEST had {there.latest_memory_mb} MB"


def _missing(live: LiveVersion, there: There, stack: str) -> Iterator[str]:
    """What a live release needs and does not have."""
    again = MAKE_AGAIN.format(stack=stack)
    if there.stack_status is None:
        yield f"The stack {stack} does not exist. Push the live package again: that makes it."
        return
    if there.stack_status not in SETTLED_STACKS and not there.stack_status.endswith("_IN_PROGRESS"):
        yield f"The stack {stack} is {there.stack_status}. Push again; if that fails, look at the stack's events."
    if there.aliases is None:
        yield f"The function {stack} does not exist. {again}"
    elif live.version not in there.versions:
        yield f"Version {live.version}, which is live, does not exist. Push the live package again."
    if not there.has_input_queue:
        yield f"The input queue does not exist. {again}"
    if not there.has_dead_letter_queue:
        yield f"The dead-letter queue does not exist. {again}"
    if not there.has_bucket:
        yield f"The bucket does not exist. {again}"
    leads = any(to == names.PROD and state not in NOT_DELIVERING for to, state in there.mappings)
    if there.has_input_queue and not leads:
        found = ", ".join(f"{qualifier or 'another function'} ({state})" for qualifier, state in there.mappings)
        yield (
            f"The input queue leads to {found or 'nothing'} in place of alias {names.PROD}: documents wait. "
            f"Enable the event source mapping, or: {again}"
        )


def reconcile(services: Services, algorithms: Iterable[Algorithm], counted: Mapping[str, Counted]) -> Reconciled:
    """Compare and put right these algorithms, of which none has a release in flight.

    `counted` says which queues there are. A fault with one algorithm keeps no other one waiting.
    """
    done = Reconciled()

    def look(algorithm: Algorithm) -> tuple[str, Differences]:
        try:
            return algorithm.name, _reconcile(services, algorithm.name, counted.get(algorithm.name))
        except Exception:
            logger.exception("could not reconcile %s", algorithm.name)
            return algorithm.name, Differences()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for name, found in threads.map(look, algorithms):
            if found.repairable:
                logger.warning("put right at %s: %s", name, "; ".join(found.repairable))
                done.repaired[name] = found.repairable
            if found.reported:
                done.reported[name] = found.reported
    return done


def _reconcile(services: Services, name: str, counted: Counted | None) -> Differences:
    _free_stale_lock(services, name)
    found = _compare(services, name, counted)
    if not found.repairable:
        return found
    registry = services.registry
    try:
        registry.acquire_lock(name, RECONCILER, seconds=LOCK_S)
    except LockHeld:
        return Differences(reported=found.reported)  # a flow has begun: it puts things right itself
    try:
        found = _compare(services, name, counted)
        if found.repairable:
            backstage.settle(services, name)
        return found
    finally:
        registry.release_lock(name, RECONCILER)


def _free_stale_lock(services: Services, name: str) -> None:
    """Release the lock of an algorithm if its owner is no longer in flight."""
    held = services.registry.lock_owner(name)
    if held is not None and held[0] != RECONCILER and not services.registry.is_in_flight(held[0]):
        services.registry.release_lock(name, held[0])


def _compare(services: Services, name: str, counted: Counted | None) -> Differences:
    registry = services.registry
    algorithm = registry.algorithm(name)
    live_status: Status | None = None
    if algorithm.live:
        try:
            live_status = registry.find(algorithm.live.release_id).status
        except (NotFound, Conflict):
            live_status = None
    there = _look(services, name, counted)
    if registry.algorithm(name).live != algorithm.live:
        return Differences()  # it has just changed
    return differences(algorithm, live_status, there, names.algorithm_stack(services.settings.prefix, name))


def _look(services: Services, name: str, counted: Counted | None) -> There:
    function = services.function_name(name)
    try:
        aliases = {alias.name: alias.version for alias in services.functions.aliases(function)}
        versions = frozenset(found.version for found in services.functions.versions(function))
        memory_mb: int | None = services.functions.updated(function).memory_mb
    except ClientError as error:
        if not aws_errors.is_absent(error):
            raise
        aliases, versions, memory_mb = None, frozenset(), None
    return There(
        stack_status=_stack_status(services, name),
        aliases=aliases,
        versions=versions,
        latest_memory_mb=memory_mb,
        mappings=tuple(_mappings(services, name)),
        has_input_queue=counted is None or counted.waiting is not None,
        has_dead_letter_queue=counted is None or counted.dead is not None,
        has_bucket=_has_bucket(services, name),
    )


def _stack_status(services: Services, name: str) -> str | None:
    stack = names.algorithm_stack(services.settings.prefix, name)
    try:
        return services.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if aws_errors.is_absent_stack(error):
            return None
        raise


def _mappings(services: Services, name: str) -> Iterator[tuple[str, str]]:
    settings = services.settings
    queue_arn = (
        f"arn:{settings['PARTITION']}:sqs:{settings.region}:{settings.account_id}:"
        f"{names.input_queue(settings.prefix, name)}"
    )
    pages = services.lambda_.get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue_arn)
    for mapping in (mapping for page in pages for mapping in page["EventSourceMappings"]):
        function, _, qualifier = mapping["FunctionArn"].partition(":function:")[2].partition(":")
        yield (qualifier if function == services.function_name(name) else "", mapping["State"])


def _has_bucket(services: Services, name: str) -> bool:
    try:
        services.s3.head_bucket(Bucket=services.algorithm_bucket(name))
    except ClientError as error:
        if aws_errors.is_absent_bucket(error):
            return False
        raise
    return True
