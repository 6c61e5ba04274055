"""The algorithm's own stack: which parameters it needs (decided here, without I/O), and creating or updating it.

The stack never touches alias `prod`, so an update that fails and is rolled back leaves the live version serving. What
the live version needs stays until the new one replaces it: the role may send to the next algorithms of both, and the
queue's visibility timeout covers the longer of their timeouts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors, names
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Release

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

VISIBILITY_FACTOR = 6
"""A queue's visibility timeout in function timeouts.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html asks for at least six."""

MAX_VISIBILITY_S = 43_200
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"""

NEVER_CREATED = frozenset(
    {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}
)
"""Statuses in which a stack can only be deleted.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html"""

POLL_S = 0.2
"""Seconds between two looks at a stack."""

POLL_FOR_S = 20.0
"""How long one call watches a stack."""

StackState = Literal["running", "again", "succeeded", "failed"]


@dataclass(frozen=True)
class StackOutcome:
    """How far the stack has come, and why it failed if it did.

    "again" from `deploy_stack` means that another change has to end first: wait for it, and call once more.
    """

    state: StackState
    reason: str | None = None


@dataclass(frozen=True)
class Place:
    """Where the platform runs, and the settings that its template gives the deploying function."""

    prefix: str
    partition: str
    region: str
    account_id: str
    packages_bucket: str
    layer_arn: str
    log_retention_days: str


def stack_parameters(
    release: Release, algorithm: Algorithm, queue_urls: dict[str, str], place: Place, *, has_prod: bool
) -> dict[str, str]:
    """Return the parameters of `algorithm.yaml` for a release, as the stack should be from now on.

    `queue_urls` maps each algorithm the release may forward to, to the URL of its input queue. `has_prod` says whether
    alias `prod` exists, which the queue leads to.
    """
    metadata = release.metadata
    may_send_to = sorted({*metadata.next, *algorithm.next})
    longest_timeout_s = max(metadata.timeout, algorithm.timeout_s)

    def bucket(name: str) -> str:
        return names.algorithm_bucket(place.prefix, name, place.account_id, place.region)

    next_ = {name: {"queueUrl": queue_urls[name], "bucket": bucket(name)} for name in metadata.next}
    queue_arns = [
        f"arn:{place.partition}:sqs:{place.region}:{place.account_id}:{names.input_queue(place.prefix, name)}"
        for name in may_send_to
    ]
    inboxes = [f"arn:{place.partition}:s3:::{bucket(name)}/inbox/*" for name in may_send_to]
    return {
        "Prefix": place.prefix,
        "Algorithm": metadata.name,
        "Type": metadata.type,
        "Release": release.release_id,
        "CodeBucket": place.packages_bucket,
        "CodeKey": release.package_key,
        "Handler": metadata.handler or "aws_equipment.entry.lambda_handler",
        "Entry": metadata.entry or "",
        "Runtime": metadata.runtime,
        "Architecture": metadata.architecture,
        "TimeoutSeconds": str(metadata.timeout),
        "VisibilityTimeoutSeconds": str(min(MAX_VISIBILITY_S, VISIBILITY_FACTOR * longest_timeout_s)),
        "LayerArn": place.layer_arn,
        "Next": json.dumps(next_, separators=(",", ":"), sort_keys=True),
        "NextQueueArns": ",".join(queue_arns),
        "NextInboxArns": ",".join(inboxes),
        "Live": "true" if has_prod else "false",
        "LogRetentionDays": place.log_retention_days,
    }


def interpret(status: str, reason: str | None) -> StackOutcome:
    """Return what a stack's status means while a create or an update of it is awaited."""
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"):
        return StackOutcome("succeeded")
    if status.endswith("_IN_PROGRESS"):
        return StackOutcome("running")
    return StackOutcome("failed", f"the algorithm's stack ended as {status}" + (f": {reason}" if reason else ""))


def deploy_stack(services: Services, release_id: str) -> StackOutcome:
    """Begin to create or update the stack of a release's algorithm.

    The stack gets the event source mapping on alias `prod` if there is such an alias. What the registry says is live
    does not count: the function of a stack that somebody deleted has gone, and its alias with it.
    """
    release = services.registry.release(release_id)
    name = names.algorithm_stack(services.settings.prefix, release.algorithm)
    role_arn = services.settings["STACK_ROLE_ARN"]
    cloudformation = services.cloudformation
    stack = _describe(services, name)
    status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
    if status in NEVER_CREATED:
        cloudformation.delete_stack(StackName=name, RoleARN=role_arn)
        return StackOutcome("again")
    if status == "UPDATE_ROLLBACK_FAILED":
        cloudformation.continue_update_rollback(StackName=name, RoleARN=role_arn)
        return StackOutcome("again")
    if interpret(status, None).state == "running":
        return StackOutcome("again")  # a change that was under way when its flow was killed
    arguments = _arguments(services, release, name)
    if status == "DELETE_COMPLETE":
        cloudformation.create_stack(**arguments)
        return StackOutcome("running")
    try:
        cloudformation.update_stack(**arguments)
    except ClientError as error:
        if aws_errors.is_unchanged_stack(error):
            return StackOutcome("succeeded")
        raise
    return StackOutcome("running")


def _arguments(services: Services, release: Release, stack_name: str) -> dict[str, Any]:
    """Return what a release's stack is created or updated with."""
    settings = services.settings
    algorithm = services.registry.algorithm(release.algorithm)
    place = Place(
        prefix=settings.prefix,
        partition=settings["PARTITION"],
        region=settings.region,
        account_id=settings.account_id,
        packages_bucket=services.packages_bucket,
        layer_arn=settings["LAYER_ARN"],
        log_retention_days=settings["LOG_RETENTION_DAYS"],
    )
    queue_base = settings["INGEST_QUEUE_URL"].rsplit("/", 1)[0]
    queue_urls = {name: f"{queue_base}/{names.input_queue(settings.prefix, name)}" for name in release.metadata.next}
    has_prod = services.functions.has_alias(services.function_name(release.algorithm), names.PROD)
    parameters = stack_parameters(release, algorithm, queue_urls, place, has_prod=has_prod)
    return {
        "StackName": stack_name,
        "TemplateBody": resources.files("greenroom.platform").joinpath("algorithm.yaml").read_text(),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "RoleARN": settings["STACK_ROLE_ARN"],
        "Tags": [{"Key": "greenroom:algorithm", "Value": release.algorithm}],
    }


def leads_to_prod(services: Services, algorithm: str) -> bool:
    """Return whether the algorithm's stack has the event source mapping on alias `prod`."""
    stack = _describe(services, names.algorithm_stack(services.settings.prefix, algorithm))
    parameters = stack.get("Parameters", []) if stack else []
    return any(each.get("ParameterKey") == "Live" and each.get("ParameterValue") == "true" for each in parameters)


def await_stack(
    services: Services,
    release_id: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> StackOutcome:
    """Watch the stack of a release's algorithm for at most POLL_FOR_S seconds, and return how far it has come.

    boto3's waiters wait for the end. The state machine asks again instead, so that no function waits for minutes.

    Args:
        sleep, clock: how to pause, and the time to measure it by, both in seconds.
    """
    algorithm = services.registry.release(release_id).algorithm
    name = names.algorithm_stack(services.settings.prefix, algorithm)
    until_s = clock() + POLL_FOR_S
    while True:
        stack = _describe(services, name)
        if stack is None:
            return StackOutcome("failed", "the algorithm's stack is gone")
        outcome = interpret(stack["StackStatus"], stack.get("StackStatusReason"))
        if outcome.state == "failed":
            return StackOutcome("failed", f"{outcome.reason}{_first_failure(services, name)}")
        if outcome.state != "running" or clock() > until_s:
            return outcome
        sleep(POLL_S)


def _describe(services: Services, name: str) -> StackTypeDef | None:
    try:
        return services.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if aws_errors.is_absent_stack(error):
            return None
        raise


def _first_failure(services: Services, name: str) -> str:
    """Return which resource of the stack failed first, and why; nothing if none says so."""
    events = services.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    for event in reversed(events):
        if event.get("ResourceStatus", "").endswith("_FAILED") and event.get("LogicalResourceId") != name:
            return f" ({event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')})"
    return ""
